"""What a batch file asks for and what of it is left to do, kept on disk: memory stays flat, whatever the file's size.

The plan is a scratch SQLite database that the operating system deletes with the process. It is made anew in each run,
from the input and from what the outputs have: those are the state, and the plan can be trusted after any kill.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from rungwise_pipelines.batch.lines import Fault, Limits, Line, Span, read_line, spans
from rungwise_pipelines.batch.order import prefix_key
from rungwise_server.errors import SetupError

SHOWN = 100
"""Faults that are kept; the others are counted."""

_STEP = 2_000
_STEP_BYTES = 8 << 20
_PAGE = 256

_TABLE = """
    CREATE TABLE line (
        ordinal INTEGER PRIMARY KEY, number INTEGER, offset INTEGER, length INTEGER, key BLOB, id BLOB,
        done INTEGER DEFAULT 0
    )
"""
_TWICE = """
    SELECT number, first, offset, length FROM
        (SELECT number, offset, length, min(number) OVER (PARTITION BY id) AS first FROM line)
    WHERE number > first ORDER BY number
"""


class Plan:
    """The lines of one file. Use `read_plan`; `close` it in the end."""

    def __init__(self, file: BinaryIO, limits: Limits, endpoint: str) -> None:
        self._file, self._limits, self._endpoint = file, limits, endpoint
        self._scratch = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._scratch.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;")
        self._scratch.execute(_TABLE)
        self._digest = blake2b(digest_size=16)
        self._spans = spans(file, limits.line_bytes)
        self.faults: list[Fault] = []
        """The first of them, by line."""
        self.fault_count = 0
        self.lines = 0

    @property
    def fingerprint(self) -> str:
        """Of the input's contents; known once it is read."""
        return self._digest.hexdigest()

    def step(self) -> bool:
        """Read some more; whether there may be more still."""
        rows: list[tuple[int, int, int, bytes, bytes]] = []
        read = 0
        for span in self._spans:
            row = self._row(span)
            read += len(span.raw)
            if row is not None:
                rows.append(row)
            if len(rows) >= _STEP or read >= _STEP_BYTES:
                break
        if rows:
            insert = "INSERT INTO line (number, offset, length, key, id) VALUES (?, ?, ?, ?, ?)"
            self._scratch.execute("BEGIN")
            self._scratch.executemany(insert, rows)
            self._scratch.execute("COMMIT")
        return read > 0 and self.fault_count < SHOWN * SHOWN

    def finish(self) -> None:
        """Find what can be wrong with the file as a whole."""
        self._scratch.execute("CREATE INDEX by_id ON line (id)")
        for number, first, offset, length in self._scratch.execute(_TWICE):
            custom_id = ""
            if len(self.faults) < SHOWN:
                custom_id = self._line(number, offset, length).custom_id
            message = f"The custom_id {custom_id[:200]!r} is a duplicate of that of line {first}: each must be unique."
            self._fault(Fault("duplicate_custom_id", message, "custom_id", number))
        self.faults.sort(key=lambda fault: fault.line or 0)
        if not self.lines:
            self._fault(Fault("empty_file", "The input file is empty: it has no requests."))
        elif self._limits.lines and self.lines > self._limits.lines:
            what = f"The input file has {self.lines:,} requests, and a batch takes {self._limits.lines:,} at most."
            self._fault(Fault("too_many_requests_in_file", what))

    def mark(self, custom_ids: Iterable[str]) -> None:
        """These are done. Raises SetupError for one that is not in the file."""
        self._scratch.execute("BEGIN")
        for custom_id in custom_ids:
            update = "UPDATE line SET done = 1 WHERE id = ?"
            if not self._scratch.execute(update, (_hash(custom_id),)).rowcount:
                raise SetupError(
                    f"the output has a custom_id that is not in the input: {custom_id[:200]!r}. "
                    "Give another output file with -o, or move this one away."
                )
        self._scratch.execute("COMMIT")

    def left(self, limit: int = 0) -> int:
        """How many lines are to be done, of the first `limit` of the file (0: of all)."""
        count = "SELECT count(*) FROM line WHERE NOT done AND ordinal <= ?"
        return int(self._scratch.execute(count, (limit or self.lines,)).fetchone()[0])

    def rest(self, limit: int = 0, *, together: bool = True) -> Iterator[Line]:
        """The lines that are to be done; with `together` those that begin alike stand beside each other, else all are
        in the file's order. Raises SetupError where the file has changed since it was read.
        """
        order = "key, ordinal" if together else "ordinal"
        chosen = self._scratch.execute(
            f"SELECT number, offset, length, id FROM line WHERE NOT done AND ordinal <= ? ORDER BY {order}",
            (limit or self.lines,),
        )
        while page := chosen.fetchmany(_PAGE):
            for number, offset, length, id in page:
                line = self._line(number, offset, length)
                if _hash(line.custom_id) != id:
                    raise _changed(number)
                yield line

    def close(self) -> None:
        """Let go of the scratch database and the file."""
        self._scratch.close()
        self._file.close()

    def _row(self, span: Span) -> tuple[int, int, int, bytes, bytes] | None:
        self._digest.update(span.raw)
        self.lines += 1
        if span.data is None:
            limit = self._limits.line_bytes
            self._fault(Fault("line_too_long", f"This line is longer than {limit:,} bytes.", None, span.number))
            return None
        line = read_line(span.data, span.number, self._endpoint)
        if isinstance(line, Fault):
            self._fault(line)
            return None
        return span.number, span.offset, len(span.data), prefix_key(line.body), _hash(line.custom_id)

    def _fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < SHOWN:
            self.faults.append(fault)

    def _line(self, number: int, offset: int, length: int) -> Line:
        line = read_line(os.pread(self._file.fileno(), length, offset), number, self._endpoint)
        if isinstance(line, Fault):
            raise _changed(number)
        return line


@contextlib.asynccontextmanager
async def read_plan(
    path: Path, limits: Limits, endpoint: str = "", told: Callable[[int], None] = lambda _: None
) -> AsyncIterator[Plan]:
    """The plan of a file, whose `faults` must be looked at first. `told` hears how many lines were read.

    Raises:
        SetupError: the file cannot be read.
    """
    try:
        file = path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    plan = Plan(file, limits, endpoint)
    try:
        size = os.fstat(file.fileno()).st_size
        if limits.file_bytes and size > limits.file_bytes:
            what = f"The input file has {size:,} bytes, and a batch takes {limits.file_bytes:,} at most."
            plan.faults, plan.fault_count = [Fault("file_too_large", what)], 1
        else:
            while await asyncio.to_thread(_reading, path, plan.step):
                told(plan.lines)
            await asyncio.to_thread(plan.finish)
        yield plan
    finally:
        plan.close()


def _reading(path: Path, step: Callable[[], bool]) -> bool:
    try:
        return step()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None


def _hash(custom_id: str) -> bytes:
    return blake2b(custom_id.encode(), digest_size=16).digest()


def _changed(number: int) -> SetupError:
    return SetupError(
        f"line {number} of the input has changed since the batch began. What is done is written; put the file back as "
        "it was and run the same command again, or give another output file with -o."
    )
