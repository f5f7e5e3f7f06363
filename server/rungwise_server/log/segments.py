"""Files of rows, oldest first: taken from the front, and deleted once what they hold is done with.

A row is two lines: a header (JSON, with the row's columns and the length of the body) and the body as it is. It is not
one line because a client's own JSON, which is kept byte for byte, may have line ends in it.
"""

import logging
import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from rungwise_server.log.rows import Columns, Row, TableName

logger = logging.getLogger("rungwise.log")

_TAKE_BYTES = 8 << 20


class _Header(Struct, frozen=True):
    table: TableName
    length: int
    columns: Columns


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Header)


class _Torn(Exception):
    """The file ends within a row, as it does where a process was killed while it wrote."""


class Segment(Struct):
    """One file. Its writer moves `end` forward once bytes are there, and never writes to it again once it is `sealed`:
    by the writer itself, or by the reader that found it deleted or damaged.
    """

    path: Path
    end: int = 0
    rows: int = 0
    sealed: bool = False


def frame(row: Row) -> bytes:
    """The two lines of a row."""
    header = _encoder.encode(_Header(row.table, len(row.body), row.columns))
    return b"%b\n%b\n" % (header, row.body)


class Segments:
    """Segments in their order. One thread adds and grows them, another takes from them; neither waits for the other."""

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()
        self._start = 0
        """Of the first segment: what lies before is done."""
        self._done = 0
        """How many rows lie before it."""
        self._taken = (0, 0)
        """The same two after what was taken last."""
        self.lost = 0
        """Rows whose file was deleted by somebody else."""

    @property
    def waiting(self) -> int:
        """How many rows are here."""
        return sum(segment.rows for segment in list(self._segments)) - self._done

    @property
    def paths(self) -> list[Path]:
        """The files, oldest first."""
        return [segment.path for segment in list(self._segments)]

    def add(self, segment: Segment) -> None:
        """Put a segment at the end."""
        self._segments.append(segment)

    def take(self, limit: int) -> list[Row]:
        """The next rows, at most `limit`; the same again until `done` is called. Raises OSError."""
        while self._segments:
            segment = self._segments[0]
            sealed = segment.sealed  # read before `end`, which does not move any more once this is set
            if self._start < segment.end:
                rows = self._read(segment, limit)
                if rows:
                    return rows
            elif sealed:
                segment.path.unlink(missing_ok=True)
                self._segments.popleft()
                self._start, self._done = 0, 0
            else:
                break
        self._taken = self._start, self._done
        return []

    def done(self) -> None:
        """What `take` returned is safe elsewhere."""
        self._start, self._done = self._taken

    def _read(self, segment: Segment, limit: int) -> list[Row]:
        rows: list[Row] = []
        position = self._start
        try:
            with segment.path.open("rb") as file:
                file.seek(position)
                while position < segment.end and len(rows) < limit and position - self._start < _TAKE_BYTES:
                    rows.append(_read_row(file))
                    position = file.tell()
        except FileNotFoundError:
            self.lost += segment.rows - self._done
            logger.error("%s was deleted before its records were in the log", segment.path)
            self._start, segment.sealed = segment.end, True
        except _Torn:
            if not rows:
                logger.warning("%s ends within a record: its process was killed while it wrote", segment.path)
                self._start, segment.sealed = segment.end, True
        except msgspec.DecodeError as error:
            if not rows:
                aside = segment.path.with_suffix(".unreadable")
                segment.path.rename(aside)
                logger.error("%s is damaged at byte %d (%s): kept for a person to look at", aside, position, error)
                self._start, segment.sealed = segment.end, True
        self._taken = position, self._done + len(rows)
        return rows


def measured(path: Path) -> Segment:
    """A segment that another process left behind. Raises OSError."""
    rows = 0
    with path.open("rb") as file:
        try:
            while header := file.readline():
                file.seek(_decoder.decode(header).length + 1, os.SEEK_CUR)
                rows += 1
        except msgspec.DecodeError:
            pass  # torn or damaged: `take` finds out where, and says so
        return Segment(path, file.seek(0, os.SEEK_END), rows, sealed=True)


def _read_row(file: BinaryIO) -> Row:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise _Torn
    header = _decoder.decode(line)
    body = file.read(header.length + 1)
    if len(body) <= header.length:
        raise _Torn
    if not body.endswith(b"\n"):
        raise msgspec.DecodeError("the body is not as long as its header says")
    return Row(header.table, header.columns, body[:-1])
