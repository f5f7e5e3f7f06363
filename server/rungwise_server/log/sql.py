"""The log in SQLite or PostgreSQL.

    append ──> queue ──journal thread──> spool on disk ──database thread──> tables

The event loop pays for an append to a queue. The journal thread encodes what gathered within `linger_ms` and writes it
to the spool: from there on it survives kill -9, however long the database takes. The database thread moves rows on, in
batches, and tries again for as long as the database refuses. Rows are inserted under their ids, so that moving a batch
twice changes nothing.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from rungwise_server.database import Database
from rungwise_server.errors import BadRequest, RungwiseError
from rungwise_server.log import rows as rowing
from rungwise_server.log.rows import Row
from rungwise_server.log.segments import frame
from rungwise_server.log.spool import Leftover, Spool, leftovers
from rungwise_server.records import LogQuery, LogRecord, Total

logger = logging.getLogger("rungwise.log")

_QUEUE = 20_000
_PAGE = 500
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_PATIENCE = 10.0


class LogState(Struct, frozen=True):
    """How the log is. `waiting` counts rows that are in the spool and not yet in the database, `lost` those for which
    there was room nowhere; `reason` says why it is spooling.
    """

    status: Literal["ok", "spooling"]
    waiting: int
    lost: int
    reason: str = ""


class SqlLog:
    """An InferenceLog over a database, with a spool folder for the time when it does not answer.

    Starts two threads. `close` ends them, once what was appended is in the database or, where that does not answer,
    in the spool for the next start.
    """

    def __init__(self, database: Database, spool_folder: Path, *, linger_ms: float = 20, batch: int = 256) -> None:
        self._database = database
        self._folder = spool_folder
        self._linger = linger_ms / 1000
        self._batch = batch
        self._queue: deque[LogRecord] = deque()
        self._spool = Spool(spool_folder)
        self._leftovers: list[Leftover] = []
        self._adopted = False
        self._appended = 0
        self._dropped = 0
        self._reason = ""
        self._wake = threading.Event()
        """There is something in the queue."""
        self._hurry = threading.Event()
        """Somebody waits for it: do not linger."""
        self._work = threading.Event()
        """There is something in the spool."""
        self._closing = threading.Event()
        self._journalled = False
        self._moved = threading.Condition()
        self._settled = 0
        """Of the rows appended here, how many are in the database or given up; guarded by `_moved`."""
        self._journal = threading.Thread(target=self._write_journal, name="log-journal", daemon=True)
        self._mover = threading.Thread(target=self._move, name="log-database", daemon=True)
        self._journal.start()
        self._mover.start()

    async def append(self, record: LogRecord) -> None:
        """Take a record; see InferenceLog. Costs the event loop less than a microsecond."""
        if len(self._queue) >= _QUEUE or self._closing.is_set():
            self._drop(1, "the log's queue is full" if not self._closing.is_set() else "the log is closed")
            return
        self._appended += 1
        self._queue.append(record)
        if not self._wake.is_set():
            self._wake.set()

    async def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """Records by position; see InferenceLog. What was appended here before the call is among them, and what a
        killed process left behind before this one started.
        """
        await self.flush()
        after, left = query.after, query.limit
        while True:
            size = min(left, _PAGE) if query.limit else _PAGE
            page = await asyncio.to_thread(self._page, query, after, size)
            for position, record in page:
                after = position
                if record is not None:
                    yield record
            left -= len(page)
            if len(page) < size or (query.limit and left <= 0):
                return

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """Sums by day; see InferenceLog."""
        await self.flush()
        return await asyncio.to_thread(self._totals, query)

    @property
    def lost(self) -> int:
        """Records for which there was room nowhere: neither database, nor disk, nor memory."""
        return self._dropped + self._spool.lost

    def state(self) -> LogState:
        """How the log is, for `/readyz` and `/metrics`."""
        waiting = self._spool.waiting + sum(left.waiting for left in self._leftovers)
        return LogState("spooling" if self._reason else "ok", waiting, self.lost, self._reason or self._spool.fault)

    async def flush(self) -> None:
        """Wait until what was appended before is in the database, unless that refuses."""
        await asyncio.to_thread(self._flush)

    async def close(self) -> None:
        """Write what is left, and end. Rows that the database does not take now stay in the spool."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._journal.join()
        self._work.set()
        self._mover.join(timeout=_PATIENCE)

    def _flush(self) -> None:
        """Wait until what was appended before, here or by a process that is gone, is in the database, unless that
        refuses.
        """
        with self._moved:
            target = self._appended
            if self._settled < target:
                self._hurry.set()
                self._wake.set()
            self._moved.wait_for(
                lambda: (
                    bool(self._reason)
                    or (self._settled + self._spool.lost >= target and self._adopted and not self._leftovers)
                ),
                timeout=_PATIENCE,
            )

    def _totals(self, query: LogQuery) -> list[Total]:
        if query.inference_ids is not None or query.kind not in (None, "inference"):
            return []
        with self._database.read() as connection:
            found = connection.execute(rowing.sums(query, self._database.dialect)).all()
        return [rowing.total(row) for row in found]

    def _page(self, query: LogQuery, after: int, limit: int) -> list[tuple[int, LogRecord | None]]:
        statement = rowing.select(query, after, limit, self._database.dialect)
        if statement is None:
            return []
        with self._database.read() as connection:
            found = connection.execute(statement).all()
        page: list[tuple[int, LogRecord | None]] = []
        for position, body in found:
            try:
                page.append((position, rowing.decode(body, position)))
            except msgspec.DecodeError as error:
                logger.error("the log's record at position %d cannot be read: %s", position, error)
                page.append((position, None))
        return page

    # The journal thread.

    def _write_journal(self) -> None:
        closing = False
        while not closing:
            self._wake.wait()
            self._hurry.wait(self._linger)
            # In this order: what comes after it finds the flag down, and raises it again.
            closing = self._closing.is_set()
            self._wake.clear()
            self._hurry.clear()
            rows = []
            while self._queue:
                record = self._queue.popleft()
                try:
                    rows.append(rowing.encode(record))
                except Exception:
                    logger.exception("record %s cannot be written", record.id)
                    self._drop(1, "a record that cannot be written")
                    self._settle(1)
            if rows:
                try:
                    dropped = self._spool.put(rows, sync=bool(self._reason))
                except Exception:
                    logger.exception("this is a fault in rungwise")
                    dropped = len(rows)
                if dropped:
                    self._drop(dropped, "the database, the spool and the memory take no more")
                    self._settle(dropped)
                self._work.set()
        self._journalled = True

    def _drop(self, count: int, why: str) -> None:
        with self._moved:
            before, self._dropped = self._dropped, self._dropped + count
        if not before or before // 1000 != self._dropped // 1000:
            logger.error("%s: %d records are lost", why, self._dropped)

    # The database thread.

    def _move(self) -> None:
        wait = _FIRST_WAIT
        while True:
            last = self._journalled
            self._work.clear()
            try:
                if not self._adopted:
                    self._adopt()
                moved = self._move_batch()
            except Exception as error:
                self._spool.keep()
                self._refused(error)
                if last:
                    break
                if self._closing.wait(wait):
                    self._journal.join()
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            wait = _FIRST_WAIT
            self._recovered()
            if moved:
                continue
            if last:
                break
            self._work.wait()
        kept_nowhere = self._spool.close()
        if kept_nowhere:
            self._drop(kept_nowhere, "closed while neither the database nor the spool could be written")
        for left in self._leftovers:
            left.close()

    def _move_batch(self) -> bool:
        """Bring the next rows into the database: of our own, and of a leftover, so that neither waits for the other."""
        own = self._spool.take(self._batch)
        if own:
            self._store(own)
            self._spool.done()
            self._settle(len(own))
        return self._move_leftover() or bool(own)

    def _move_leftover(self) -> bool:
        if not self._leftovers:
            return False
        left = self._leftovers[0]
        try:
            rows = left.take(self._batch)
        except OSError as error:
            logger.error("what another process left in %s cannot be read (%s): it stays there", self._folder, error)
            rows = []
        if rows:
            self._store(rows)
            left.done()
        else:
            self._leftovers.pop(0).close()
            self._settle(0)
        return True

    def _adopt(self) -> None:
        try:
            self._leftovers = leftovers(self._folder)
        except OSError as error:
            logger.error("what other processes may have left in %s cannot be read (%s)", self._folder, error)
        self._adopted = True
        self._settle(0)

    def _store(self, rows: Sequence[Row]) -> None:
        try:
            with self._database.write() as connection:
                rowing.insert(connection, rows)
        except BadRequest as error:
            # One row that the database can never take must not hold up all that come after it.
            if len(rows) > 1:
                for row in rows:
                    self._store([row])
            else:
                self._set_aside(rows[0], error)

    def _set_aside(self, row: Row, error: RungwiseError) -> None:
        path = self._folder / f"refused-{time.time_ns():016x}.unreadable"
        path.write_bytes(frame(row))
        logger.error("a record is no record for the database (%s): kept in %s for a person to look at", error, path)

    def _settle(self, count: int) -> None:
        with self._moved:
            self._settled += count
            self._moved.notify_all()

    def _refused(self, error: Exception) -> None:
        reason = error.message if isinstance(error, RungwiseError) else f"{type(error).__name__}: {error}"
        if not self._reason:
            logger.warning("%s; the log's records go to %s until it does", reason, self._folder)
            if not isinstance(error, RungwiseError | OSError):
                logger.exception("this is a fault in rungwise")
            self._spool.sync()
        with self._moved:
            self._reason = reason
            self._moved.notify_all()

    def _recovered(self) -> None:
        if self._reason:
            logger.warning("the log's database takes records again")
            with self._moved:
                self._reason = ""
