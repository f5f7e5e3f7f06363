"""Python clients, each as its users call it: what they parse must be what they expect, to the type."""

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

pytestmark = pytest.mark.slow

QUESTION = "How many days of annual leave do I have?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
AIDER = Path(__file__).parents[2] / ".venv-aider" / "bin" / "aider"


def _with(package: str, surface: str, name: str = "") -> pytest.MarkDecorator:
    return pytest.mark.conformance(f"{name or package} {version(package)}", surface)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"22 degrees in {city}"


@_with("openai", "chat", "openai-python")
def test_chat_objects_parse_strictly(served: Any) -> None:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    client = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0)
    for model in ("docs", "assistant"):
        raw = client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
        TypeAdapter(ChatCompletion).validate_json(raw.text, strict=True)
        with client.chat.completions.with_streaming_response.create(
            model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ) as stream:
            events = [line[6:] for line in stream.iter_lines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        chunks = [TypeAdapter(ChatCompletionChunk).validate_json(event, strict=True) for event in events[:-1]]
        assert chunks[-1].usage is not None
        assert not chunks[-1].choices


@_with("openai", "responses", "openai-python")
def test_response_objects_and_events_parse_strictly(served: Any) -> None:
    from openai import OpenAI
    from openai.types.responses import Response, ResponseStreamEvent

    client = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0)
    for model in ("docs", "assistant"):
        raw = client.responses.with_raw_response.create(model=model, input=QUESTION)
        TypeAdapter(Response).validate_json(raw.text, strict=True)
        with client.responses.with_streaming_response.create(model=model, input=QUESTION, stream=True) as stream:
            events = [line[6:] for line in stream.iter_lines() if line.startswith("data: ")]
        adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
        read = [adapter.validate_json(event, strict=True) for event in events if event != "[DONE]"]
        assert [event.sequence_number for event in read] == list(range(len(read)))
        assert read[-1].type == "response.completed"


@_with("openai", "responses", "openai-python")
def test_a_pydantic_model_comes_back(served: Any) -> None:
    from openai import OpenAI
    from pydantic import BaseModel

    class Said(BaseModel):
        echo: str

    client = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0)
    parsed = client.responses.parse(model="assistant", input=QUESTION, text_format=Said)
    assert parsed.output_parsed == Said(echo=QUESTION)


@_with("openai", "files", "openai-python")
def test_a_file_of_somebody_else_does_not_exist(served: Any) -> None:
    from openai import NotFoundError, OpenAI

    ana, bo = (OpenAI(base_url=served.base, api_key=key, max_retries=0) for key in (served.ana, served.bo))
    file = ana.files.create(file=("note.txt", b"hers"), purpose="assistants")
    for attempt in (bo.files.retrieve, bo.files.content, bo.files.delete):
        with pytest.raises(NotFoundError):
            attempt(file.id)
    assert file.id not in [each.id for each in bo.files.list()]
    assert ana.files.delete(file.id).deleted


@_with("openai", "models, embeddings, completions", "openai-python")
def test_models_embeddings_and_completions_parse_strictly(served: Any) -> None:
    from openai import OpenAI
    from openai.types import Completion, CreateEmbeddingResponse, Model

    raw = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0).with_raw_response
    for model in json.loads(raw.models.list().text)["data"]:
        TypeAdapter(Model).validate_python(model, strict=True)
    made = raw.embeddings.create(model="default", input=["a house"], encoding_format="float")
    TypeAdapter(CreateEmbeddingResponse).validate_json(made.text, strict=True)
    TypeAdapter(Completion).validate_json(raw.completions.create(model="assistant", prompt="Say").text, strict=True)


