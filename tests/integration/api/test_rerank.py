"""`/v1/rerank` and its relatives, as Jina's, Cohere's and vLLM's clients read them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict

from rungwise_server.app import create_app
from rungwise_server.testing.retrieval_reranker import WordReranker
from rungwise_server.testing.serving import fake_parts, listening

DOCUMENTS = ["moss grows here", "a refund takes five days", "a refund"]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class Document(Strict):
    text: str


class Result(Strict):
    index: int
    relevance_score: float
    document: Document | None = None


class JinaUsage(Strict):
    total_tokens: int
    prompt_tokens: int


class CohereMeta(Strict):
    api_version: dict[str, str]
    billed_units: dict[str, float]


class Answer(Strict):
    """What Jina's (model, usage, results), Cohere's (id, meta, results) and vLLM's (id, model, usage) clients need."""

    id: str
    model: str
    results: list[Result]
    usage: JinaUsage
    meta: CohereMeta


@pytest.fixture
def reranker() -> WordReranker:
    return WordReranker()


@pytest.fixture
async def http(reranker: WordReranker) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(create_app(fake_parts(reranker=reranker))) as url,
        httpx.AsyncClient(base_url=url) as made,
    ):
        yield made


async def ask(http: httpx.AsyncClient, path: str = "/v1/rerank", **body: Any) -> Answer:
    answer = await http.post(path, json={"query": "a refund takes", "documents": DOCUMENTS, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"] == answer.json()["id"]
    return Answer.model_validate_json(answer.content)


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
async def test_best_first_wherever_a_client_looks(http: httpx.AsyncClient, path: str) -> None:
    answer = await ask(http, path, model="words")
    assert [(r.index, r.relevance_score) for r in answer.results] == [(1, 1.0), (2, 2 / 3), (0, 0.0)]
    shown = [r.document.text if r.document else None for r in answer.results]
    assert shown == ([None] * 3 if path == "/v2/rerank" else [DOCUMENTS[n] for n in (1, 2, 0)])


async def test_the_options(http: httpx.AsyncClient, reranker: WordReranker) -> None:
    answer = await ask(http, top_n=1, return_documents=False, model="default")
    assert [(r.index, r.document) for r in answer.results] == [(1, None)]
    assert (await ask(http, "/v2/rerank", return_documents=True)).results[0].document is not None
    await ask(http, documents=["x" * 100, {"text": "y" * 100}], max_tokens_per_doc=5, max_chunks_per_doc=3)
    assert reranker.asked[-1] == ("a refund takes", ["x" * 20, "y" * 20], 3)
    documents = [{"title": "Money", "body": "back", "id": 3}]
    answer = await ask(http, documents=documents, rank_fields=["title", "body"])
    assert answer.results[0].document == Document(text="Money\nback")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": [1]}, "documents[0]"),
        ({"documents": ["a", {"image": "http://x"}]}, "documents[1]"),
        ({"documents": ["a"] * 1001}, "documents"),
        ({"documents": ["a" * 1_200_001]}, "documents"),
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"truncation": True}, "truncation"),
    ],
)
async def test_what_is_refused_by_name(http: httpx.AsyncClient, body: dict[str, object], param: str) -> None:
    answer = await http.post("/v1/rerank", json={"query": "a", "documents": ["b"], **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_an_unknown_model_is_told_what_there_is(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v2/rerank", json={"query": "a", "documents": ["b"], "model": "rerank-v3.5"})
    assert answer.status_code == 404
    assert "words" in answer.json()["error"]["message"]
