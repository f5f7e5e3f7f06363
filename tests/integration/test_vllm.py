"""A real vLLM on the CPU behind a real server of ours: what its wire says reaches the client and the log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import inferences
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.serving import serving
from rungwise_server.testing.vllm import tiny_vllm

BIN = Path(__file__).parents[2] / ".venv-vllm" / "bin"
MADE = Path(__file__).with_name("vllm_tiny.py")

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (BIN / "vllm").exists(), reason="no .venv-vllm: `make setup-vllm` makes it (Linux, x86-64)"),
]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a vLLM that serves a tiny model of random weights as `tiny`."""
    with tiny_vllm(BIN, MADE, tmp_path_factory.mktemp("vllm"), ["--max-model-len", "1024"]) as origin:
        yield f"{origin}/v1"


@pytest.fixture
async def client(vllm: str, log: MemoryLog) -> AsyncIterator[AsyncOpenAI]:
    engine = small_engine(OpenAICompatible(url=vllm, model="tiny"), log=log)
    async with (
        serving(engine, MemoryIndex()) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as made,
    ):
        yield made


ASK: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "the quick brown"}], "seed": 1}


async def test_an_answer_with_usage_logprobs_and_vllms_own_fields(client: AsyncOpenAI, log: MemoryLog) -> None:
    answer = await client.chat.completions.create(
        **ASK, max_tokens=12, logprobs=True, top_logprobs=2, extra_body={"min_tokens": 12, "ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.content or []) == 12
    (row,) = await inferences(log)
    assert row.id == answer.id
    assert row.choices[0].text == answer.choices[0].message.content
    assert row.usage is not None
    assert (row.usage.input_tokens, row.usage.output_tokens) == (answer.usage.prompt_tokens, 12)


async def test_a_stream_says_the_same_as_a_whole_answer(client: AsyncOpenAI, log: MemoryLog) -> None:
    greedy = {**ASK, "temperature": 0, "max_tokens": 16, "extra_body": {"ignore_eos": True}}
    whole = await client.chat.completions.create(**greedy)
    text, usage = "", None
    async for chunk in await client.chat.completions.create(
        **greedy, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert usage is not None
    assert usage.completion_tokens == 16
    assert [row.choices[0].text for row in await inferences(log)] == [text, text]


async def test_what_vllm_refuses_reaches_the_caller_with_its_own_status(client: AsyncOpenAI) -> None:
    too_long = {**ASK, "messages": [{"role": "user", "content": "fox " * 2000}]}
    with pytest.raises(openai.BadRequestError, match="1024"):
        await client.chat.completions.create(**too_long)


async def running(vllm: str) -> float:
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(vllm.removesuffix("/v1") + "/metrics")).text
    lines = [line for line in metrics.splitlines() if line.startswith("vllm:num_requests_running")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_vllm_stops_generating_when_the_client_leaves(client: AsyncOpenAI, vllm: str, log: MemoryLog) -> None:
    endless = {**ASK, "max_tokens": 900, "extra_body": {"ignore_eos": True}}
    async with asyncio.timeout(90):
        # On two cores vLLM at times sends a whole answer at once: then there was nothing to leave.
        while "cancelled" not in {row.outcome for row in await inferences(log)}:
            stream = await client.chat.completions.create(**endless, stream=True)
            await anext(aiter(stream))
            await stream.close()
            await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        while await running(vllm):
            await asyncio.sleep(0.05)