@_with("openai", "vector stores", "openai-python")
def test_vector_store_objects_parse_strictly(served: Any) -> None:
    from openai import OpenAI
    from openai.types import FileObject, VectorStore, VectorStoreDeleted, VectorStoreSearchResponse
    from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

    client = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0)
    raw = client.with_raw_response
    sent = raw.files.create(file=("gate.md", b"# Gate\n\nThe gate closes at nine.\n"), purpose="assistants")
    file = TypeAdapter(FileObject).validate_json(sent.text, strict=True)
    made = raw.vector_stores.create(name="gates", metadata={"kind": "test"})
    store = TypeAdapter(VectorStore).validate_json(made.text, strict=True)
    added = client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"floor": 2}, poll_interval_ms=200
    )
    assert added.status == "completed", added.last_error
    shown = raw.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    TypeAdapter(VectorStoreFile).validate_json(shown.text, strict=True)
    batch = raw.vector_stores.file_batches.create(store.id, file_ids=[file.id])
    TypeAdapter(VectorStoreFileBatch).validate_json(batch.text, strict=True)
    found = json.loads(raw.vector_stores.search(store.id, query="When does the gate close?").text)["data"]
    hits = [TypeAdapter(VectorStoreSearchResponse).validate_python(hit, strict=True) for hit in found]
    assert hits[0].filename == "gate.md"
    assert hits[0].attributes == {"floor": 2}
    TypeAdapter(VectorStoreDeleted).validate_json(raw.vector_stores.delete(store.id).text, strict=True)


@_with("openai", "batches", "openai-python")
def test_batch_objects_parse_strictly(served: Any) -> None:
    from openai import OpenAI
    from openai.types import Batch

    client = OpenAI(base_url=served.base, api_key=served.ana, max_retries=0)
    asked = {"model": "docs", "input": QUESTION}
    line = json.dumps({"custom_id": "one", "method": "POST", "url": "/v1/responses", "body": asked})
    file = client.files.create(file=("in.jsonl", line.encode()), purpose="batch")
    made = client.batches.with_raw_response.create(
        input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
    )
    batch = TypeAdapter(Batch).validate_json(made.text, strict=True)
    until = time.monotonic() + 60
    while batch.status != "completed" and time.monotonic() < until:
        time.sleep(0.1)  # polling is how the API tells
        shown = client.batches.with_raw_response.retrieve(batch.id)
        batch = TypeAdapter(Batch).validate_json(shown.text, strict=True)
    assert batch.status == "completed"
    assert batch.output_file_id
    assert "28 days" in client.files.content(batch.output_file_id).text


@_with("langchain-openai", "chat")
def test_chat_stream_and_tools_by_langchain(served: Any) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=served.base, api_key=SecretStr(served.ana), model="assistant", max_retries=0)
    assert chat.invoke(QUESTION).text == QUESTION
    assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == QUESTION
    called = chat.bind_tools([weather]).invoke("What is the weather in Paris?")
    assert called.tool_calls[0]["args"] == {"city": "Paris"}


@_with("langchain-openai", "responses")
def test_responses_by_langchain(served: Any) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(
        base_url=served.base, api_key=SecretStr(served.ana), model="docs", use_responses_api=True, max_retries=0
    )
    answer = chat.invoke(QUESTION)
    assert "28 days" in answer.text
    assert any(block.get("annotations") for block in answer.content_blocks)
    assert "28 days" in "".join(chunk.text for chunk in chat.stream(QUESTION))


@_with("langchain-openai", "embeddings")
def test_embeddings_by_langchain(served: Any) -> None:
    from langchain_openai import OpenAIEmbeddings

    embedder = OpenAIEmbeddings(
        openai_api_base=served.base,
        openai_api_key=SecretStr(served.ana),
        model="default",
        check_embedding_ctx_length=False,
    )
    assert len(embedder.embed_documents(["a house", "a home"])) == 2


@_with("llama-index-llms-openai-like", "chat", "llama-index OpenAILike")
def test_chat_and_stream_by_llama_index(served: Any) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(api_base=served.base, api_key=served.ana, model="docs", is_chat_model=True, max_retries=0)
    asked = [ChatMessage(role="user", content=QUESTION)]
    assert "28 days" in (llm.chat(asked).message.content or "")
    assert "28 days" in "".join(piece.delta or "" for piece in llm.stream_chat(asked))


