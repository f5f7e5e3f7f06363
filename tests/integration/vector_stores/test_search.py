"""Searches of a vector store: what comes first, several queries, filters, and what is no search."""

from typing import TYPE_CHECKING, Any

import pytest
from openai import BadRequestError
from openai.types import VectorStore

if TYPE_CHECKING:
    from tests.integration.vector_stores.conftest import Room


async def test_an_empty_store_finds_nothing(room: "Room") -> None:
    store = await room.client.vector_stores.create()
    page = await room.client.vector_stores.search(store.id, query="anything", max_num_results=5)
    assert page.data == []
    assert (page.model_extra or {})["search_query"] == ["anything"]
    assert (page.model_extra or {})["has_more"] is False


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Which language is for readable code?", "python.txt"),
        ("How do systems learn from experience?", "learning.txt"),
        ("Why are data structures quick?", "structures.txt"),
        ("What inspires networks of neurons?", "neurons.txt"),
    ],
)
async def test_the_best_comes_first(room: "Room", query: str, expected: str) -> None:
    store, ids = await room.filled()
    page = await room.client.vector_stores.search(store.id, query=query)
    assert page.data[0].filename == expected
    assert page.data[0].file_id == ids[expected]
    assert page.data[0].content[0].text == room.texts[expected]
    scores = [hit.score for hit in page.data]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_as_many_as_are_asked_for_and_as_good(room: "Room") -> None:
    store, _ = await room.filled()
    search = room.client.vector_stores.search
    both = (await search(store.id, query="artificial intelligence", max_num_results=2)).data
    assert len(both) == 2
    threshold = (both[0].score + both[1].score) / 2
    best = await search(store.id, query="artificial intelligence", ranking_options={"score_threshold": threshold})
    assert [hit.file_id for hit in best.data] == [both[0].file_id]
    for ranker in ("auto", "none", "default-2024-11-15"):
        assert (await search(store.id, query="artificial", ranking_options={"ranker": ranker})).data


async def test_several_queries_are_one_list(room: "Room") -> None:
    store, _ = await room.filled()
    queries = ["readable code", "systems learn from experience"]
    page = await room.client.vector_stores.search(store.id, query=queries, max_num_results=2)
    assert {hit.filename for hit in page.data} == {"python.txt", "learning.txt"}
    assert (page.model_extra or {})["search_query"] == queries
    whole = await room.client.vector_stores.search(store.id, query=queries)
    assert len({hit.file_id for hit in whole.data}) == len(whole.data) == 4


async def test_a_rewritten_query_is_told(room: "Room") -> None:
    store, _ = await room.filled()
    page = await room.client.vector_stores.search(store.id, query="  readable code \n", rewrite_query=True)
    assert (page.model_extra or {})["search_query"] == ["readable code"]
    assert page.data[0].filename == "python.txt"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "topic", "value": "ai"}, {"learning.txt", "neurons.txt"}),
        ({"type": "ne", "key": "topic", "value": "ai"}, {"python.txt", "structures.txt"}),
        ({"type": "gte", "key": "number", "value": 2}, {"structures.txt", "neurons.txt"}),
        ({"type": "lt", "key": "number", "value": 1}, {"python.txt"}),
        ({"type": "in", "key": "number", "value": [0, 3]}, {"python.txt", "neurons.txt"}),
        ({"type": "nin", "key": "topic", "value": ["ai", "code"]}, set()),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "topic", "value": "ai"},
                    {"type": "gt", "key": "number", "value": 1},
                ],
            },
            {"neurons.txt"},
        ),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "number", "value": 0},
                    {"type": "eq", "key": "number", "value": 1},
                ],
            },
            {"python.txt", "learning.txt"},
        ),
        ({"type": "eq", "key": "nothing", "value": True}, set()),
    ],
)
async def test_filters(room: "Room", filters: Any, expected: set[str]) -> None:
    store, _ = await room.filled()
    page = await room.client.vector_stores.search(store.id, query="data that systems learn", filters=filters)
    assert {hit.filename for hit in page.data} == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": 7}, "query"),
        ({}, "query"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options"),
        ({"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options"),
        ({"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
        ({"query": "x", "filters": {"topic": "ai"}}, "filters"),
        ({"query": "x", "search_mode": "hybrid"}, "search_mode"),
    ],
)
async def test_searches_that_are_none(room: "Room", body: dict[str, object], param: str) -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(BadRequestError) as told:
        await room.client.post(f"/vector_stores/{store.id}/search", cast_to=VectorStore, body=body)
    assert (told.value.param or "").split(".")[0] == param
