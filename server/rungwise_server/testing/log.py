"""The contract of InferenceLog: what every log does, whatever it is made of.

    class TestMyLog(InferenceLogContract):
        @pytest.fixture
        async def log(self, tmp_path: Path) -> AsyncIterator[InferenceLog]:
            ...

The tests are coroutines: run them with pytest-asyncio in its auto mode.
"""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Choice, Feedback, Grade, Inference, LogQuery, LogRecord, Total
from rungwise_server.types import Caller, Citation, Message, Passage, Route, ToolCall, Usage

ANA = Caller(user="ana", groups=frozenset({"finance", "staff"}), key_id="key-1")


def an_inference(id: str = "chatcmpl-1", **changes: Any) -> Inference:
    """A logged answer with something in every field; `changes` replace some of them."""
    raw = Raw(b'{"role": "user",\n "content": "What is 2\\u00b2?", "x": 1.10, "y": 1.0e2}')
    made = Inference(
        id=id,
        at=1_700_000_000.125,
        surface="chat",
        workload="support",
        caller=ANA,
        messages=(Message("user", "What is 2²? 日本語 🙂 \0 \u2028", raw),),
        params={"temperature": Raw(b"0.10"), "vendor": Raw(b'{"b":1,  "a":\n[null,2]}')},
        query="two squared",
        passages=(Passage("p1", "doc", "default", "Four.", frozenset({"everyone"}), headings=("A", "B"), score=0.5),),
        route=Route("frontier", "the first", "rules", {"frontier": 0.9, "local": 0.1}, {"frontier": 0.8}),
        candidate="frontier",
        model="model-1",
        prompt="grounded@4f1c",
        choices=(Choice("Four [1].", (ToolCall(0, "call-1", "add", '{"a": 2}'),), "stop"),),
        citations=(Citation("p1", "Sums", 5, 8),),
        outcome="ok",
        usage=Usage(10, 5, 2),
        cost=0.25,
        first_ms=12.5,
        total_ms=80.0,
    )
    return replace(made, **changes)


def a_feedback(id: str = "fb-1", inference_id: str = "chatcmpl-1", **changes: Any) -> Feedback:
    """A rating of an answer; `changes` replace some of its fields."""
    return replace(Feedback(id, 1_700_000_100.5, inference_id, "rating", ANA, value=1.0), **changes)


def a_grade(id: str = "gr-1", inference_id: str = "chatcmpl-1", **changes: Any) -> Grade:
    """A person's pass; `changes` replace some of its fields."""
    return replace(Grade(id, 1_700_000_200.5, inference_id, "correct", ANA, 1.0), **changes)


async def everything(log: InferenceLog, query: LogQuery = LogQuery(housekeeping=True, own=True)) -> list[LogRecord]:  # noqa: B008
    """All that a query finds."""
    return [record async for record in log.read(query)]


async def inferences(log: InferenceLog) -> list[Inference]:
    """All answers, chat clients' own calls and our own programs' among them."""
    return [record for record in await everything(log) if isinstance(record, Inference)]


def unplaced(records: Sequence[LogRecord]) -> list[LogRecord]:
    """The records as they were before the log gave them positions."""
    return [replace(record, position=0) for record in records]


_QUERIES = [
    (LogQuery(), "a b d e fa fb fx ga gx"),
    (LogQuery(housekeeping=True), "a b c d e fa fb fx ga gx"),
    (LogQuery(kind="inference"), "a b d e"),
    (LogQuery(own=True, kind="inference"), "a b d e o"),
    (LogQuery(kind="feedback"), "fa fb fx"),
    (LogQuery(kind="grade"), "ga gx"),
    (LogQuery(kind="grade", inference_ids=frozenset({"a"})), "ga"),
    (LogQuery(ids=frozenset({"b", "fa", "nobody"})), "b fa"),
    (LogQuery(ids=frozenset({"c"})), ""),
    (LogQuery(ids=frozenset()), ""),
    (LogQuery(inference_ids=frozenset({"a", "nowhere"})), "fa fx ga gx"),
    (LogQuery(inference_ids=frozenset()), ""),
    (LogQuery(inference_ids=frozenset({"a"}), kind="inference"), ""),
    (LogQuery(workload="support"), "a d fa ga"),
    (LogQuery(workload="intent"), "b e fb"),
    (LogQuery(workload="intent", kind="inference"), "b e"),
    (LogQuery(workload="none such"), ""),
    (LogQuery(user="ana"), "a b d fa ga"),
    (LogQuery(user="bo"), "e fb fx gx"),
    (LogQuery(user="bo", kind="feedback", inference_ids=frozenset({"b"})), "fb"),
    (LogQuery(since=20.0), "b d e fa fb fx ga gx"),
    (LogQuery(until=20.0), "a"),
    (LogQuery(since=20.0, until=40.0), "b"),
    (LogQuery(limit=2), "a b"),
    (LogQuery(limit=2, kind="feedback"), "fa fb"),
    (LogQuery(limit=100), "a b d e fa fb fx ga gx"),
]
"""Queries, and what they find in the records of the test that uses them."""


