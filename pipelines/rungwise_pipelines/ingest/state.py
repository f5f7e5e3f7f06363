"""What is known of a source from earlier runs, in the house's database.

State is voided before the index is touched and written after it, so that it never claims what the index does not hold:
a process that dies between the two reads those documents again, whatever their source says of them then.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from rungwise_connectors.types import Cursor
from rungwise_server.database import Database, source_document, source_state


class Known(Struct, frozen=True, gc=False):
    """One document as the last run left it. `seen` and `content` are fingerprints; empty means: look again."""

    id: str
    seen: str = ""
    """Of the source's version and all else that is known without reading the document."""
    content: str = ""
    """Of all that goes into its passages; empty where the index may hold nothing of it, or a half."""
    readers: frozenset[str] = frozenset()
    passages: int = 0
    failed: str = ""
    attributes: str = ""
    """Fingerprint of them; empty where there are none."""


class Mark(Struct, frozen=True):
    """How far a source was read, and under which conditions that holds."""

    cursor: Cursor | None = None
    setup: str = ""
    """Fingerprint of what was configured: with another one, every document is looked at again."""
    emptied: bool = False
    """The last listing was suspiciously empty: the next one like it is believed."""


class SourceState:
    """The state of one source. `documents` is all of it in memory; `save` and `void` change both."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self.collection = ""
        self.incarnation = ""
        self.mark = Mark()
        self.documents: dict[str, Known] = {}

    @classmethod
    async def load(cls, database: Database, source: str) -> "SourceState":
        """The state as it was saved; empty for a source that is new."""
        state = cls(database, source)
        await asyncio.to_thread(state._load)
        return state

    async def begin(self, collection: str, incarnation: str) -> None:
        """Void all that is known, and count from here on what `incarnation` of `collection` holds."""
        self.collection, self.incarnation = collection, incarnation
        self.mark = Mark()
        self.documents.clear()
        await asyncio.to_thread(self._write, (), (), self.mark, True)

    async def void(self, ids: Iterable[str]) -> None:
        """Forget what the index holds of these documents, before it changes. Unknown ones are no matter."""
        voided = [
            msgspec.structs.replace(known, seen="", content="")
            for id in ids
            if (known := self.documents.get(id)) and known.content
        ]
        await self.save(voided)

    async def save(self, known: Iterable[Known] = (), gone: Iterable[str] = (), mark: Mark | None = None) -> None:
        """Write documents, forget others and move the mark, all or nothing."""
        known, gone = list(known), list(gone)
        if not known and not gone and mark in (None, self.mark):
            return
        await asyncio.to_thread(self._write, known, gone, mark or self.mark)
        self.mark = mark or self.mark
        for id in gone:
            self.documents.pop(id, None)
        self.documents.update((document.id, document) for document in known)

    def _load(self) -> None:
        with self._database.read() as connection:
            states, documents = source_state.c, source_document.c
            row = connection.execute(sa.select(source_state).where(states.source == self._source)).one_or_none()
            if row is None:
                return
            self.collection, self.incarnation = row.collection, row.collection_id
            self.mark = msgspec.json.decode(row.cursor, type=Mark) if row.cursor else Mark()
            for row in connection.execute(sa.select(source_document).where(documents.source == self._source)):
                readers = frozenset(msgspec.json.decode(row.readers, type=list[str]))
                content, _, attributes = row.content_hash.partition("+")
                self.documents[row.document_id] = Known(
                    row.document_id, row.version, content, readers, row.passages, row.failed_reason, attributes
                )

    def _write(self, known: Iterable[Known], gone: Iterable[str], mark: Mark, anew: bool = False) -> None:
        documents, now = source_document.c, time.time()
        with self._database.write() as connection:
            connection.execute(sa.delete(source_state).where(source_state.c.source == self._source))
            connection.execute(
                sa.insert(source_state).values(
                    source=self._source,
                    collection=self.collection,
                    collection_id=self.incarnation,
                    cursor=msgspec.json.encode(mark).decode(),
                    updated_at=now,
                )
            )
            stale = sa.delete(source_document).where(documents.source == self._source)
            if anew:
                connection.execute(stale)
            if ids := [{"id": id} for id in (*gone, *(document.id for document in known))]:
                connection.execute(stale.where(documents.document_id == sa.bindparam("id")), ids)
            if rows := [
                {
                    "source": self._source,
                    "document_id": document.id,
                    "version": document.seen,
                    "content_hash": document.content + (f"+{document.attributes}" if document.attributes else ""),
                    "readers": msgspec.json.encode(sorted(document.readers)).decode(),
                    "passages": document.passages,
                    "failed_reason": document.failed,
                    "indexed_at": now,
                }
                for document in known
            ]:
                connection.execute(sa.insert(source_document), rows)


async def sources_of(database: Database, collection: str) -> list[str]:
    """The names of the sources that a collection was last filled from."""

    def read() -> list[str]:
        with database.read() as connection:
            names = sa.select(source_state.c.source).where(source_state.c.collection == collection)
            return list(connection.scalars(names.order_by(source_state.c.source)))

    return await asyncio.to_thread(read)
