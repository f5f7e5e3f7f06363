"""Grading over HTTP: what is shown to whom, what is taken from whom, and what it comes to.

More than 400 lines, for every part of it stands on the same answers, keys and set.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from rungwise_server.app import create_app
from rungwise_server.errors import Unavailable
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import Cell, EvalRun, EvalSet, Example, example_id
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Choice, Grade, Inference, LogQuery, LogRecord
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.types import Caller, Citation, Message

KEYS = {
    "rw-ana": Caller("ana", frozenset({"finance", "staff"})),
    "rw-bo": Caller("bo", frozenset({"staff"})),
    "rw-cy": Caller("cy"),
    "rw-root": Caller("root", admin=True),
}
GRADERS = {"support": frozenset({"group:staff"}), "intent": frozenset({"user:cy"})}
OPEN = passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook")
SECRET = passage("We will buy the wheel factory.", "group:finance", number=2, title="Plan")


def answer(id: str, candidate: str = "x", *passages: Any, question: str = "", **changes: Any) -> Inference:
    text = question or f"What of {id}?"
    raw = Raw(msgspec.json.encode({"role": "user", "content": text}))
    return an_inference(
        id,
        candidate=candidate,
        messages=(Message("user", text, raw),),
        params={},
        passages=passages or (OPEN,),
        citations=(Citation(OPEN.id, "Handbook", 5, 8),),
        choices=(Choice(f"{candidate} says {id} [1]."),),
        **changes,
    )


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def kept() -> MemoryKept:
    return MemoryKept()


@asynccontextmanager
async def serving_to(
    log: MemoryLog, kept: MemoryKept | None = None, keys: dict[str, Caller] | None = None, key: str = "rw-bo"
) -> AsyncIterator[httpx.AsyncClient]:
    parts = fake_parts(small_engine(ScriptedModel(), log=log), keys=keys, kept=kept, graders=GRADERS)
    async with (
        listening(create_app(parts)) as url,
        httpx.AsyncClient(base_url=url, headers={"x-api-key": key} if keys else {}, timeout=30) as made,
    ):
        yield made


@pytest.fixture
async def http(log: MemoryLog, kept: MemoryKept) -> AsyncIterator[httpx.AsyncClient]:
    """A server with keys; bo asks, who grades `support`."""
    async with serving_to(log, kept, KEYS) as made:
        yield made


async def graded(log: MemoryLog) -> list[Grade]:
    return [g async for g in log.read(LogQuery(kind="grade")) if isinstance(g, Grade)]


async def a_set(
    kept: MemoryKept, log: MemoryLog, answers: dict[str, list[Inference]], groups: tuple[str, ...] = ("staff",)
) -> EvalSet:
    """A frozen eval set of questions, and a run that got `answers` to each."""
    sets = EvalSets(kept)
    examples = {}
    for question in answers:
        asked = (Message("user", question, Raw(msgspec.json.encode({"role": "user", "content": question}))),)
        caller = Caller("ana", frozenset(groups))
        id = example_id(asked, caller, {})
        examples[question] = Example(id, asked, caller, "hand", reference=f"right: {question}", topic="leave")
    frozen = await sets.draft("support", "support")
    await sets.add(frozen, list(examples.values()))
    frozen = await sets.freeze(frozen)
    cells = []
    for question, ones in answers.items():
        for one in ones:
            await log.append(one)
            cells.append(Cell(examples[question].id, one.candidate, one.id, "ok"))
    await sets.add_run(EvalRun("run-1", frozen.id, frozen.hash, "support", 1.0, ("x", "y"), tuple(cells)))
    return frozen


@pytest.mark.parametrize(
    ("body", "value", "scale"),
    [
        ({"passed": True}, 1.0, "pass"),
        ({"passed": False, "reason": "It says 20. ä 日本"}, 0.0, "pass"),
        ({"score": 1}, 0.0, "five"),
        ({"score": 4, "rubric": "complete"}, 0.75, "five"),
        ({"value": 0.3}, 0.3, "pass"),
        ({"skip": True}, None, "pass"),
        ({"preferred": "first", "over": "b"}, 1.0, "pair"),
        ({"preferred": "second", "over": "b"}, 0.0, "pair"),
        ({"preferred": "tie", "over": "b", "example": "ex-1"}, 0.5, "pair"),
        ({"skip": True, "over": "b"}, None, "pair"),
    ],
)
async def test_each_kind_of_grade_is_kept_and_tells_who_answered(
    http: httpx.AsyncClient, log: MemoryLog, body: dict[str, Any], value: float | None, scale: str
) -> None:
    await log.append(answer("a", "x"))
    await log.append(answer("b", "y"))
    response = await http.post("/v1/grades", json={"inference_id": "a", **body})
    assert response.status_code == 201
    (grade,) = await graded(log)
    told = response.json()
    assert (grade.value, grade.scale, grade.caller, grade.judge) == (value, scale, KEYS["rw-bo"], "")
    assert (grade.rubric, grade.reason) == (body.get("rubric", "correct"), body.get("reason", ""))
    assert (grade.over, grade.example) == (body.get("over", ""), body.get("example", ""))
    assert abs(grade.at - time.time()) < 60
    assert (told["id"], told["value"], told["grader"], told["by"]) == (grade.id, value, "user:bo", "person")
    assert told["candidates"] == (None if "skip" in body else ["x", "y"] if "over" in body else ["x"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"passed": True, "score": 5}, None),
        ({"passed": "yes"}, "passed"),
        ({"score": 6}, "score"),
        ({"score": 2.5}, "score"),
        ({"value": 2}, "value"),
        ({"preferred": "first"}, None),
        ({"preferred": "first", "over": "a"}, None),
        ({"preferred": "third", "over": "b"}, "preferred"),
        ({"passed": True, "over": "b"}, None),
        ({"skip": False}, None),
        ({"skip": True, "passed": True}, None),
        ({"passed": True, "rubric": "no spaces"}, "rubric"),
        ({"passed": True, "id": "no spaces"}, "id"),
        ({"passed": True, "judge": "mine"}, "judge"),
    ],
)
async def test_a_grade_that_makes_no_sense_is_refused_by_name(
    http: httpx.AsyncClient, log: MemoryLog, body: dict[str, Any], param: str | None
) -> None:
    response = await http.post("/v1/grades", json={"inference_id": "a", **body})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert await graded(log) == []


async def test_the_same_id_again_changes_nothing_and_another_word_for_it_is_refused(
    http: httpx.AsyncClient, log: MemoryLog
) -> None:
    body = {"inference_id": "a", "passed": True, "id": "mine-1"}
    assert [(await http.post("/v1/grades", json=body)).status_code for _ in range(2)] == [201, 201]
    other = await http.post("/v1/grades", json={**body, "passed": False})
    assert (other.status_code, other.headers["x-should-retry"]) == (409, "false")
    anas = await http.post("/v1/grades", json=body, headers={"x-api-key": "rw-ana"})
    assert anas.status_code == 409
    assert [grade.value for grade in await graded(log)] == [1.0]


async def test_one_grades_until_nothing_is_left(http: httpx.AsyncClient, log: MemoryLog) -> None:
    for n in range(6):
        await log.append(answer(f"a{n}", "xy"[n % 2]))
    await log.append(answer("eval", surface="eval"))
    await log.append(answer("failed", outcome="failed"))
    await log.append(answer("secret", "x", OPEN, SECRET))
    seen = []
    for left in range(6, 0, -1):
        page = (await http.get("/v1/grades/next", params={"workload": "support"})).json()
        assert (page["left"], page["graded"], page["unreadable"]) == (left, 6 - left, 1)
        (task,) = page["data"]
        (shown,) = task["answers"]
        seen.append(shown["inference_id"])
        await http.post("/v1/grades", json={"inference_id": shown["inference_id"], "passed": left > 2})
        summary = (await http.get("/v1/grades/summary", params={"workload": "support"})).json()
        assert sum(standing["graded"] for standing in summary["candidates"]) == 7 - left
        for standing in summary["candidates"]:
            if standing["graded"]:
                quality = standing["quality"]
                assert 0 <= quality["low"] <= quality["estimate"] <= quality["high"] <= 1
                assert quality["count"] == standing["graded"]
    assert sorted(seen) == [f"a{n}" for n in range(6)]
    assert (await http.get("/v1/grades/next", params={"workload": "support"})).json()["data"] == []
    # Ana has read none of it, and reads one more.
    page = await http.get("/v1/grades/next", params={"workload": "support"}, headers={"x-api-key": "rw-ana"})
    assert (page.json()["left"], page.json()["unreadable"]) == (7, 0)


async def test_a_task_shows_all_that_a_grader_needs_and_not_who_answered(
    http: httpx.AsyncClient, log: MemoryLog, kept: MemoryKept
) -> None:
    await a_set(
        kept, log, {"How many days?": [answer("e1", "strong-model", OPEN, question="How many days?", surface="eval")]}
    )
    response = await http.get("/v1/grades/next", params={"eval_set": "support", "rubric": "complete"})
    (task,) = response.json()["data"]
    assert (task["question"], task["rubric"], task["topic"]) == ("How many days?", "complete", "leave")
    assert "passages hold" in response.json()["asks"]
    assert len(response.json()["points"]) == 5
    assert task["reference"] == "right: How many days?"
    (shown,) = task["answers"]
    assert shown["text"] == "strong-model says e1 [1]."
    assert shown["citations"] == [{"passage_id": OPEN.id, "start": 5, "end": 8}]
    assert [(p["number"], p["text"], p["place"], p["cited"]) for p in shown["passages"]] == [
        (1, OPEN.text, "Handbook", True)
    ]
    hidden = {**task, "answers": [{**shown, "text": ""}]}
    assert "strong-model" not in json.dumps(hidden)
    assert response.json()["eval_set"] == "support@v1"


async def test_a_reference_is_for_those_who_may_read_all_that_its_asker_may(
    http: httpx.AsyncClient, log: MemoryLog, kept: MemoryKept
) -> None:
    asked = {"How many?": [answer("e1", question="How many?", surface="eval")]}
    await a_set(kept, log, asked, groups=("staff", "finance"))
    for key, shown in (("rw-bo", None), ("rw-ana", "right: How many?")):
        page = await http.get("/v1/grades/next?eval_set=support", headers={"x-api-key": key})
        assert page.json()["data"][0]["reference"] == shown


async def test_pairs_are_blind_until_they_are_graded(http: httpx.AsyncClient, log: MemoryLog, kept: MemoryKept) -> None:
    questions = [f"q{n}" for n in range(12)]
    await a_set(
        kept, log, {q: [answer(f"{c}-{q}", c, question=q, surface="eval") for c in ("y", "x")] for q in questions}
    )
    where = {"eval_set": "support@v1", "mode": "pair"}
    tasks = (await http.get("/v1/grades/next", params={**where, "limit": 50})).json()["data"]
    assert len(tasks) == 12
    again = (await http.get("/v1/grades/next", params={**where, "limit": 50})).json()["data"]
    assert again == tasks
    assert {task["answers"][0]["inference_id"][0] for task in tasks} == {"x", "y"}
    for task in tasks[:6]:
        first, second = (shown["inference_id"] for shown in task["answers"])
        preferred = "first" if first.startswith("x") else "second"
        made = await http.post("/v1/grades", json={"inference_id": first, "over": second, "preferred": preferred})
        assert made.json()["candidates"] == [first[0], second[0]]
    summary = (await http.get("/v1/grades/summary", params=where)).json()
    (standing,) = summary["candidates"]
    assert (standing["candidate"], standing["over"]) == ("x", "y")
    assert (standing["graded"], standing["answers"], standing["quality"]["estimate"]) == (6, 12, 1.0)
    assert (await http.get("/v1/grades/next", params=where)).json()["left"] == 6


async def test_several_peoples_agreement(http: httpx.AsyncClient, log: MemoryLog) -> None:
    for n in range(10):
        await log.append(answer(f"a{n}"))
        for key, passed in (("rw-ana", n < 6), ("rw-bo", n < 5)):
            body = {"inference_id": f"a{n}", "passed": passed}
            await http.post("/v1/grades", json=body, headers={"x-api-key": key})
    people = (await http.get("/v1/grades/summary?workload=support")).json()["people"]
    assert people["graders"] == [{"grader": "user:ana", "grades": 10}, {"grader": "user:bo", "grades": 10}]
    assert people["answers"] == 10
    assert people["agreement"]["estimate"] == pytest.approx(0.9)
    assert people["kappa"]["estimate"] == pytest.approx(0.8)
    assert people["alpha"] == pytest.approx(1 - 19 * 1 / (11 * 9))


async def test_grades_are_listed_page_by_page(http: httpx.AsyncClient, log: MemoryLog) -> None:
    for n in range(5):
        await log.append(answer(f"a{n}", f"candidate-{n}"))
        await http.post("/v1/grades", json={"inference_id": f"a{n}", "passed": True, "id": f"g{n}"})
    await log.append(answer("secret", "x", SECRET))
    anas = {"x-api-key": "rw-ana"}
    await http.post("/v1/grades", json={"inference_id": "secret", "score": 2, "id": "ga"}, headers=anas)
    await http.post(
        "/v1/grades", json={"inference_id": "a0", "rubric": "complete", "score": 2, "id": "gb"}, headers=anas
    )
    found: list[str] = []
    page = (await http.get("/v1/grades?workload=support&limit=2")).json()
    while page["data"]:
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        found += [grade["id"] for grade in page["data"]]
        if not page["has_more"]:
            break
        page = (await http.get(f"/v1/grades?workload=support&limit=2&after={page['last_id']}")).json()
    assert found == [*(f"g{n}" for n in range(5)), "gb"]  # of Ana's grade on the plan, Bo hears nothing

    async def ids(query: str, key: str = "rw-bo") -> list[str]:
        response = await http.get(f"/v1/grades?{query}", headers={"x-api-key": key})
        assert response.status_code == 200, response.text
        return [grade["id"] for grade in response.json()["data"]]

    assert await ids("workload=support&rubric=complete") == ["gb"]
    assert await ids("workload=support&grader=user:ana") == ["gb"]
    assert await ids("workload=support&grader=user:ana", "rw-ana") == ["ga", "gb"]
    assert await ids("") == [f"g{n}" for n in range(5)]  # one's own
    assert await ids("", "rw-ana") == ["ga", "gb"]
    assert await ids("", "rw-root") == [*(f"g{n}" for n in range(5)), "gb"]
    # Who answered would spoil a blind grade of somebody else's.
    told = (await http.get("/v1/grades?workload=support")).json()["data"]
    assert [grade["candidates"] for grade in told] == [*([f"candidate-{n}"] for n in range(5)), None]
    assert (await http.get("/v1/grades?workload=support&after=nothing")).status_code == 400


async def test_who_does_not_grade_is_told_what_to_do(http: httpx.AsyncClient, log: MemoryLog) -> None:
    await log.append(answer("a"))
    cys = {"x-api-key": "rw-cy"}
    for path in ("next", "summary"):
        refused = await http.get(f"/v1/grades/{path}?workload=support", headers=cys)
        assert refused.status_code == 403
        assert "workloads.support.graders" in refused.json()["error"]["message"]
        assert (await http.get(f"/v1/grades/{path}?workload=nothing")).status_code == 403
        assert (await http.get(f"/v1/grades/{path}?workload=nothing", headers={"x-api-key": "rw-root"})).json()
        assert (await http.get(f"/v1/grades/{path}")).status_code == 400
    # Cy grades something, and so cannot tell an answer of another workload from none.
    refused = await http.post("/v1/grades", json={"inference_id": "a", "passed": True}, headers=cys)
    assert refused.status_code == 404
    assert await graded(log) == []


async def test_an_eval_set_of_others_is_none(http: httpx.AsyncClient, log: MemoryLog, kept: MemoryKept) -> None:
    await a_set(kept, log, {"q": [answer("e1", question="q", surface="eval")]})
    refused = [
        (await http.get(f"/v1/grades/next?eval_set={name}", headers={"x-api-key": "rw-cy"})).json()["error"]["message"]
        for name in ("support", "nothing")
    ]
    assert refused[0] == refused[1].replace("nothing", "support")
    assert (await http.get("/v1/grades/next?eval_set=support&workload=support")).status_code == 200
    both = await http.get("/v1/grades/next?eval_set=support&workload=intent", headers={"x-api-key": "rw-root"})
    assert (both.status_code, both.json()["error"]["param"]) == (400, "workload")


async def test_an_answer_that_is_not_in_the_log_yet_may_be_graded(http: httpx.AsyncClient, log: MemoryLog) -> None:
    early = await http.post("/v1/grades", json={"inference_id": "soon", "passed": True})
    assert (early.status_code, early.json()["candidates"]) == (201, None)
    await log.append(answer("soon"))
    summary = (await http.get("/v1/grades/summary?workload=support")).json()
    assert summary["candidates"][0]["graded"] == 1


class Down(MemoryLog):
    """A log that takes records, and reads none until its database answers."""

    up = False

    async def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        if not self.up:
            raise Unavailable("the database does not answer")
        async for record in super().read(query):
            yield record


async def test_while_the_database_is_down_a_grade_is_not_lost() -> None:
    log = Down()
    async with serving_to(log, keys=KEYS) as http:
        made = await http.post("/v1/grades", json={"inference_id": "a", "passed": True, "id": "mine"})
        assert made.status_code == 201
        assert (await http.get("/v1/grades/next?workload=support")).status_code == 503
    log.up = True
    assert [grade.id for grade in await graded(log)] == ["mine"]


async def test_while_no_key_exists_whoever_sits_here_grades(log: MemoryLog) -> None:
    await log.append(answer("a"))
    await log.append(answer("secret", "x", SECRET))
    async with serving_to(log) as http:
        page = (await http.get("/v1/grades/next?workload=support")).json()
        assert (page["left"], page["unreadable"]) == (1, 1)
        made = await http.post("/v1/grades", json={"inference_id": "a", "passed": True})
        assert (made.status_code, made.json()["grader"]) == (201, "everyone")
        assert (await http.post("/v1/grades", json={"inference_id": "secret", "passed": True})).status_code == 404


MIX = st.frozensets(st.sampled_from(["everyone", "group:a", "group:b", "user:u"]), min_size=1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(st.tuples(st.lists(MIX, max_size=3), st.sampled_from(["support", "intent"])), max_size=6),
    user=st.sampled_from(["u", "v", "everyone"]),
    groups=st.frozensets(st.sampled_from(["a", "b", "everyone", "user:u"])),
    admin=st.booleans(),
    graders=st.frozensets(st.sampled_from(["group:a", "user:v", "everyone"])),
)
async def test_over_generated_permissions_nobody_grades_or_sees_what_is_not_theirs(
    answers: list[tuple[list[frozenset[str]], str]],
    user: str,
    groups: frozenset[str],
    admin: bool,
    graders: frozenset[str],
) -> None:
    log = MemoryLog()
    for n, (mixes, workload) in enumerate(answers):
        passages = tuple(passage(f"secret {n}", *mix, number=10 * n + at) for at, mix in enumerate(mixes))
        made = answer(f"a{n}", "x", workload=workload)
        await log.append(msgspec.structs.replace(made, passages=passages))
    caller = Caller(user, groups, admin=admin)
    parts = fake_parts(
        small_engine(ScriptedModel(), log=log), keys={"k": caller}, graders={"support": graders, "intent": frozenset()}
    )
    mine = {"everyone", f"user:{user}", *(f"group:{group}" for group in groups)}
    able = {w for w in ("support", "intent") if admin or (w == "support" and graders & mine)}
    readable = {f"a{n}" for n, (mixes, w) in enumerate(answers) if w in able and all(mix & mine for mix in mixes)}
    async with (
        listening(create_app(parts)) as url,
        httpx.AsyncClient(base_url=url, headers={"x-api-key": "k"}) as http,
    ):
        for workload in ("support", "intent"):
            page = await http.get(f"/v1/grades/next?workload={workload}&limit=50")
            assert page.status_code == (200 if workload in able else 403)
            if workload in able:
                own = {f"a{n}" for n, (_, of) in enumerate(answers) if of == workload}
                shown = {one["inference_id"] for task in page.json()["data"] for one in task["answers"]}
                assert shown == own & readable
                assert page.json()["unreadable"] == len(own - readable)
        for n in range(len(answers)):
            made_grade = await http.post("/v1/grades", json={"inference_id": f"a{n}", "passed": True})
            assert made_grade.status_code == (201 if f"a{n}" in readable else 404 if able else 403)
    assert {grade.inference_id for grade in await graded(log)} == readable
