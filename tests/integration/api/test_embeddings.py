"""`/v1/embeddings` through openai-python and LangChain over real sockets, strictly parsed."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI
from openai.types import CreateEmbeddingResponse

from rungwise_server.app import create_app
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.types import Vector

TEXTS = ["annual leave is 25 days", "sick leave needs a note", "梅雨がない"]
NAMES = ("hash-64", "hash/64", "text-embedding-3-small")


class Recording(HashEmbedder):
    """Remembers how many texts it was given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[list[str]] = []

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        self.turns.append(list(texts))
        return await super().embed(texts, kind)


@pytest.fixture
def embedder() -> Recording:
    return Recording()


@pytest.fixture
async def base(embedder: Recording) -> AsyncIterator[str]:
    parts = fake_parts(embedder=embedder, embedder_names=NAMES)
    async with listening(create_app(parts, max_body=4_000_000)) as url:
        yield f"{url}/v1"


@pytest.fixture
async def client(base: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=base, api_key="unused", max_retries=0) as made:
        yield made


async def test_floats_strictly_parsed(client: AsyncOpenAI) -> None:
    raw = await client.embeddings.with_raw_response.create(model="hash-64", input=TEXTS, encoding_format="float")
    answer = CreateEmbeddingResponse.model_validate_json(raw.content, strict=True)
    assert (answer.object, answer.model) == ("list", "hash-64")
    assert [(row.index, row.object) for row in answer.data] == [(n, "embedding") for n in range(3)]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    wanted = await HashEmbedder().embed(TEXTS, "passage")
    np.testing.assert_allclose([row.embedding for row in answer.data], wanted, atol=1e-6)


async def test_base64_which_openai_python_asks_for_by_itself(client: AsyncOpenAI) -> None:
    raw = await client.embeddings.with_raw_response.create(model="hash-64", input=TEXTS)
    packed = json.loads(raw.content)["data"]
    wanted = await HashEmbedder().embed(TEXTS, "passage")
    np.testing.assert_array_equal([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in packed], wanted)
    np.testing.assert_allclose([row.embedding for row in raw.parse().data], wanted)


async def test_one_text(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="default", input=TEXTS[0], dimensions=64, user="u")
    assert len(answer.data) == 1
    assert len(answer.data[0].embedding) == 64


async def test_tokens_are_read_as_the_text_that_they_are(client: AsyncOpenAI, embedder: Recording) -> None:
    hello = [15339, 1917, 11410, 94, 223]  # "hello world", then two thirds of a character
    one = await client.embeddings.create(model="hash-64", input=hello)
    both = await client.embeddings.create(model="hash-64", input=[hello[:2], hello[:1]])
    assert embedder.turns[0][0].startswith("hello world")
    assert embedder.turns[1] == ["hello world", "hello"]
    assert (one.usage.prompt_tokens, both.usage.prompt_tokens) == (5, 3)


async def test_many_texts_are_embedded_in_turns(client: AsyncOpenAI, embedder: Recording) -> None:
    answer = await client.embeddings.create(model="hash-64", input=[f"text {n}" for n in range(2048)])
    assert [row.index for row in answer.data] == list(range(2048))
    assert max(map(len, embedder.turns)) <= 64
    assert [text for turn in embedder.turns for text in turn] == [f"text {n}" for n in range(2048)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 1]}, "input"),
        ({"input": ["a", [1]]}, "input"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [200_000]}, "input"),
        ({"input": [10**30]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "word " * 300_000}, "input"),
        ({"input": 1}, "input"),
        ({}, "input"),
        ({"input": "a", "model": ""}, "model"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 32}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "input_type": "query"}, "input_type"),
    ],
)
async def test_what_is_refused_by_name(base: str, body: dict[str, object], param: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{base}/embeddings", json={"model": "hash-64", **body})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param


async def test_an_unknown_model_is_told_what_there_is(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="hash-64") as refused:
        await client.embeddings.create(model="text-embedding-3-large", input="a")
    assert refused.value.code == "model_not_found"
    assert "embedder.aliases" in refused.value.message


async def test_the_models_list_has_the_embedder_and_its_aliases(client: AsyncOpenAI) -> None:
    kinds = {model.id: model.model_dump()["kind"] async for model in client.models.list()}
    assert {name: kinds[name] for name in NAMES} == dict.fromkeys(NAMES, "embedder")
    assert (await client.models.retrieve("hash/64")).id == "hash/64"


@pytest.mark.parametrize("checked", [True, False])
async def test_langchain_with_and_without_its_own_tokens(
    base: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_openai import OpenAIEmbeddings
    from pydantic import SecretStr

    spec = find_spec("llama_index.core")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    # The tokenizer's table, which LangChain would download.
    folder = Path(spec.submodule_search_locations[0]) / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    langchain = OpenAIEmbeddings(
        model="text-embedding-3-small",
        openai_api_base=base,
        openai_api_key=SecretStr("unused"),
        check_embedding_ctx_length=checked,
        max_retries=0,
    )
    found = np.array(await langchain.aembed_documents(TEXTS))
    np.testing.assert_allclose(found, await HashEmbedder().embed(TEXTS, "passage"), atol=1e-5)
    query = await langchain.aembed_query(TEXTS[0])
    np.testing.assert_allclose(query, found[0], atol=1e-5)
