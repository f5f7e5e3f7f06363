"""Records, one JSON object a line, as a source."""

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from rungwise_connectors.attributes import attributes_of
from rungwise_connectors.batches import batches
from rungwise_connectors.files import fingerprint, open_plain, why
from rungwise_connectors.readers import readers_of
from rungwise_connectors.types import Batch, Change, Cursor, Document, Fault, SourceError

LINE_LIMIT = 16 * 2**20
"""Bytes of the longest line that is read."""

_GIVE_UP = 4 * 2**30
_FAULTS = 100
_ID_LIMIT = 1000


class TruncatedRecords(Exception):
    """The records break off: what comes after this place cannot be read. The message says where and why."""


class Records:
    """A `.jsonl` or `.jsonl.gz` file of `{"id", "title", "text", "url"?, "readers"?, "attributes"?}`; other fields are
    ignored.

    `id` is a string or a number, `readers` a name or a list of names, `attributes` a mapping (see `attributes_of`);
    `readers` of the source go on every record that names none. A line that is no such record is a Fault that names its
    number, and the rest goes on. While the file stays as it is, nothing comes; when it changed, every record comes
    again, with a version by its own content.
    """

    def __init__(self, name: str, path: Path | str, readers: frozenset[str] | None = None) -> None:
        self.name = name
        self._path = Path(path)
        self._readers = readers

    async def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
        """All records, or the rest of them after `since` while the file is the same, in the order of the file.

        Raises:
            SourceError: the file is not there or cannot be read.
        """
        file = await asyncio.to_thread(self._open)
        with file:
            mark = await asyncio.to_thread(fingerprint, file)
            was, _, count = (since or "").partition("@")
            done = int(count) if was == mark and count.isdecimal() else 0
            if was == mark and count == "end":
                return
            file.seek(0)
            try:
                async for batch in batches(self._rest(file, mark, done)):
                    yield batch
            except OSError as error:
                raise SourceError(f"source {self.name}: {self._path} cannot be read: {why(error)}") from None

    async def ids(self) -> AsyncIterator[str]:
        """The id of every record, of those with another fault too.

        Raises:
            SourceError: the file is not there, or breaks off.
        """
        file = await asyncio.to_thread(self._open)
        with file:
            ids = record_ids(file)
            try:
                while chunk := await asyncio.to_thread(lambda: list(islice(ids, 1000))):
                    for id in chunk:
                        yield id
            except (OSError, TruncatedRecords) as error:
                reason = why(error) if isinstance(error, OSError) else str(error)
                raise SourceError(f"source {self.name}: {self._path}: {reason}, so the rest is not known") from None

    def _open(self) -> BinaryIO:
        try:
            return open_plain(self._path.resolve(strict=True))
        except OSError as error:
            raise SourceError(f"source {self.name}: {self._path} cannot be read: {why(error)}") from None

    def _rest(self, file: BinaryIO, mark: str, done: int) -> Iterator[tuple[Change, Cursor]]:
        # One behind, because only the last change may carry the cursor that says that nothing is left.
        held: Change | None = None
        count = 0
        for count, change in enumerate(read_records(file, self._path.name, readers=self._readers), 1):
            if held is not None and count - 1 > done:
                yield held, f"{mark}@{count - 1}"
            held = change
        if held is not None and count > done:
            yield held, f"{mark}@end"