class InferenceLogContract:
    """Subclass it, and give it a `log` fixture: an empty log, closed afterwards."""

    @pytest.fixture
    async def log(self) -> InferenceLog:
        """An empty log."""
        raise NotImplementedError

    async def test_an_empty_log_has_nothing(self, log: InferenceLog) -> None:
        """No records, no error."""
        assert await everything(log) == []

    async def test_a_record_comes_back_as_it_was(self, log: InferenceLog) -> None:
        """Every field, in any script, NUL and line separators included."""
        bare = an_inference(
            "bare", route=None, usage=None, cost=None, passages=(), params={}, outcome="failed", error="no"
        )
        records: list[LogRecord] = [
            an_inference(),
            a_feedback(kind="correction", text="Vier. 四 🙂 \0", reasons=("wrong", "zu kurz"), value=None),
            a_grade(judge="strict@4f1c", over="chatcmpl-2", scale="pair", reason="längs 🙂 \0", example="ex-1"),
            a_grade("gr-2", value=None),
            bare,
        ]
        for record in records:
            await log.append(record)
        assert unplaced(await everything(log)) == records

    async def test_a_clients_own_json_comes_back_byte_for_byte(self, log: InferenceLog) -> None:
        """Spaces, line ends and the spelling of numbers are kept."""
        record = an_inference()
        await log.append(record)
        (found,) = await everything(log)
        assert isinstance(found, Inference)
        assert bytes(found.messages[0].raw) == bytes(record.messages[0].raw)
        assert {name: bytes(raw) for name, raw in found.params.items()} == {
            name: bytes(raw) for name, raw in record.params.items()
        }

    async def test_what_no_json_can_hold_does_not_escape_the_log(self, log: InferenceLog) -> None:
        """Halves of surrogate pairs, NaN and huge numbers are replaced; the record is there."""
        halves = "ok \ud83d\ude42 and alone \ud83d"
        await log.append(an_inference("a\ud83d", choices=(Choice(halves),), error=halves))
        await log.append(an_inference("b", cost=float("nan"), route=Route("x", "", "p", {"x": float("inf")})))
        await log.append(an_inference("c", workload="with\0nul", usage=Usage(2**70, -1)))
        await log.append(an_inference("d"))
        assert len(await everything(log)) == 4
        assert [record.id for record in await everything(log, LogQuery(workload="with\0nul"))] == ["c"]

    async def test_positions_rise_in_the_order_of_appending(self, log: InferenceLog) -> None:
        """Strictly, over all kinds of records together."""
        make = (an_inference, a_feedback, a_grade)
        for number in range(30):
            await log.append(make[number % 3](f"x{number}"))
        found = await everything(log)
        assert [record.id[1:] for record in found] == [str(number) for number in range(30)]
        positions = [record.position for record in found]
        assert positions[0] > 0
        assert all(a < b for a, b in pairwise(positions))

    async def test_an_id_that_is_there_is_left_as_it_is(self, log: InferenceLog) -> None:
        """The first one stays, whether the log has written it yet or not."""
        await log.append(an_inference(model="first"))
        await log.append(an_inference(model="second"))
        await everything(log)
        await log.append(an_inference(model="third"))
        await log.append(a_feedback(value=1.0))
        await log.append(a_feedback(value=-1.0))
        found = await everything(log)
        assert unplaced(found) == [an_inference(model="first"), a_feedback(value=1.0)]

    async def test_positions_stay(self, log: InferenceLog) -> None:
        """Nothing that comes later moves a record."""
        await log.append(an_inference("a"))
        before = await everything(log)
        await log.append(an_inference("a"))
        await log.append(an_inference("b"))
        assert (await everything(log))[:1] == before

    async def test_feedback_may_come_before_its_inference(self, log: InferenceLog) -> None:
        """It is kept; it belongs to the workload of its inference, once that is there."""
        await log.append(a_feedback(inference_id="later"))
        assert [r.id for r in await everything(log, LogQuery(inference_ids=frozenset({"later"})))] == ["fb-1"]
        assert await everything(log, LogQuery(workload="support")) == []
        await log.append(an_inference("later"))
        assert [r.id for r in await everything(log, LogQuery(workload="support"))] == ["fb-1", "later"]

    async def test_every_condition_of_a_query_holds(self, log: InferenceLog) -> None:
        """Each alone and some together; `since` is inclusive, `until` is not."""
        bo = Caller(user="bo")
        records: list[LogRecord] = [
            an_inference("a", at=10.0),
            an_inference("b", at=20.0, workload="intent"),
            an_inference("c", at=30.0, housekeeping=True),
            an_inference("d", at=40.0, outcome="cancelled"),
            an_inference("e", at=50.0, workload="intent", caller=bo),
            a_feedback("fa", "a", at=60.0),
            a_feedback("fb", "b", at=70.0, caller=bo),
            a_feedback("fx", "nowhere", at=80.0, caller=bo),
            a_grade("ga", "a", at=90.0),
            a_grade("gx", "nowhere", at=95.0, caller=bo),
            an_inference("o", at=99.0, surface="eval"),
        ]
        for record in records:
            await log.append(record)
        for query, expected in _QUERIES:
            assert " ".join(record.id for record in await everything(log, query)) == expected, query

    async def test_totals_are_by_day_workload_and_candidate(self, log: InferenceLog) -> None:
        """Money and tokens where they are known; own programs and housekeeping apart, and only if asked for."""
        day = 86_400.0
        for record in (
            an_inference("a", at=20_000 * day + 86_399.9),
            an_inference("b", at=20_001 * day, candidate="local", cost=None, usage=None),
            an_inference("c", at=20_001 * day + 5, candidate="local", outcome="failed", cost=None),
            an_inference("d", at=20_001 * day + 6, workload="intent"),
            an_inference("e", at=20_001 * day + 7, surface="eval"),
            an_inference("f", at=20_001 * day + 8, housekeeping=True),
            an_inference("g", at=20_001 * day + 9, surface="judge", housekeeping=True),
        ):
            await log.append(record)
        await log.append(a_feedback("fa", "a"))
        first = Total("2024-10-04", "support", "frontier", 1, 1, 1, 10, 5, 0.25, 80.0)
        intent = Total("2024-10-05", "intent", "frontier", 1, 1, 1, 10, 5, 0.25, 80.0)
        local = Total("2024-10-05", "support", "local", 2, 1, 0, 10, 5, 0.0, 160.0)
        assert await log.totals(LogQuery()) == [first, intent, local]
        assert await log.totals(LogQuery(workload="support", until=20_001 * day)) == [first]
        assert await log.totals(LogQuery(kind="feedback")) == []
        whole = await log.totals(
            LogQuery(ids=frozenset({"d", "e", "f", "g"}), own=True, housekeeping=True, workload="support")
        )
        assert [(one.requests, one.own, one.housekeeping, one.cost) for one in whole] == [
            (1, False, True, 0.25),
            (1, True, False, 0.25),
            (1, True, True, 0.25),
        ]
        assert {type(one.own) for one in whole} == {type(one.housekeeping) for one in whole} == {bool}

    async def test_after_goes_on_where_one_stopped(self, log: InferenceLog) -> None:
        """Pages by position put together are the whole."""
        for number in range(10):
            await log.append(an_inference(f"i{number}"))
            await log.append(a_feedback(f"f{number}", f"i{number}"))
        seen: list[LogRecord] = []
        while page := await everything(log, LogQuery(after=seen[-1].position if seen else 0, limit=3)):
            assert len(page) <= 3
            seen += page
        assert seen == await everything(log)
        assert len(seen) == 20

    async def test_many_ids_can_be_asked_for(self, log: InferenceLog) -> None:
        """More than a statement of any database has parameters."""
        await log.append(an_inference("wanted"))
        ids = frozenset({"wanted", *(f"other-{number}" for number in range(70_000))})
        assert [record.id for record in await everything(log, LogQuery(ids=ids))] == ["wanted"]

    async def test_ten_thousand_records(self, log: InferenceLog) -> None:
        """In order, none missing; and the last few of them alone."""
        for number in range(10_000):
            await log.append(an_inference(f"i{number}", passages=(), at=float(number + 1)))
        found = await everything(log)
        assert [record.id for record in found] == [f"i{number}" for number in range(10_000)]
        late = await everything(log, LogQuery(since=9_990.0, after=found[9_994].position))
        assert [record.id for record in late] == [f"i{number}" for number in range(9_995, 10_000)]

    async def test_reading_while_appending(self, log: InferenceLog) -> None:
        """Readers that follow the log by position miss nothing and see nothing twice."""
        for number in range(1500):
            await log.append(an_inference(f"i{number}"))

        async def appends() -> None:
            for number in range(1500, 3000):
                await log.append(an_inference(f"i{number}"))
                if number % 50 == 0:
                    await asyncio.sleep(0.001)

        async def reads() -> int:
            """Follows the log by its positions, as a consumer would; misses nothing, sees nothing twice."""
            after = count = 0
            while count < 3000:
                async for record in log.read(LogQuery(after=after)):
                    assert record.id == f"i{count}"
                    assert record.position > after
                    after = record.position
                    count += 1
                await asyncio.sleep(0.001)
            return count

        async with asyncio.timeout(60):
            _, first, second = await asyncio.gather(appends(), reads(), reads())
        assert first == second == 3000

    async def test_a_reader_may_leave_early(self, log: InferenceLog) -> None:
        """Nothing is held that would keep the next one waiting."""
        for number in range(10):
            await log.append(an_inference(f"i{number}"))
        async for record in log.read(LogQuery()):
            assert record.id == "i0"
            break
        assert len(await everything(log)) == 10
