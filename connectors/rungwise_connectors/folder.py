"""A folder of files, or one file, as a source."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path

from rungwise_connectors.batches import batches
from rungwise_connectors.files import fingerprint, open_plain, why
from rungwise_connectors.parsers.formats import ENDINGS, ending
from rungwise_connectors.patterns import Patterns
from rungwise_connectors.records import TruncatedRecords, read_records, record_ids
from rungwise_connectors.types import Batch, Change, Cursor, Document, Fault, SourceError
from rungwise_connectors.walk import Found, Walk

_RECORDS = (".jsonl", ".jsonl.gz")
_TICK = 100_000_000
"""Nanoseconds that a kernel's change times may lag behind its clock; a cursor stays so far behind the walk."""


class Folder:
    """The files below `path` (or the file there) that can be parsed, by path from that folder.

    A document carries a path, not content: its parser reads it, in a process of its own. A `.jsonl` or `.jsonl.gz`
    file is a document a record, `PATH#ID`. `include` takes other files than those with a known ending, `exclude` leaves
    some; both as in `Patterns`. `readers` goes on every document whose record does not name its own; None leaves the
    question open. Files come in the order of their change times, and a cursor is the newest one seen: some files come
    again with the version that they had.
    """

    def __init__(
        self,
        name: str,
        path: Path | str,
        readers: frozenset[str] | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._path = Path(path)
        self._readers = readers
        self._include = Patterns(include)
        self._exclude = Patterns(exclude)
        asked = "\0".join((os.path.abspath(path), *include, "\0", *exclude))
        self._asked = hashlib.blake2b(asked.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()

    async def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
        """Every file that changed since, and what could not be read, oldest change first.

        Raises:
            SourceError: nothing is at the path, or it cannot be listed.
        """
        now = time.time_ns() - _TICK
        after = self._parse(since)
        if after > now:
            after = 0
        found = await asyncio.to_thread(self._changed, after)
        async for batch in batches(self._read(found, now)):
            yield batch

    async def ids(self) -> AsyncIterator[str]:
        """The id of every document there is, readable or not.

        Raises:
            SourceError: the folder or a part of it cannot be listed, or a file of records breaks off.
        """
        ids = self._ids()
        while chunk := await asyncio.to_thread(lambda: list(islice(ids, 1000))):
            for id in chunk:
                yield id

    def _parse(self, since: Cursor | None) -> int:
        # A cursor that was saved for another path or other patterns knows nothing of what these take.
        after, _, asked = (since or "").partition("-")
        return int(after) if asked == self._asked and after.isdecimal() else 0

    def _changed(self, after: int) -> list[Found]:
        found = [entry for entry in self._entries() if entry.changed >= after]
        found.sort(key=lambda entry: (entry.changed, entry.id))
        return found

    def _entries(self) -> Iterator[Found]:
        try:
            root = self._path.resolve(strict=True)
            if root.is_dir():
                yield from Walk(root, self._takes, lambda id: not self._exclude.match(id))
            else:
                yield Found(root.name, root.stat().st_ctime_ns, str(root))
        except OSError as error:
            raise SourceError(f"source {self.name}: {self._path} cannot be read: {why(error)}") from None

    def _takes(self, id: str) -> bool:
        if self._exclude.match(id):
            return False
        return self._include.match(id) if self._include else ending(id) in ENDINGS or _holds_records(id)

    def _read(self, found: list[Found], now: int) -> Iterator[tuple[Change, Cursor]]:
        for entry in found:
            cursor = f"{min(entry.changed, now)}-{self._asked}"
            for change in self._document(entry):
                yield change, cursor

    def _document(self, entry: Found) -> Iterator[Change]:
        if entry.fault:
            yield Fault(entry.id, entry.fault)
            return
        path = Path(entry.path)
        try:
            with open_plain(path) as file:
                if _holds_records(entry.id):
                    yield from read_records(file, entry.id, f"{entry.id}#", self._readers)
                else:
                    media_type = ENDINGS.get(ending(entry.id), "")
                    version = fingerprint(file)
                    yield Document(entry.id, version, media_type=media_type, readers=self._readers, path=path)
        except FileNotFoundError:
            return
        except OSError as error:
            yield Fault(entry.id, why(error))

    def _ids(self) -> Iterator[str]:
        for entry in self._entries():
            if entry.kind == "folder":
                raise SourceError(
                    f"source {self.name}: {entry.id}: {entry.fault}, so nothing is known of what it holds"
                )
            if entry.kind == "link":
                continue
            if entry.fault or not _holds_records(entry.id):
                yield entry.id
                continue
            try:
                with open_plain(Path(entry.path)) as file:
                    yield from record_ids(file, f"{entry.id}#")
            except FileNotFoundError:
                continue
            except (OSError, TruncatedRecords) as error:
                reason = why(error) if isinstance(error, OSError) else str(error)
                raise SourceError(
                    f"source {self.name}: {entry.id}: {reason}, so nothing is known of the rest"
                ) from None


def _holds_records(id: str) -> bool:
    return id.lower().endswith(_RECORDS)