@_with("llama-index-llms-openai-like", "completions", "llama-index OpenAILike")
def test_completions_by_llama_index(served: Any) -> None:
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(api_base=served.base, api_key=served.ana, model="assistant", is_chat_model=False, max_retries=0)
    assert QUESTION in llm.complete(QUESTION).text


@_with("llm", "chat")
def test_the_llm_command_asks_and_streams(served: Any, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: docs, model_name: docs, api_base: '{served.base}', api_key_name: rungwise}}\n", encoding="utf-8"
    )
    (tmp_path / "keys.json").write_text(json.dumps({"rungwise": served.ana}), encoding="utf-8")
    for options in ([], ["--no-stream"]):
        done = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "docs", *options, QUESTION],
            env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "28 days" in done.stdout


@_with("litellm", "chat")
def test_chat_and_stream_by_litellm(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    given = {"api_base": served.base, "api_key": served.ana, "messages": MESSAGES}
    answer = litellm.completion("openai/docs", **given)
    assert "28 days" in answer.choices[0].message.content
    pieces = litellm.completion("openai/docs", stream=True, **given)
    assert "28 days" in "".join(piece.choices[0].delta.content or "" for piece in pieces)


@_with("litellm", "embeddings")
def test_embeddings_by_litellm(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    made = litellm.embedding("openai/default", input=["a house"], api_base=served.base, api_key=served.ana)
    assert len(made.data) == 1


@_with("litellm", "rerank")
@pytest.mark.parametrize("case", ["cohere", "jina_ai", "hosted_vllm"])
def test_rerank_by_litellm(served: Any, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    base = f"{served.base}/rerank" if case == "jina_ai" else served.base.removesuffix("/v1")
    ranked = litellm.rerank(
        model=f"{case}/default",
        query="annual leave",
        documents=["the price of printers", "28 days of annual leave"],
        top_n=1,
        api_base=base,
        api_key=served.ana,
    )
    assert [hit["index"] for hit in ranked.results] == [1]


@_with("anthropic", "messages", "Anthropic's SDK for Python")
def test_messages_parse_strictly_whole_and_streamed(served: Any) -> None:
    from anthropic import Anthropic
    from anthropic.types import Message

    client = Anthropic(base_url=served.base.removesuffix("/v1"), api_key=served.ana, max_retries=0)
    raw = client.messages.with_raw_response.create(model="docs", max_tokens=200, messages=MESSAGES)
    message = TypeAdapter(Message).validate_json(raw.text(), strict=True)
    assert "28 days" in "".join(block.text for block in message.content if block.type == "text")
    with client.messages.stream(model="docs", max_tokens=200, messages=MESSAGES) as stream:
        assert "28 days" in "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.skipif(not AIDER.exists(), reason="`make setup-clients` has not installed aider")
@pytest.mark.conformance("aider", "chat")
def test_aider_writes_a_file(served: Any, tmp_path: Path) -> None:
    dictated = "<<<hello.txt\n```\nhello world\n```\n>>>"
    options = "--yes-always --no-git --no-check-update --no-show-model-warnings --analytics-disable --no-detect-urls"
    options += " --map-tokens 0 --edit-format whole --no-auto-lint --no-fancy-input --no-pretty"
    done = subprocess.run(
        [AIDER, "--model", "openai/assistant", *options.split(), "--message", dictated, "hello.txt"],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name == "PATH"},
            "HOME": str(tmp_path),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "OPENAI_API_BASE": served.base,
            "OPENAI_API_KEY": served.ana,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    written = tmp_path / "hello.txt"
    assert written.is_file(), done.stdout + done.stderr
    assert written.read_text(encoding="utf-8").strip() == "hello world"
