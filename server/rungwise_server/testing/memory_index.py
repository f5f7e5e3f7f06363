"""A `PassageIndex` in memory: exact, small, and quick to make."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from rungwise_server.errors import NotFound
from rungwise_server.filters import Scalar, holds
from rungwise_server.retrieval.indexes.attributes import check_attributes
from rungwise_server.retrieval.indexes.points import check_entries, check_name, check_query, check_spec, in_order
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage, Vector, new_id


class MemoryIndex:
    """A `PassageIndex` that compares a query with every passage. Scores are Qdrant's: cosine, and BM25 weights times
    ln(1 + (N - n + 0.5) / (n + 0.5)) for a term that n of N passages have.
    """

    def __init__(self) -> None:
        self._specs: dict[str, CollectionSpec] = {}
        self._entries: dict[str, dict[str, IndexedPassage]] = {}

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """See PassageIndex."""
        check_name(collection)
        if collection not in self._specs:
            self._specs[collection] = spec if spec.id else msgspec.structs.replace(spec, id=new_id("collection"))
            self._entries[collection] = {}
        check_spec(collection, self._specs[collection], spec)
        return self._specs[collection]

    async def describe(self, collection: str) -> CollectionSpec | None:
        """See PassageIndex."""
        return self._specs.get(collection)

    async def count(self, collection: str) -> int:
        """See PassageIndex."""
        return len(self._entries.get(collection, ()))

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """See PassageIndex. Raises NotFound for a collection that is not there."""
        if collection not in self._specs:
            raise NotFound(f"there is no collection {collection!r}: create it first")
        check_entries(collection, self._specs[collection], entries)
        self._entries[collection].update({entry.passage.id: entry for entry in entries})

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """See PassageIndex."""
        for entry in self._document(collection, source, document_id):
            if not keep_version or entry.passage.version != keep_version:
                del self._entries[collection][entry.passage.id]

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """See PassageIndex. Raises ValueError for no readers."""
        if not readers or not all(readers):
            raise ValueError(f"document {document_id!r} needs readers: remove it where nobody may read it")
        for entry in self._document(collection, source, document_id):
            passage = msgspec.structs.replace(entry.passage, readers=readers)
            self._entries[collection][passage.id] = msgspec.structs.replace(entry, passage=passage)

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """See PassageIndex."""
        check_attributes(attributes, f"document {document_id!r}")
        for entry in self._document(collection, source, document_id):
            passage = msgspec.structs.replace(entry.passage, attributes=dict(attributes))
            self._entries[collection][passage.id] = msgspec.structs.replace(entry, passage=passage)

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """See PassageIndex."""
        passages = (entry.passage for entry in self._entries.get(collection, {}).values())
        return {
            passage.document_id
            for passage in passages
            if passage.source == source and (principals is None or passage.readers & principals)
        }

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """See PassageIndex."""
        if collection not in self._specs or not query.principals or query.limit < 1:
            return Hits(dense=[], sparse=[])
        entries = list(self._entries[collection].values())
        check_query(collection, self._specs[collection], query)
        readable = [
            entry
            for entry in entries
            if entry.passage.readers & query.principals
            and (query.filter is None or holds(query.filter, entry.passage.attributes))
        ]
        having = Counter(term for entry in entries for term in entry.sparse.indices)
        total = sum(1 for entry in entries if entry.sparse.indices)
        wanted = {
            term: value * math.log(1 + (total - having[term] + 0.5) / (having[term] + 0.5))
            for term, value in zip(query.sparse.indices, query.sparse.values, strict=True)
        }

        def words(entry: IndexedPassage) -> float:
            pairs = zip(entry.sparse.indices, entry.sparse.values, strict=True)
            return sum(wanted.get(term, 0.0) * value for term, value in pairs)

        dense = ((entry, _cosine(entry.dense, query.dense)) for entry in readable)
        sparse = ((entry, words(entry)) for entry in readable if wanted.keys() & set(entry.sparse.indices))
        return Hits(dense=_best(dense, query.limit), sparse=_best(sparse, query.limit))

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """See PassageIndex."""
        for entries in self._entries.values():
            entry = entries.get(passage_id)
            if entry and entry.passage.readers & principals:
                return entry.passage
        return None

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """See PassageIndex."""
        document = self._document(passage.collection, passage.source, passage.document_id)
        readable = (entry.passage for entry in document if entry.passage.readers & principals)
        same = (other for other in readable if other.version == passage.version)
        return sorted(same, key=lambda other: (other.start, other.id))

    async def drop(self, collection: str) -> None:
        """See PassageIndex."""
        self._specs.pop(collection, None)
        self._entries.pop(collection, None)

    async def close(self) -> None:
        """See PassageIndex."""

    def _document(self, collection: str, source: str, document_id: str) -> list[IndexedPassage]:
        entries = self._entries.get(collection, {}).values()
        return [e for e in entries if (e.passage.source, e.passage.document_id) == (source, document_id)]


def _cosine(a: Vector, b: Vector) -> float:
    return float(a @ b) / (float(np.linalg.norm(a) * np.linalg.norm(b)) or 1.0)


def _best(scored: Iterable[tuple[IndexedPassage, float]], limit: int) -> list[Passage]:
    return in_order(msgspec.structs.replace(entry.passage, score=score) for entry, score in scored)[:limit]
