"""Work in line for workers, in SQLite or PostgreSQL.

All work of a kind on one subject is one row. What is put while a worker is on it waits in that row until the worker is
done, so that two workers are never on one subject, and putting it twice does it once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.dialects import postgresql, sqlite

from rungwise_server.database import Database
from rungwise_server.database import job as table
from rungwise_server.keeping import Job
from rungwise_server.types import new_id

_TRIES = 5
"""How often the oldest job may be snatched away by others before there is none for this worker now."""


class SqlQueue:
    """A JobQueue over a database. `clock` gives seconds since the epoch; those of all workers should agree.

    A worker may be given a name that another has: a job that was taken again belongs to the later `take`.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def put(self, kind: str, subject: str, body: Raw = Raw(b"{}")) -> None:  # noqa: B008 a frozen value
        """Queue work; see JobQueue. While a worker is on that subject, it waits until that one is done."""
        await asyncio.to_thread(self._put, kind, subject, bytes(body).decode())

    async def take(self, kinds: Sequence[str], worker: str, lease: float) -> Job | None:
        """The oldest job that nobody has; see JobQueue."""
        return await asyncio.to_thread(self._take, kinds, worker, lease)

    async def renew(self, job: Job, worker: str, lease: float) -> bool:
        """Hold on to it; see JobQueue. A lease that has run out is renewed where nobody took the job since."""
        return await asyncio.to_thread(self._free, job, worker, lease, worker)

    async def done(self, job: Job, worker: str) -> None:
        """It is finished; see JobQueue. Nothing happens where another has it."""
        await asyncio.to_thread(self._done, job, worker)

    async def put_back(self, job: Job, worker: str, wait: float) -> None:
        """Somebody is to try again; see JobQueue. Nothing happens where another has it."""
        await asyncio.to_thread(self._free, job, worker, wait, "")

    async def waiting(self) -> int:
        """How many jobs no worker is on; see JobQueue."""
        return await asyncio.to_thread(self._waiting)

    # On threads.

    def _put(self, kind: str, subject: str, body: str) -> None:
        with self._database.write() as connection:
            self._insert(connection, kind, subject, body)

    def _insert(self, connection: sa.Connection, kind: str, subject: str, body: str) -> None:
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        fresh = insert(table).values(
            id=new_id("job"), kind=kind, subject=subject, body=body, worker="", free_at=0.0, attempts=0
        )
        taken = (table.c.worker != "") & table.c.next_body.is_(None)
        connection.execute(
            fresh.on_conflict_do_update(
                index_elements=["kind", "subject"], set_={"next_body": fresh.excluded.body}, where=taken
            )
        )

    def _take(self, kinds: Sequence[str], worker: str, lease: float) -> Job | None:
        for _ in range(_TRIES):
            kind = self._oldest(kinds)
            if kind is None:
                break
            now = self._clock()
            with self._database.write() as connection:
                row = connection.execute(_free(kind, now).with_for_update(skip_locked=True)).first()
                if row is not None:
                    connection.execute(
                        sa.update(table)
                        .where(table.c.position == row.position)
                        .values(worker=worker, free_at=now + lease, attempts=row.attempts + 1)
                    )
                    return Job(row.id, row.kind, row.subject, Raw(row.body.encode()), row.attempts + 1)
        return None

    def _oldest(self, kinds: Sequence[str]) -> str | None:
        """The kind of the oldest free job. Asked without a lock: an idle worker need not hold up those who write."""
        with self._database.read() as connection:
            rows = [connection.execute(_free(kind, self._clock())).first() for kind in dict.fromkeys(kinds)]
        found = [row for row in rows if row is not None]
        return min(found, key=lambda row: int(row.position)).kind if found else None

    def _free(self, job: Job, worker: str, wait: float, then: str) -> bool:
        with self._database.write() as connection:
            held = sa.update(table).where(*_held(job, worker))
            return connection.execute(held.values(worker=then, free_at=self._clock() + wait)).rowcount > 0

    def _done(self, job: Job, worker: str) -> None:
        with self._database.write() as connection:
            ended = connection.execute(sa.delete(table).where(*_held(job, worker)).returning(table.c.next_body)).first()
            if ended is not None and ended.next_body is not None:
                self._insert(connection, job.kind, job.subject, ended.next_body)

    def _waiting(self) -> int:
        idle = sa.case((table.c.free_at <= self._clock(), 1), (table.c.worker == "", 1), else_=0)
        behind = sa.case((table.c.next_body.is_not(None), 1), else_=0)
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(idle + behind), 0))).scalar_one())


def _free(kind: str, now: float) -> sa.Select[Any]:
    """The oldest job of a kind that nobody has. One kind at a time: for several, databases sort all that wait."""
    return sa.select(table).where(table.c.kind == kind, table.c.free_at <= now).order_by(table.c.position).limit(1)


def _held(job: Job, worker: str) -> Sequence[sa.ColumnElement[bool]]:
    return table.c.id == job.id, table.c.worker == worker, table.c.attempts == job.attempts
