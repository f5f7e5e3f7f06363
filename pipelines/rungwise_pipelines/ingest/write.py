"""Putting what was prepared into the index, in an order in which nothing is lost.

For each group of documents: take the old passages from those who may not read them any more, embed (while the old
answer stands), void the state, write the new passages, remove the old ones, write the state. Killed anywhere, the next
run finishes the group.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from rungwise_connectors.types import Deletion
from rungwise_pipelines.ingest.prepare import Failed, Prepared, Ready, Unchanged
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.split import embedding_text
from rungwise_pipelines.ingest.state import Known, Mark
from rungwise_server.errors import UpstreamRefused
from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.types import IndexedPassage, SparseVector

GROUP = 256
"""Passages that come together at least, where there are so many: what is embedded is sorted by length, so that short
ones do not wait for long ones in a batch."""

EMBED = 64
"""Passages embedded by one call: few enough for a bar that moves."""

WRITE = 64
"""Passages written together: a serving process that holds the index is kept from its work for that long."""


class Terms(Protocol):
    """Gives the term weights of a passage."""

    @property
    def name(self) -> str:
        """Identity of the tokenisation: passages and queries of one name meet."""

    def passage(self, text: str, language: str) -> SparseVector:
        """Terms and weights of `text`."""


class State(Protocol):
    """What is known of a source's documents: `SourceState` keeps it in the database."""

    @property
    def collection(self) -> str:
        """Where the source's documents go."""

    @property
    def documents(self) -> Mapping[str, Known]:
        """By id, as far as anything is known of them."""

    async def void(self, ids: Iterable[str]) -> None:
        """Forget what the index holds of these documents, before it changes."""

    async def save(self, known: Iterable[Known] = (), gone: Iterable[str] = (), mark: Mark | None = None) -> None:
        """Write documents, forget others and move the mark, all or nothing."""


class Outcome:
    """What happened to the documents of a source in a run, by id."""

    def __init__(self) -> None:
        self.new: set[str] = set()
        self.changed: set[str] = set()
        self.readers_changed: set[str] = set()
        self.deleted: set[str] = set()
        self.failed: dict[str, str] = {}
        self.passages = 0


class Writer:
    """Writes one source's documents. `indexed` are the ids of which the index may hold passages."""

    def __init__(
        self,
        index: PassageIndex,
        embedder: Embedder,
        terms: Terms,
        state: State,
        source: str,
        indexed: set[str],
        progress: Progress,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._terms = terms
        self._state = state
        self._source = source
        self.indexed = indexed
        self._progress = progress
        self.outcome = Outcome()

    async def write(self, items: Sequence[Prepared], mark: Mark) -> None:
        """Make index and state say what `items` say (no id twice), then move the mark."""
        rows: list[Known] = []
        works: list[Ready] = []
        for item in items:
            match item:
                case Ready(passages=None):
                    rows.append(await self._unsplit(item))
                case Ready():
                    works.append(item)
                case Failed():
                    rows.append(await self._failed(item))
                case Unchanged():
                    self.outcome.failed.pop(item.id, None)
        if gone := [item.id for item in items if isinstance(item, Deletion)]:
            await self.remove(gone)
        if works:
            rows += await self._documents(works)
        await self._state.save([row for row in rows if row != self._state.documents.get(row.id)], mark=mark)
        self._progress.advance(documents=len(items))

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove documents that are gone at their source."""
        held = [id for id in ids if id in self.indexed or id in self._state.documents]
        await self._state.save(gone=held)
        for id in held:
            if id in self.indexed:
                await self._index.remove(self._state.collection, self._source, id)
                self.indexed.discard(id)
            self.outcome.deleted.add(id)
            self.outcome.failed.pop(id, None)

    async def _unsplit(self, item: Ready) -> Known:
        """Readers and attributes are changed where they are: nothing is embedded."""
        known = self._state.documents[item.id]
        self.outcome.failed.pop(item.id, None)
        now = Known(item.id, item.seen, item.content, item.readers, known.passages, attributes=item.said)
        if (known.readers, known.attributes) != (now.readers, now.attributes):
            await self._state.void([item.id])
        if known.readers != now.readers:
            await self._index.set_readers(self._state.collection, self._source, item.id, item.readers)
            self.outcome.readers_changed.add(item.id)
        if known.attributes != now.attributes:
            await self._index.set_attributes(self._state.collection, self._source, item.id, item.attributes)
            self.outcome.changed.add(item.id)
        return now

    async def _failed(self, item: Failed) -> Known:
        self.outcome.failed[item.id] = item.reason
        if item.readers is not None:
            await self._narrow(item.id, item.readers)
        known = self._state.documents.get(item.id, Known(item.id))
        return msgspec.structs.replace(known, seen="", failed=item.reason)

    async def _narrow(self, id: str, readers: frozenset[str]) -> None:
        """Take what is indexed of a document from those who may not read it any more, before anything else is done.
        Nobody is let in: its words may have changed with its readers.
        """
        known = self._state.documents.get(id, Known(id))
        if id not in self.indexed or (known.content and known.readers <= readers):
            return
        left = known.readers & readers
        await self._state.save([msgspec.structs.replace(known, seen="", content="", readers=left)])
        if left:
            await self._index.set_readers(self._state.collection, self._source, id, left)
        else:
            await self._index.remove(self._state.collection, self._source, id)
            self.indexed.discard(id)

    async def _documents(self, works: Sequence[Ready]) -> list[Known]:
        for work in works:
            if work.id in self._state.documents:
                await self._narrow(work.id, work.readers)
        try:
            entries = await self._embedded(works)
            await self._state.void(work.id for work in works)
            for start in range(0, len(entries), WRITE):
                await self._index.upsert(self._state.collection, entries[start : start + WRITE])
        except (UpstreamRefused, ValueError) as error:
            if len(works) == 1:
                return [await self._failed(Failed(works[0].id, f"cannot be indexed: {error}"))]
            # One document is at fault: find out which, so that the others get in.
            return [row for work in works for row in await self._documents([work])]
        for work in works:
            if work.id in self.indexed:
                await self._index.remove(self._state.collection, self._source, work.id, keep_version=work.content)
        return [self._written(work) for work in works]

    def _written(self, work: Ready) -> Known:
        passages = len(work.passages or ())
        known = self._state.documents.get(work.id)
        if work.id in self.indexed or (known and (known.content or known.passages)):
            self.outcome.changed.add(work.id)
        else:
            self.outcome.new.add(work.id)
        if passages:
            self.indexed.add(work.id)
        self.outcome.passages += passages
        self.outcome.failed.pop(work.id, None)
        return Known(work.id, work.seen, work.content, work.readers, passages, attributes=work.said)

    async def _embedded(self, works: Sequence[Ready]) -> list[IndexedPassage]:
        passages = [passage for work in works for passage in work.passages or ()]
        texts = [embedding_text(passage) for passage in passages]
        dense = np.empty((len(texts), self._embedder.dimensions), np.float32)
        longest_first = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        for start in range(0, len(texts), EMBED):
            batch = longest_first[start : start + EMBED]
            dense[batch] = await self._embedder.embed([texts[number] for number in batch], "passage")
            self._progress.advance(passages=len(batch))
        return [
            IndexedPassage(passage, vector, self._terms.passage(text, passage.language))
            for passage, text, vector in zip(passages, texts, dense, strict=True)
        ]
