"""The `file_search` tool over collections and vector stores: what is found, shown, cited, and refused."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response

from rungwise_server.app import create_app
from rungwise_server.bootstrap import open_search
from rungwise_server.keeping import Kept
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.records import Inference, LogQuery
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller, CollectionSpec, IndexedPassage, Passage
from rungwise_server.vector_stores import LIVE, StoreBody, encode

ANA, BO = Caller("ana", frozenset({"staff"})), Caller("bo")


def of(number: int, store: str, text: str, readers: str, **attributes: str | float | bool) -> Passage:
    return Passage(
        f"00000000-0000-0000-0000-{number:012d}",
        f"file-{number}",
        store,
        text,
        frozenset({readers}),
        title=f"{number}.md",
        source=store,
        attributes=attributes,
    )


PASSAGES = [
    of(1, "vs_ana", "Annual leave is 25 days in Bonn.", "user:ana", city="Bonn", year=2025),
    of(2, "vs_ana", "Annual leave is 30 days in Rome.", "user:ana", city="Rome", year=2026),
    of(3, "handbook", "Annual leave is asked for by mail.", "everyone"),
    of(4, "handbook", "Annual leave of the board is secret.", "group:board"),
]


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text="You get 25 days [1].")) as fake:
        yield fake


@pytest.fixture
async def client(upstream: FakeUpstream, log: MemoryLog) -> AsyncIterator[AsyncOpenAI]:
    index, embedder, kept, sparse = MemoryIndex(), HashEmbedder(), MemoryKept(), Bm25Encoder()
    for name in ("vs_ana", "handbook"):
        await index.create(name, CollectionSpec(embedder.name, embedder.dimensions, sparse.name))
    for passage in PASSAGES:
        dense = (await embedder.embed([passage.text], "passage"))[0]
        await index.upsert(passage.collection, [IndexedPassage(passage, dense, sparse.passage(passage.text))])
    await kept.add(Kept("vs_ana", "vector_store", ANA.owner, 1.0, encode(StoreBody(1.0)), state=LIVE))
    engine = small_engine(
        OpenAICompatible(url=upstream.url, model="up-model"),
        log=log,
        grounding=Prompt("grounded", "Cite what you say."),
        searcher=lambda search: open_search(index, embedder, search),
    )
    keys = {"rw-ana": ANA, "rw-bo": BO}
    parts = fake_parts(engine, index, keys, embedder=embedder, kept=kept, collections={"handbook": "The handbook."})
    async with (
        listening(create_app(parts)) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ana", max_retries=0) as made,
    ):
        yield made


def tool(*stores: str, **more: object) -> Any:
    return {"type": "file_search", "vector_store_ids": list(stores), **more}


async def ask(client: AsyncOpenAI, *tools: Any, **more: Any) -> Response:
    raw = await client.responses.with_raw_response.create(
        model="default", input="how long is annual leave", tools=list(tools), **more
    )
    return Response.model_validate_json(raw.text, strict=True)


async def found(client: AsyncOpenAI, *tools: Any) -> set[str]:
    call: Any = (await ask(client, *tools, include=["file_search_call.results"])).output[0]
    return {result.file_id for result in call.results}


async def test_a_search_is_shown_its_passages_cited_and_logged(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog
) -> None:
    response = await ask(client, tool("vs_ana", max_num_results=1), include=["file_search_call.results"])
    call, message = response.output
    assert call.type == "file_search_call"
    assert (call.status, call.queries) == ("completed", ["how long is annual leave"])
    assert call.results is not None
    (result,) = call.results
    assert result.file_id in ("file-1", "file-2")
    assert result.attributes is not None
    assert (result.attributes["city"], result.filename) in (("Bonn", "1.md"), ("Rome", "2.md"))
    assert result.score
    system, user = upstream.last.json["messages"]
    assert system == {"role": "system", "content": "Cite what you say."}
    assert result.text in user["content"]
    assert "tools" not in upstream.last.json
    assert message.type == "message"
    (cited,) = message.content[0].annotations  # type: ignore[union-attr]
    assert cited.to_dict() == {
        "type": "file_citation",
        "file_id": result.file_id,
        "filename": result.filename,
        "index": 16,
    }
    (row,) = [r async for r in log.read(LogQuery(kind="inference")) if isinstance(r, Inference)]
    assert [passage.document_id for passage in row.passages] == [result.file_id]
    kept: Any = (await client.responses.retrieve(response.id)).output[0]
    assert kept.results is not None


async def test_results_are_shown_to_those_who_ask(client: AsyncOpenAI) -> None:
    response = await ask(client, tool("vs_ana"))
    call: Any = response.output[0]
    assert call.results is None
    again: Any = await client.responses.retrieve(response.id, include=["file_search_call.results"])
    assert {result.file_id for result in again.output[0].results} == {"file-1", "file-2"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "city", "value": "Bonn"}, {"file-1"}),
        ({"type": "ne", "key": "city", "value": "Bonn"}, {"file-2"}),
        ({"type": "gt", "key": "year", "value": 2025}, {"file-2"}),
        ({"type": "gte", "key": "year", "value": 2025}, {"file-1", "file-2"}),
        ({"type": "in", "key": "city", "value": ["Rome", "Paris"]}, {"file-2"}),
        ({"type": "nin", "key": "city", "value": ["Rome", "Paris"]}, {"file-1"}),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "lt", "key": "year", "value": 2027},
                    {"type": "or", "filters": [{"type": "eq", "key": "city", "value": "Rome"}]},
                ],
            },
            {"file-2"},
        ),
        ({"type": "and", "filters": [{"type": "or", "filters": []}]}, set()),
        (None, {"file-1", "file-2"}),
    ],
)
async def test_filters(client: AsyncOpenAI, filters: object, expected: set[str]) -> None:
    assert await found(client, tool("vs_ana", filters=filters)) == expected


async def test_a_threshold_and_several_stores_with_the_callers_permissions(client: AsyncOpenAI) -> None:
    assert await found(client, tool("vs_ana", ranking_options={"ranker": "auto", "score_threshold": 1.0})) == set()
    assert await found(client, tool("vs_ana", "handbook")) == {"file-1", "file-2", "file-3"}
    assert await found(client.with_options(api_key="rw-bo"), tool("handbook")) == {"file-3"}


@pytest.mark.parametrize("store", ["vs_ana", "vs_nope", "default", "no such/thing"])
async def test_the_store_of_somebody_else_and_none_are_the_same(client: AsyncOpenAI, store: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(client.with_options(api_key="rw-bo"), tool("handbook", store))
    assert caught.value.param == "vector_store_ids[1]"


async def test_no_choice_of_it_no_search(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="no")
    response = await ask(client, tool("vs_ana"), tool_choice="none")
    assert [item.type for item in response.output] == ["message"]
    assert upstream.last.json["messages"] == [{"role": "user", "content": "how long is annual leave"}]
    forced = await ask(client, tool("vs_ana"), tool_choice={"type": "file_search"})
    assert [item.type for item in forced.output] == ["file_search_call", "message"]
    assert "tool_choice" not in upstream.last.json


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_num_results": 51}, "tools[0].max_num_results"),
        ({"max_num_results": 0}, "tools[0].max_num_results"),
        ({"ranking_options": {"score_threshold": 2}}, "tools[0].ranking_options.score_threshold"),
        ({"ranking_options": {"ranker": "best"}}, "tools[0].ranking_options.ranker"),
        ({"ranking_options": {"hybrid_search": {}}}, "tools[0].ranking_options.hybrid_search"),
        ({"filters": {"type": "like"}}, "tools[0].filters.type"),
        ({"vector_store_ids": []}, "tools[0].vector_store_ids"),
        ({"surprise": 1}, "tools[0].surprise"),
    ],
)
async def test_what_is_wrong_is_told_by_its_place(client: AsyncOpenAI, more: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(client, {**tool("vs_ana"), **more})
    assert caught.value.param == param


async def test_a_stream_tells_of_the_search_first(client: AsyncOpenAI) -> None:
    body = {"model": "default", "input": "annual leave", "stream": True, "tools": [tool("vs_ana")]}
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        answer = await http.post(f"{client.base_url}responses", content=msgspec.json.encode(body))
    events = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: {")]
    assert [event["type"] for event in events[2:8]] == [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
    ]
    added = [event["annotation"] for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [annotation["type"] for annotation in added] == ["file_citation"]
    assert added == events[-1]["response"]["output"][1]["content"][0]["annotations"]
