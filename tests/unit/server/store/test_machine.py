"""The database's store and queue do what those in memory do, in any order of calls and time."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.database import open_database
from rungwise_server.errors import RungwiseError
from rungwise_server.keeping import Job, JobQueue, Kept, KeptQuery, KeptStore
from rungwise_server.store.queue import SqlQueue
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.keeping import Clock, MemoryKept, MemoryQueue

_ids = st.sampled_from(["a", "b", "c", "d"])
_kinds = st.sampled_from(["file", "batch"])
_owners = st.sampled_from(["user:ana", "everyone"])
_states = st.sampled_from(["", "new", "done"])
_parents = st.sampled_from(["", "p"])
_expiries = st.just(0.0) | st.integers(0, 30).map(float)
_bodies = st.integers(0, 9).map(lambda number: Raw(b"%d" % number))
_marks = st.just("") | _ids


@cache
def _empty_database() -> bytes:
    """A database just made: making it takes longer than all that a run does with it."""
    with tempfile.TemporaryDirectory() as folder:
        open_database(f"sqlite:///{folder}/empty.db").close()
        return (Path(folder) / "empty.db").read_bytes()


class _Both(RuleBasedStateMachine):
    """Runs each call on both, which must end alike: with the same value, or an error of the same type."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock(0.0)
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "rungwise.db").write_bytes(_empty_database())
        self.database = open_database(f"sqlite:///{self.folder}/rungwise.db")

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    def end(self, call: Coroutine[Any, Any, object]) -> object:
        try:
            return self.runner.run(call)
        except RungwiseError as error:
            return type(error)

    def teardown(self) -> None:
        self.database.close()
        self.runner.close()
        shutil.rmtree(self.folder)


class KeptMachine(_Both):
    def __init__(self) -> None:
        super().__init__()
        self.model = MemoryKept(self.clock)
        self.real = SqlKept(self.database, self.clock)

    read: Bundle[Kept] = Bundle("read")

    def both(self, call: Callable[[KeptStore], Coroutine[Any, Any, object]]) -> object:
        expected, found = self.end(call(self.model)), self.end(call(self.real))
        assert msgspec.json.encode(found, enc_hook=str) == msgspec.json.encode(expected, enc_hook=str)
        return found

    @rule(target=read, id=_ids, kind=_kinds, owner=_owners, at=st.integers(0, 3), expires=_expiries, parent=_parents)
    def add(self, id: str, kind: Any, owner: str, at: int, expires: float, parent: str) -> Any:
        thing = Kept(id, kind, owner, float(at), Raw(b"{}"), parent=parent, expires_at=expires)
        found = self.both(lambda store: store.add(thing))
        return found if isinstance(found, Kept) else multiple()

    @rule(target=read, id=_ids, kind=_kinds, owner=st.none() | _owners)
    def get(self, id: str, kind: Any, owner: str | None) -> Any:
        found = self.both(lambda store: store.get(kind, id, owner))
        return found if isinstance(found, Kept) else multiple()

    @rule(target=read, kept=read, state=_states, body=_bodies, expires=_expiries)
    def change(self, kept: Kept, state: str, body: Raw, expires: float) -> Any:
        changed = replace(kept, state=state, body=body, expires_at=expires)
        found = self.both(lambda store: store.change(changed))
        return found if isinstance(found, Kept) else multiple()

    @rule(id=_ids, kind=_kinds)
    def remove(self, id: str, kind: Any) -> None:
        self.both(lambda store: store.remove(kind, id))

    @rule(kind=_kinds)
    def sweep(self, kind: Any) -> None:
        def ids(store: KeptStore) -> Coroutine[Any, Any, object]:
            async def swept() -> object:
                return sorted(kept.id for kept in await store.sweep(kind))

            return swept()

        self.both(ids)

    @rule(
        query=st.builds(
            KeptQuery,
            kind=_kinds,
            owner=st.none() | _owners,
            parent=_parents,
            states=st.frozensets(_states),
            after=_marks,
            before=_marks,
            newest_first=st.booleans(),
            limit=st.integers(1, 4),
        )
    )
    def list(self, query: KeptQuery) -> None:
        self.both(lambda store: store.list(query))


class QueueMachine(_Both):
    def __init__(self) -> None:
        super().__init__()
        self.model = MemoryQueue(self.clock)
        self.real = SqlQueue(self.database, self.clock)

    taken: Bundle[tuple[Job, Job, str]] = Bundle("taken")

    def both(self, call: Callable[[JobQueue], Coroutine[Any, Any, object]]) -> tuple[object, object]:
        expected, found = self.end(call(self.model)), self.end(call(self.real))
        assert self.without_id(found) == self.without_id(expected)
        return expected, found

    @staticmethod
    def without_id(value: object) -> object:
        return (value.kind, value.subject, bytes(value.body), value.attempts) if isinstance(value, Job) else value

    @rule(kind=_kinds, subject=_ids, body=_bodies)
    def put(self, kind: str, subject: str, body: Raw) -> None:
        self.both(lambda queue: queue.put(kind, subject, body))

    @rule(target=taken, kinds=st.lists(_kinds, max_size=2), worker=_owners, lease=st.integers(1, 10))
    def take(self, kinds: list[str], worker: str, lease: int) -> Any:
        expected, found = self.both(lambda queue: queue.take(kinds, worker, lease))
        return (expected, found, worker) if isinstance(found, Job) else multiple()

    def held(
        self, had: tuple[Job, Job, str], call: Callable[[JobQueue, Job, str], Coroutine[Any, Any, object]]
    ) -> None:
        self.both(lambda queue: call(queue, had[0] if queue is self.model else had[1], had[2]))

    @rule(had=taken, lease=st.integers(1, 10))
    def renew(self, had: tuple[Job, Job, str], lease: int) -> None:
        self.held(had, lambda queue, job, worker: queue.renew(job, worker, lease))

    @rule(had=taken)
    def done(self, had: tuple[Job, Job, str]) -> None:
        self.held(had, lambda queue, job, worker: queue.done(job, worker))

    @rule(had=taken, wait=st.integers(0, 10))
    def put_back(self, had: tuple[Job, Job, str], wait: int) -> None:
        self.held(had, lambda queue, job, worker: queue.put_back(job, worker, wait))

    @rule()
    def waiting(self) -> None:
        self.both(lambda queue: queue.waiting())


TestKept = KeptMachine.TestCase
TestKept.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
