"""The one door to Qdrant Edge: a collection's shard, Qdrant's engine inside this process.

Everything here blocks, and belongs on a thread. `search` lets other threads run; the rest holds the interpreter while
the engine works. Changes must never run two at a time on one shard.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rungwise_server.errors import IndexBusy, SetupError, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes.attributes import MARKS, narrowed
from rungwise_server.retrieval.indexes.points import (
    DENSE,
    INDEXED,
    SPARSE,
    attributes_payload,
    in_order,
    passage_of,
    payload_of,
)
from rungwise_server.types import Hits, IndexedPassage, IndexQuery, Passage

if TYPE_CHECKING:
    from types import ModuleType

    import qdrant_edge

_PAGE = 2000


class Shard:
    """An open shard. Raises SetupError if its files cannot be read, IndexBusy if another process has them."""

    def __init__(self, folder: Path, collection: str) -> None:
        import qdrant_edge as engine

        self._engine = engine
        self._collection = collection
        try:
            with self._door():
                self._shard = engine.EdgeShard.load(str(folder))
                self._ensure_indexes(engine, self._shard)
        except Unavailable as error:
            if "WouldBlock" in error.message:
                raise IndexBusy(
                    f"collection {collection!r} in {folder} is open in another process: stop that one"
                ) from error
            raise SetupError(
                f"collection {collection!r} cannot be read ({error.message}): delete {folder.parent} and run "
                f"`rungwise ingest` to fill it again"
            ) from error

    @staticmethod
    def create(folder: Path, dimensions: int) -> None:
        """Make an empty shard in `folder`, for vectors of `dimensions`."""
        import qdrant_edge as engine

        config = engine.EdgeConfig(
            vectors={DENSE: engine.EdgeVectorParams(size=dimensions, distance=engine.Distance.Cosine)},
            sparse_vectors={SPARSE: engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf)},
        )
        folder.mkdir(parents=True)
        shard = engine.EdgeShard.create(str(folder), config)
        Shard._ensure_indexes(engine, shard)
        shard.flush()
        shard.close()

    @staticmethod
    def _ensure_indexes(engine: "ModuleType", shard: "qdrant_edge.EdgeShard") -> None:
        """Also where an earlier version made the shard."""
        kinds = {"keyword": engine.PayloadSchemaType.Keyword, "integer": engine.PayloadSchemaType.Integer}
        held = shard.info().payload_schema
        for field, kind in INDEXED.items():
            if field not in held:
                shard.update(engine.UpdateOperation.create_field_index(field, kinds[kind]))

    def count(self) -> int:
        """How many passages it holds."""
        with self._door():
            return self._shard.count(self._engine.CountRequest(exact=True))

    def size(self) -> int:
        """About how many, in no time: passages that were written over lately may count twice."""
        with self._door():
            return self._shard.info().points_count

    def upsert(self, entries: Sequence[IndexedPassage]) -> None:
        """Write all or none: one record of the engine's write-ahead log."""
        engine = self._engine
        points = []
        for entry in entries:
            vectors: dict[str, list[float] | qdrant_edge.SparseVector] = {DENSE: entry.dense.tolist()}
            if entry.sparse.indices:
                vectors[SPARSE] = engine.SparseVector(list(entry.sparse.indices), list(entry.sparse.values))
            points.append(engine.Point(entry.passage.id, vectors, payload_of(entry.passage)))
        with self._door():
            self._shard.update(engine.UpdateOperation.upsert_points(points))

    def remove(self, source: str, document_id: str, keep_version: str) -> None:
        """Remove a document's passages, those of `keep_version` excepted."""
        kept: list[qdrant_edge.ConditionType] = [self._is("version", keep_version)] if keep_version else []
        document = self._engine.Filter(must=self._document(source, document_id), must_not=kept)
        with self._door():
            self._shard.update(self._engine.UpdateOperation.delete_points_by_filter(document))

    def set_readers(self, source: str, document_id: str, readers: frozenset[str]) -> None:
        """Change who may read a document."""
        self._set(source, document_id, {"readers": sorted(readers)})

    def set_attributes(self, source: str, document_id: str, attributes: Mapping[str, Scalar]) -> None:
        """Replace what is said of a document."""
        self._set(source, document_id, attributes_payload(attributes))

    def documents(self, source: str, principals: frozenset[str] | None) -> set[str]:
        """The ids of a source's documents; given `principals`, that one of them may read."""
        readable = [] if principals is None else [self._readable(principals)]
        only = self._engine.Filter(must=[self._is("source", source), *readable])
        # From the field's own index, a fifth of the time that reading the payloads takes.
        with self._door():
            found = self._shard.facet(
                self._engine.FacetRequest("document_id", limit=max(self.size(), 1), exact=True, filter=only)
            )
        return {str(hit.value) for hit in found.hits}

    def search(self, query: IndexQuery) -> Hits:
        """Both lists in one call; the filters on readers and attributes are part of each."""
        engine = self._engine
        readable: list[qdrant_edge.ConditionType] = [self._readable(query.principals)]
        must = narrowed(readable, query.filter, self)
        if must is None:
            return Hits(dense=[], sparse=[])
        allowed = engine.Filter(must=must)

        def nearest(vector: "list[float] | qdrant_edge.SparseVector", using: str) -> "qdrant_edge.QueryRequest":
            question = engine.Query.Nearest(vector, using=using)
            request: qdrant_edge.QueryRequest = engine.QueryRequest(
                limit=query.limit, query=question, filter=allowed, with_payload=True
            )
            return request

        requests = [nearest(query.dense.tolist(), DENSE)]
        if query.sparse.indices:
            terms = engine.SparseVector(list(query.sparse.indices), list(query.sparse.values))
            requests.append(nearest(terms, SPARSE))
        with self._door():
            lists = self._shard.query_batch(engine.QueryBatchRequest(requests))
        dense, sparse = lists[0], lists[1] if len(lists) > 1 else []
        return Hits(dense=self._passages(dense), sparse=self._passages(sparse))

    def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """The passage, if one of `principals` may read it."""
        found = self._scroll([self._engine.HasIdCondition({passage_id}), self._readable(principals)])
        return next((passage_of(record.id, record.payload, self._collection) for record in found), None)

    def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """All readable passages of the passage's document and version, unordered."""
        document = self._document(passage.source, passage.document_id)
        found = self._scroll([*document, self._readable(principals)])
        passages = (passage_of(record.id, record.payload, self._collection) for record in found)
        return [other for other in passages if other.version == passage.version]

    def flush(self) -> None:
        """Write everything to its place, so that opening has no log to replay and a power failure takes nothing."""
        with self._door():
            self._shard.flush()

    def optimise(self) -> None:
        """Drop what was deleted and build the graph that large collections are searched by. Seconds to minutes, all of
        it with the interpreter held: for a process of its own.
        """
        with self._door():
            self._shard.optimize()

    def close(self) -> None:
        """Let go of the files; searches that are under way end as usual, later calls raise Unavailable."""
        with self._door():
            self._shard.close()

    def marked(self, marks: list[int]) -> "qdrant_edge.ConditionType":
        """See Conditions."""
        return self._engine.FieldCondition(key=MARKS, match=self._engine.MatchAny(marks))

    def combined(
        self,
        must: "list[qdrant_edge.ConditionType]",
        should: "list[qdrant_edge.ConditionType]",
        must_not: "list[qdrant_edge.ConditionType]",
    ) -> "qdrant_edge.ConditionType":
        """See Conditions."""
        return self._engine.Filter(must=must, should=should, must_not=must_not)

    def _is(self, key: str, value: str) -> "qdrant_edge.FieldCondition":
        return self._engine.FieldCondition(key=key, match=self._engine.MatchValue(value))

    def _document(self, source: str, document_id: str) -> "list[qdrant_edge.ConditionType]":
        return [self._is("source", source), self._is("document_id", document_id)]

    def _readable(self, principals: frozenset[str]) -> "qdrant_edge.FieldCondition":
        return self._engine.FieldCondition(key="readers", match=self._engine.MatchAny(sorted(principals)))

    def _set(self, source: str, document_id: str, payload: dict[str, object]) -> None:
        document = self._engine.Filter(must=self._document(source, document_id))
        with self._door():
            self._shard.update(self._engine.UpdateOperation.set_payload_by_filter(document, payload))

    def _passages(self, points: "list[qdrant_edge.ScoredPoint]") -> list[Passage]:
        return in_order(passage_of(point.id, point.payload, self._collection, point.score) for point in points)

    def _scroll(self, must: "list[qdrant_edge.ConditionType]") -> "Iterator[qdrant_edge.Record]":
        only = self._engine.Filter(must=must)
        offset: qdrant_edge.PointId | None = None
        while True:
            request = self._engine.ScrollRequest(offset=offset, limit=_PAGE, filter=only, with_payload=True)
            with self._door():
                records, offset = self._shard.scroll(request)
            yield from records
            if offset is None:
                return

    @contextmanager
    def _door(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise Unavailable(f"the index of collection {self._collection!r} failed: {error}") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # the engine's own, which no class of ours can name
                raise
            raise Unavailable(f"the index of collection {self._collection!r} failed within: {error}") from error
