"""Embeddings over HTTP, from a real server that fails as servers do."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import numpy as np
import pytest

from rungwise_server.errors import SetupError, UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from rungwise_server.retrieval.embedders.openai import OpenAIEmbeddings
from rungwise_server.testing.upstream import FakeUpstream, Reply, echo


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(api_key="k") as upstream:
        yield upstream


@pytest.fixture
async def embedder(upstream: FakeUpstream) -> AsyncIterator[OpenAIEmbeddings]:
    embedder = await OpenAIEmbeddings.open(upstream.url, "m", api_key="k", query_prefix="query: ", timeout=0.5)
    yield embedder
    await embedder.close()


def body(*vectors: list[float], first: int = 0) -> tuple[bytes, ...]:
    rows = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors, start=first)]
    return (msgspec.json.encode({"data": rows}),)


async def test_opening_asks_for_the_dimensions(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    assert embedder.dimensions == 8
    assert embedder.name.startswith("m/8@")
    assert len(upstream.requests) == 1
    assert "dimensions" not in upstream.last.json


async def test_many_texts_go_in_batches_and_come_in_order(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    texts = [f"number {n}" for n in range(150)]
    vectors = await embedder.embed(texts, "passage")
    assert sorted(len(seen.json["input"]) for seen in list(upstream.requests)[1:]) == [22, 64, 64]
    for n in (0, 63, 64, 149):
        np.testing.assert_allclose(vectors[n], (await embedder.embed([texts[n]], "passage"))[0], atol=1e-6)


async def test_queries_have_their_prefix_and_are_asked_once(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    await embedder.embed(["when?"], "query")
    assert upstream.last.json["input"] == ["query: when?"]
    asked = len(upstream.requests)
    await embedder.embed(["when?"], "query")
    assert len(upstream.requests) == asked


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again(embedder: OpenAIEmbeddings, upstream: FakeUpstream, status: int) -> None:
    upstream.script = Reply(status=status, error="busy")
    task = asyncio.create_task(embedder.embed(["text"], "passage"))
    async with asyncio.timeout(5):
        while len(upstream.requests) < 3:
            await asyncio.sleep(0.01)
    upstream.script = echo
    assert (await task).shape == (1, 8)


async def test_a_query_does_not_wait_for_long(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=429, error="slow down", headers={"retry-after": "30"})
    with pytest.raises(UpstreamLimited, match="slow down") as caught:
        await embedder.embed(["text"], "query")
    assert caught.value.retry_after == 30
    assert len(upstream.requests) == 2


async def test_retry_after_is_honoured(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=429, error="slow down", headers={"retry-after": "1"})
    task = asyncio.create_task(embedder.embed(["text"], "query"))
    async with asyncio.timeout(5):
        while len(upstream.requests) < 2:
            await asyncio.sleep(0.01)
    upstream.script = echo
    await task
    first, second = list(upstream.requests)[1:]
    assert second.at - first.at >= 1


async def test_a_refusal_is_not_repeated(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=400, error="input is too long")
    with pytest.raises(UpstreamRefused, match="input is too long"):
        await embedder.embed(["text"], "passage")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((b"<html>",), "something else than embeddings"),
        ((b'{"data":[{"index":0}]}',), "something else than embeddings"),
        (body([1.0] * 8, [1.0] * 8), "2 embeddings for 1 texts"),
        (body([1.0] * 8, first=1), "for 1 texts"),
        (body([]), "or empty ones"),
        (body([0.0] * 8), "zero or no number"),
        (body([1e300] * 8), "zero or no number"),
        (body([1.0] * 9), "now gives 9 dimensions, not 8"),
    ],
)
async def test_a_wrong_answer_is_refused(
    embedder: OpenAIEmbeddings, upstream: FakeUpstream, answer: tuple[bytes, ...], message: str
) -> None:
    upstream.script = Reply(body=answer)
    with pytest.raises(UpstreamError, match=message):
        await embedder.embed(["text"], "query")


async def test_silence_is_a_timeout(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    upstream.script = Reply(hang=60)
    with pytest.raises(UpstreamTimeout, match="did not answer in time"):
        await embedder.embed(["text"], "query")


async def test_a_server_that_is_gone(embedder: OpenAIEmbeddings, upstream: FakeUpstream) -> None:
    await upstream.stop()
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await embedder.embed(["text"], "query")


async def test_a_wrong_key_names_the_setting(upstream: FakeUpstream) -> None:
    with pytest.raises(UpstreamError, match=r"embedder\.api_key_env") as caught:
        await OpenAIEmbeddings.open(upstream.url, "m", api_key="wrong")
    assert "Bearer" not in str(caught.value)


async def test_settings_that_cannot_work(upstream: FakeUpstream) -> None:
    with pytest.raises(SetupError, match=r"embedder\.url"):
        await OpenAIEmbeddings.open("", "m")
    upstream.script = Reply(body=body([1.0] * 8))
    with pytest.raises(SetupError, match="gives 8 dimensions, not the 5"):
        await OpenAIEmbeddings.open(upstream.url, "m", api_key="k", dimensions=5)
