"""Both logs against a model, in any order of appends, reads, restarts and outages."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from rungwise_server.database import open_database
from rungwise_server.log.memory import MemoryLog
from rungwise_server.log.sql import SqlLog
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import OWN_SURFACES, Feedback, Grade, Inference, LogQuery, LogRecord
from rungwise_server.testing.log import a_feedback, a_grade, an_inference, everything, unplaced
from rungwise_server.types import Caller

T = TypeVar("T")

_names = st.sampled_from(["a", "b", "c", "d", "é"])
_users = st.sampled_from(["ana", "bo"])
_workloads = st.sampled_from(["support", "intent"])
_times = st.integers(1, 9).map(float)
_inferences = st.builds(
    lambda id, at, workload, user, housekeeping, text, surface: an_inference(
        id, at=at, workload=workload, caller=Caller(user), housekeeping=housekeeping, query=text, surface=surface
    ),
    _names,
    _times,
    _workloads,
    _users,
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(["chat", "chat", "eval"]),
)
_feedbacks = st.builds(
    lambda id, about, at, user: a_feedback(id, about, at=at, caller=Caller(user)), _names, _names, _times, _users
)
_grades = st.builds(
    lambda id, about, at, user: a_grade(id, about, at=at, caller=Caller(user)), _names, _names, _times, _users
)
_KINDS: dict[str, type[LogRecord]] = {"inference": Inference, "feedback": Feedback, "grade": Grade}
_queries = st.builds(
    LogQuery,
    kind=st.sampled_from([None, None, "inference", "feedback", "grade"]),
    ids=st.none() | st.frozensets(_names),
    inference_ids=st.none() | st.none() | st.frozensets(_names),
    workload=st.just("") | _workloads,
    user=st.just("") | _users,
    since=st.just(0.0) | _times,
    until=st.just(0.0) | _times,
    housekeeping=st.booleans(),
    own=st.booleans(),
    limit=st.just(0) | st.integers(1, 4),
)


class LogMachine(RuleBasedStateMachine):
    """What the log holds is the model's list of what was appended, the first of each id."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model: list[LogRecord] = []
        self.log: InferenceLog = self.run(self.opened())

    async def opened(self) -> InferenceLog:
        return MemoryLog()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @rule(records=st.lists(_inferences | _feedbacks | _grades, max_size=6))
    def append(self, records: list[LogRecord]) -> None:
        for record in records:
            self.run(self.log.append(record))
            if not any(type(known) is type(record) and known.id == record.id for known in self.model):
                self.model.append(record)

    @rule(query=_queries)
    def read(self, query: LogQuery) -> None:
        found = self.run(everything(self.log, query))
        assert unplaced(found) == self.expected(query)

    @rule(query=_queries, data=st.data())
    def go_on(self, query: LogQuery, data: st.DataObject) -> None:
        whole = self.run(everything(self.log))
        start = data.draw(st.integers(0, len(whole)))
        after = whole[start - 1].position if start else 0
        found = self.run(everything(self.log, _at(query, after)))
        assert unplaced(found) == self.expected(query, start)

    def expected(self, query: LogQuery, start: int = 0) -> list[LogRecord]:
        workloads = {record.id: record.workload for record in self.model if isinstance(record, Inference)}
        found = self.model[start:]
        if query.kind is not None:
            found = [r for r in found if isinstance(r, _KINDS[query.kind])]
        if query.ids is not None:
            found = [r for r in found if r.id in query.ids]
        if query.inference_ids is not None:
            found = [r for r in found if not isinstance(r, Inference) and r.inference_id in query.inference_ids]
        if query.workload:
            about = {True: lambda r: r.id, False: lambda r: r.inference_id}
            found = [r for r in found if workloads.get(about[isinstance(r, Inference)](r)) == query.workload]
        if query.user:
            found = [r for r in found if r.caller.user == query.user]
        if query.since:
            found = [r for r in found if r.at >= query.since]
        if query.until:
            found = [r for r in found if r.at < query.until]
        if not query.housekeeping:
            found = [r for r in found if not isinstance(r, Inference) or not r.housekeeping]
        if not query.own:
            found = [r for r in found if not isinstance(r, Inference) or r.surface not in OWN_SURFACES]
        return found[: query.limit] if query.limit else found

    def teardown(self) -> None:
        self.runner.close()


def _at(query: LogQuery, after: int) -> LogQuery:
    return LogQuery(**{name: getattr(query, name) for name in query.__struct_fields__} | {"after": after})


@cache
def _empty_database() -> bytes:
    """A database just made: making it takes longer than all that a run does with it."""
    with tempfile.TemporaryDirectory() as folder:
        open_database(f"sqlite:///{folder}/empty.db").close()
        return (Path(folder) / "empty.db").read_bytes()


async def _recovered(log: SqlLog) -> None:
    async with asyncio.timeout(30):
        while log.state().status != "ok":
            await asyncio.sleep(0.002)


class SqlLogMachine(LogMachine):
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "rungwise.db"
        self.path.write_bytes(_empty_database())
        super().__init__()

    async def opened(self) -> SqlLog:
        self.database = open_database(f"sqlite:///{self.path}")
        return SqlLog(self.database, self.folder / "spool", linger_ms=1, batch=3)

    @rule()
    def restart(self) -> None:
        self.close()
        self.log = self.run(self.opened())

    @rule(records=st.lists(_inferences | _feedbacks | _grades, max_size=6), ends=st.booleans())
    def outage(self, records: list[LogRecord], ends: bool) -> None:
        away = self.folder / "away.db"
        self.run(everything(self.log))
        self.path.rename(away)
        self.append(records)
        if ends:
            self.close()
        away.rename(self.path)
        if ends:
            self.log = self.run(self.opened())
        assert isinstance(self.log, SqlLog)
        self.run(_recovered(self.log))
        if ends:
            # What an ended process left behind is in no promised order with what is appended here meanwhile.
            self.run(self.log.flush())

    def close(self) -> None:
        assert isinstance(self.log, SqlLog)
        self.run(self.log.close())
        assert self.log.lost == 0
        self.database.close()

    def teardown(self) -> None:
        self.close()
        super().teardown()
        shutil.rmtree(self.folder)


TestMemoryLog = LogMachine.TestCase
TestMemoryLog.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
TestSqlLog = SqlLogMachine.TestCase
TestSqlLog.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
