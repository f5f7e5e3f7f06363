"""Other people's clients against a real server: they parse what we send, and we take what they send."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller, ToolCall

PASSAGES = [passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook")]
QUESTION = "How many days of annual leave ?"
ANSWER = "You get 25 days [1]."


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text=ANSWER, delay=0.001)) as fake:
        yield fake


@pytest.fixture
async def base(upstream: FakeUpstream) -> AsyncIterator[str]:
    model = OpenAICompatible(url=upstream.url, model="m")
    engine = small_engine(model, passages=PASSAGES, prompt=Prompt("grounded", "Cite."))
    async with serving(engine, MemoryIndex(), {"rw-ana": Caller("ana")}) as url:
        yield f"{url}/v1"


async def test_langchain_asks_streams_and_calls_tools(base: str, upstream: FakeUpstream) -> None:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    chat = ChatOpenAI(base_url=base, api_key=SecretStr("rw-ana"), model="default", max_retries=0)
    answer = await chat.ainvoke(QUESTION)
    assert answer.content == ANSWER
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    pieces = [chunk.content async for chunk in chat.astream(QUESTION)]
    assert "".join(str(piece) for piece in pieces) == ANSWER

    def lookup(q: str) -> str:
        """Look something up."""
        return q

    upstream.script = Reply(tool_calls=(ToolCall(0, "call_1", "lookup", '{"q": "leave"}'),))
    called = await chat.bind_tools([lookup]).ainvoke(QUESTION)
    assert [(call["name"], call["args"]) for call in called.tool_calls] == [("lookup", {"q": "leave"})]


async def test_llama_index_asks_and_streams(base: str) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(api_base=base, api_key="rw-ana", model="default", is_chat_model=True, max_retries=0)
    answer = await llm.achat([ChatMessage(role="user", content=QUESTION)])
    assert answer.message.content == ANSWER
    pieces = [piece.delta async for piece in await llm.astream_chat([ChatMessage(role="user", content=QUESTION)])]
    assert "".join(piece or "" for piece in pieces) == ANSWER


async def test_the_llm_command_asks_and_streams(base: str, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: docs\n  model_name: default\n  api_base: {base}\n  api_key_name: rungwise\n", encoding="utf-8"
    )
    (tmp_path / "keys.json").write_text('{"rungwise": "rw-ana"}', encoding="utf-8")
    environ = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
    for options in ([], ["--no-stream"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "llm", "-m", "docs", *options, QUESTION),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        assert out.decode().strip() == ANSWER


async def test_litellm_as_a_client_and_the_routes_reason_in_its_headers(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    answer = await litellm.acompletion(
        model="openai/default", api_base=base, api_key="rw-ana", messages=[{"role": "user", "content": QUESTION}]
    )
    assert answer.choices[0].message.content == ANSWER