def read_records(
    file: BinaryIO, name: str, prefix: str = "", readers: frozenset[str] | None = None
) -> Iterator[Document | Fault]:
    """The records of an open file, gzipped or not; `prefix` goes before each id, `readers` on those that name none.

    A Fault carries the record's id where it can be read and no other line has it, else `NAME:LINE`. After a hundred
    faults only those of records that say who may read them, or say it wrongly, are named, the others counted.
    """
    seen: set[str] = set()
    faults = 0
    number, line = 0, None
    lines = _lines(file)
    while True:
        try:
            number, line = next(lines)
            if line is None:
                raise ValueError(f"longer than {LINE_LIMIT // 2**20} MB")
            document = _document(line, prefix, readers)
            if document.id in seen:
                raise ValueError(f"the id {document.id.removeprefix(prefix)!r} was there before: the first one counts")
            seen.add(document.id)
            yield document
        except StopIteration:
            break
        except TruncatedRecords as error:
            yield Fault(name, str(error))
            break
        except (ValueError, RecursionError) as error:
            faults += 1
            withdraw = isinstance(error, _ReadersUnclear)
            named = error.readers if isinstance(error, _Unusable) else None
            if faults <= _FAULTS or withdraw or named:
                id = None if line is None else _id(line)
                if id is None or prefix + id in seen:
                    yield Fault(f"{name}:{number}", f"line {number}: {_words(error)}")
                else:
                    seen.add(prefix + id)
                    yield Fault(prefix + id, f"line {number}: {_words(error)}", withdraw, named)
    if faults > _FAULTS:
        yield Fault(name, f"{faults} lines could not be read; the first {_FAULTS} of them are named")


def record_ids(file: BinaryIO, prefix: str = "") -> Iterator[str]:
    """The ids in an open file, each once, `prefix` before each. Raises TruncatedRecords where the file breaks off."""
    seen: set[str] = set()
    for _, line in _lines(file):
        id = None if line is None else _id(line)
        if id is not None and id not in seen:
            seen.add(id)
            yield prefix + id


class _ReadersUnclear(ValueError):
    """A record names its readers, wrongly."""


class _Unusable(ValueError):
    """A record says who may read it, and is of no use else."""

    def __init__(self, message: str, readers: frozenset[str] | None) -> None:
        super().__init__(message)
        self.readers = readers


class _Named(msgspec.Struct):
    id: str | int | float


class _Record(_Named):
    text: str
    title: str | None = None
    url: str | None = None
    readers: object = None
    reader: object = None
    Readers: object = None
    attributes: object = None


_NAMED = msgspec.json.Decoder(_Named)
_RECORD = msgspec.json.Decoder(_Record)


def _document(line: bytes, prefix: str, readers: frozenset[str] | None) -> Document:
    record = _RECORD.decode(line)
    id = str(record.id)
    if not id.strip() or len(id) > _ID_LIMIT:
        raise ValueError(f"the id must have 1 to {_ID_LIMIT} characters")
    if record.reader is not None or record.Readers is not None:
        raise _ReadersUnclear("who may read it must be called readers")
    try:
        own = readers if record.readers is None else readers_of(record.readers)
    except ValueError as error:
        raise _ReadersUnclear(str(error)) from None
    try:
        if not record.text.strip():
            raise ValueError("the text is empty")
        attributes = attributes_of(record.attributes)
    except ValueError as error:
        raise _Unusable(str(error), None if record.readers is None else own) from None
    version = hashlib.blake2b(line, digest_size=12).hexdigest()
    title, url = record.title or "", record.url or ""
    return Document(prefix + id, version, title, url, readers=own, text=record.text, attributes=attributes)


def _id(line: bytes) -> str | None:
    try:
        id = str(_NAMED.decode(line).id)
    except (ValueError, RecursionError):
        return None
    return id if id.strip() and len(id) <= _ID_LIMIT else None


def _words(error: Exception) -> str:
    match error:
        case RecursionError():
            return "nested too deeply"
        case UnicodeDecodeError():
            return "not UTF-8"
        case _:
            return str(error)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Each line that is not blank with its number from 1; None for one that is too long, which is skipped unread."""
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if zipped else file
    number = 0
    try:
        while line := stream.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
                length = len(line)
                while (more := stream.readline(LINE_LIMIT)) and not more.endswith(b"\n"):
                    length += len(more)
                    if length > _GIVE_UP:
                        raise TruncatedRecords(
                            f"line {number} is longer than {_GIVE_UP // 2**30} GB: the rest is not read"
                        )
                yield number, None
                continue
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TruncatedRecords(f"the gzip file breaks off after line {number}: {error}") from None
