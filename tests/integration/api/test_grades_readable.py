"""Grading after a document has changed: what a grader may no longer read is neither shown nor graded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from msgspec import Raw

from rungwise_server.app import create_app
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Choice, Inference
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import a_grade, an_inference
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retrieval_entries import SPEC, entry
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.types import Caller, IndexedPassage, Message

KEYS = {"rw-ana": Caller("ana", frozenset({"finance", "staff"})), "rw-bo": Caller("bo", frozenset({"staff"}))}
FINANCE = frozenset({"group:finance"})


PLAN = entry("We will buy the wheel factory.", document_id="plan.md")
MORE = entry("It costs a million.", document_id="plan.md")
LEAVE = entry("Annual leave is 25 days.", document_id="leave.md")


def answer(id: str, *given: IndexedPassage) -> Inference:
    said = f"What of {id}?"
    return an_inference(
        id,
        messages=(Message("user", said, Raw(msgspec.json.encode({"role": "user", "content": said}))),),
        params={},
        passages=tuple(one.passage for one in given),
        citations=(),
        choices=(Choice(f"Of {id}: {given[0].passage.text}"),),
    )


@pytest.fixture
async def log() -> MemoryLog:
    made = MemoryLog()
    for one in (answer("plan", PLAN), answer("more", LEAVE, MORE), answer("leave", LEAVE)):
        await made.append(one)
    return made


@pytest.fixture
async def index() -> MemoryIndex:
    made = MemoryIndex()
    await made.create("docs", SPEC)
    await made.upsert("docs", [PLAN, MORE, LEAVE])
    return made


@asynccontextmanager
async def asked_by(key: str, log: MemoryLog, index: MemoryIndex) -> AsyncIterator[httpx.AsyncClient]:
    parts = fake_parts(
        small_engine(ScriptedModel(), log=log), index, KEYS, graders={"support": frozenset({"group:staff"})}
    )
    async with (
        listening(create_app(parts)) as url,
        httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=30) as made,
    ):
        yield made


async def shown(http: httpx.AsyncClient, limit: int = 10) -> tuple[set[str], int]:
    """The answers that are shown, and how many are not."""
    told = (await http.get("/v1/grades/next", params={"workload": "support", "limit": limit})).json()
    return {one["inference_id"] for task in told["data"] for one in task["answers"]}, told["unreadable"]


async def test_what_a_document_said_before_it_was_restricted_is_hidden_from_those_it_is_kept_from(
    log: MemoryLog, index: MemoryIndex
) -> None:
    async with asked_by("rw-bo", log, index) as bo, asked_by("rw-ana", log, index) as ana:
        assert await shown(bo) == ({"plan", "more", "leave"}, 0)
        await index.set_readers("docs", "folder", "plan.md", FINANCE)
        assert await shown(bo) == ({"leave"}, 2)
        assert await shown(bo, limit=1) == ({"leave"}, 2)
        assert await shown(ana) == ({"plan", "more", "leave"}, 0)
        refused = await bo.post("/v1/grades", json={"inference_id": "plan", "passed": True})
        assert (refused.status_code, refused.json()["error"]["param"]) == (404, "inference_id")
        assert (await bo.post("/v1/grades", json={"inference_id": "leave", "passed": True})).status_code == 201
        assert (await ana.post("/v1/grades", json={"inference_id": "plan", "passed": True})).status_code == 201


async def test_an_answer_on_words_that_were_changed_is_as_readable_as_the_document_is(
    log: MemoryLog, index: MemoryIndex
) -> None:
    rewritten = entry("We will buy nothing.", document_id="plan.md", version="2")
    await index.upsert("docs", [rewritten])
    await index.remove("docs", "folder", "plan.md", keep_version="2")
    async with asked_by("rw-bo", log, index) as bo:
        assert await shown(bo) == ({"plan", "more", "leave"}, 0)
        await index.set_readers("docs", "folder", "plan.md", FINANCE)
        assert await shown(bo) == ({"leave"}, 2)


async def test_an_answer_on_a_document_that_has_gone_counts_by_who_could_read_it(
    log: MemoryLog, index: MemoryIndex
) -> None:
    secret = entry("The bid is secret.", document_id="bid.md", readers=FINANCE)
    await log.append(answer("bid", secret))
    await index.remove("docs", "folder", "plan.md")
    async with asked_by("rw-bo", log, index) as bo:
        assert await shown(bo) == ({"plan", "more", "leave"}, 1)


async def test_what_others_said_of_a_hidden_answer_is_hidden_too(log: MemoryLog, index: MemoryIndex) -> None:
    for at, id in enumerate(("plan", "leave"), 1):
        await log.append(a_grade(f"grade-{at}", id, caller=KEYS["rw-ana"], reason=f"of {id}"))
    async with asked_by("rw-bo", log, index) as bo:

        async def reasons() -> list[str]:
            told = (await bo.get("/v1/grades", params={"workload": "support"})).json()
            return [grade["reason"] for grade in told["data"]]

        assert await reasons() == ["of plan", "of leave"]
        await index.set_readers("docs", "folder", "plan.md", FINANCE)
        assert await reasons() == ["of leave"]
