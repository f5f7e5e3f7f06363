"""The embedded reranker, and what one behind a URL may answer."""

from collections.abc import AsyncIterator

import pytest

from rungwise_server.errors import UpstreamError, UpstreamLimited, UpstreamRefused
from rungwise_server.http.client import HttpClient
from rungwise_server.retrieval.rerank import HybridReranker, _pieces
from rungwise_server.retrieval.rerank_upstream import UpstreamReranker
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.upstream import FakeUpstream, Reply


@pytest.fixture
def reranker() -> HybridReranker:
    return HybridReranker(HashEmbedder(), Bm25Encoder())


async def test_a_text_s_best_piece_counts(reranker: HybridReranker) -> None:
    filler = "moss grows on the north side of many trees " * 50
    scores = await reranker.score("refund deadline", [filler, filler + "the refund deadline is friday"])
    assert scores[1] > scores[0] + 0.2


async def test_only_so_many_pieces_are_compared(reranker: HybridReranker) -> None:
    far = "moss " * 400 + "quokka"
    first, second = [(await reranker.score("quokka", [far, "moss"], chunks))[0] for chunks in (1, 10)]
    assert first < second


async def test_words_of_many_forms_meet(reranker: HybridReranker) -> None:
    scores = await reranker.score("Kündigungsfristen", ["Die Kündigungsfrist ist lang.", "Das Haus ist rot."])
    assert scores[0] > scores[1]


async def test_a_score_says_little_of_its_company(reranker: HybridReranker) -> None:
    alone = await reranker.score("refund takes", ["a refund takes five days"])
    among = await reranker.score("refund takes", ["a refund takes five days", "moss", "north side"])
    assert alone[0] == pytest.approx(among[0])


async def test_a_blank_text_is_worth_nothing(reranker: HybridReranker) -> None:
    assert await reranker.score("refund", ["", " \n"]) == [0.0, 0.0]


def test_pieces_of_scripts_without_spaces_are_shorter() -> None:
    assert [len(piece) for piece in _pieces("a" * 2500, 10)] == [1000, 1000, 500]
    assert [len(piece) for piece in _pieces("梅" * 600, 2)] == [250, 250]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


async def test_what_is_asked_of_a_server_and_read(upstream: FakeUpstream, client: HttpClient) -> None:
    results = b'{"id": "r", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}'
    upstream.script = Reply(body=(results,))
    reranker = UpstreamReranker(f"{upstream.url}/rerank", "ce", api_key="sk-secret-key", client=client)
    assert await reranker.score("q", ["a", "b"], 3) == [0.1, 0.9]
    assert upstream.last.path == "/v1/rerank"
    assert upstream.last.headers["authorization"] == "Bearer sk-secret-key"
    assert upstream.last.json == {
        "model": "ce",
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 2,
        "return_documents": False,
        "max_chunks_per_doc": 3,
    }


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=429, error="slow", headers={"retry-after": "3"}), UpstreamLimited),
        (Reply(status=422, error="too long"), UpstreamRefused),
        (Reply(status=401, error="who?"), UpstreamError),
        (Reply(status=500, error="oops"), UpstreamError),
        (Reply(body=(b"<html>",)), UpstreamError),
        (Reply(body=(b'{"results": [{"index": 0, "relevance_score": 1}]}',)), UpstreamError),
    ],
)
async def test_what_a_server_may_do_instead(
    upstream: FakeUpstream, client: HttpClient, reply: Reply, kind: type[UpstreamError]
) -> None:
    upstream.script = reply
    with pytest.raises(kind) as failed:
        await UpstreamReranker(upstream.url, "ce", client=client).score("q", ["a", "b"])
    assert type(failed.value) is kind
    assert "reranker" in failed.value.message
    assert failed.value.retry_after == (3 if reply.status == 429 else None)
