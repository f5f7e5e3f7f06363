"""The one door to a Qdrant server: a PassageIndex for more passages, or more serving processes, than one folder takes.

A collection of ours is one of Qdrant's, named with a prefix. What it was filled with stands in Qdrant's own metadata of
the collection (Qdrant 1.16 and later), so that nothing beside the server has to be kept.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from rungwise_server.errors import NotFound, RungwiseError, SetupError, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes.attributes import MARKS, check_attributes, narrowed
from rungwise_server.retrieval.indexes.points import (
    DENSE,
    INDEXED,
    SPARSE,
    attributes_payload,
    check_entries,
    check_name,
    check_query,
    check_spec,
    in_order,
    is_passage_id,
    passage_of,
    payload_of,
)
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage, new_id

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, models

T = TypeVar("T")

_PAGE = 5000
_NOTE = "rungwise"


class QdrantIndex:
    """A PassageIndex on a Qdrant server.

    Every method raises Unavailable when the server cannot be reached or fails, SetupError when it refuses the key or
    holds, under a name of ours, what we did not make. `timeout` is in seconds, for one request. `client` replaces the
    connection, for tests on qdrant-client's local mode.
    """

    def __init__(
        self,
        url: str = "",
        *,
        api_key: str = "",
        prefix: str = "rungwise_",
        timeout: float = 30.0,
        client: "AsyncQdrantClient | None" = None,
    ) -> None:
        from qdrant_client import AsyncQdrantClient, models

        self._url = url or "memory"
        self._prefix = prefix
        self._models = models
        self._specs: dict[str, CollectionSpec] = {}
        self._client = client or AsyncQdrantClient(
            url=url,
            headers={"api-key": api_key} if api_key else None,  # by `api_key=` it warns on private networks' http
            timeout=max(1, round(timeout)),
            check_compatibility=False,  # it would ask the server now, from a thread
        )

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """See PassageIndex."""
        check_name(collection)
        if await self.describe(collection) is None:
            await self._make(collection, spec if spec.id else msgspec.structs.replace(spec, id=new_id("collection")))
        held = await self.describe(collection)
        if held is None:
            raise Unavailable(f"collection {collection!r} was deleted on Qdrant at {self._url} while it was made")
        check_spec(collection, held, spec)
        await self._ensure_indexes(collection)
        return held

    async def describe(self, collection: str) -> CollectionSpec | None:
        """See PassageIndex."""
        self._specs.pop(collection, None)
        with self._door():
            if not await self._client.collection_exists(self._named(collection)):
                return None
            info = await self._client.get_collection(self._named(collection))
        note = (info.config.metadata or {}).get(_NOTE)
        try:
            self._specs[collection] = msgspec.convert(note, CollectionSpec)
        except msgspec.ValidationError:
            raise SetupError(
                f"{self._named(collection)!r} on Qdrant at {self._url} has no note of what it was filled with: another "
                f"program made it, or Qdrant is older than 1.16. Upgrade Qdrant, or set another index.prefix"
            ) from None
        return self._specs[collection]

    async def count(self, collection: str) -> int:
        """See PassageIndex."""

        async def count(name: str) -> int:
            return (await self._client.count(name, exact=True)).count

        return await self._ask(collection, count, 0)

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """See PassageIndex. Raises NotFound for a collection that is not there."""
        spec = await self.describe(collection)
        if spec is None:
            raise NotFound(f"there is no collection {collection!r}: create it first")
        check_entries(collection, spec, entries)
        if entries:
            points = [self._point(entry) for entry in entries]
            with self._door():
                await self._client.upsert(self._named(collection), points, wait=True)

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """See PassageIndex."""
        kept: list[models.Condition] = [self._is("version", keep_version)] if keep_version else []
        document = self._models.Filter(must=self._document(source, document_id), must_not=kept)

        async def remove(name: str) -> None:
            await self._client.delete(name, self._models.FilterSelector(filter=document), wait=True)

        await self._ask(collection, remove, None)

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """See PassageIndex. Raises ValueError for no readers: remove the document instead."""
        if not readers or not all(readers):
            raise ValueError(f"document {document_id!r} needs readers: remove it where nobody may read it")
        await self._set(collection, source, document_id, {"readers": sorted(readers)})

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """See PassageIndex."""
        check_attributes(attributes, f"document {document_id!r}")
        await self._set(collection, source, document_id, attributes_payload(attributes))

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """See PassageIndex."""
        if principals is not None and not principals:
            return set()
        readable = [] if principals is None else [self._readable(principals)]
        found = await self._scroll(collection, [self._is("source", source), *readable], ["document_id"])
        return {str((record.payload or {})["document_id"]) for record in found}

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """See PassageIndex."""
        spec = self._specs.get(collection) or await self.describe(collection)
        if spec is None or not query.principals or query.limit < 1:
            return Hits(dense=[], sparse=[])
        check_query(collection, spec, query)
        readable: list[models.Condition] = [self._readable(query.principals)]
        must = narrowed(readable, query.filter, self)
        if must is None:
            return Hits(dense=[], sparse=[])
        allowed = self._models.Filter(must=must)
        requests = [self._nearest(query.dense.tolist(), DENSE, allowed, query.limit)]
        if query.sparse.indices:
            terms = self._models.SparseVector(indices=list(query.sparse.indices), values=list(query.sparse.values))
            requests.append(self._nearest(terms, SPARSE, allowed, query.limit))

        async def search(name: str) -> list[list[Passage]]:
            answers = await self._client.query_batch_points(name, requests)
            return [in_order(self._passage(collection, point, point.score) for point in a.points) for a in answers]

        nothing: list[list[Passage]] = []
        lists = [*await self._ask(collection, search, nothing), [], []]
        return Hits(dense=lists[0], sparse=lists[1])

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """See PassageIndex."""
        if not principals or not is_passage_id(passage_id):
            return None
        with self._door():
            held = await self._client.get_collections()
        names = [found.name for found in held.collections if found.name.startswith(self._prefix)]
        this = self._models.HasIdCondition(has_id=[passage_id])
        found = await asyncio.gather(
            *(self._scroll(name.removeprefix(self._prefix), [this, self._readable(principals)], True) for name in names)
        )
        for name, records in zip(names, found, strict=True):
            if records:
                return self._passage(name.removeprefix(self._prefix), records[0])
        return None

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """See PassageIndex."""
        if not principals:
            return []
        must = [*self._document(passage.source, passage.document_id), self._readable(principals)]
        records = await self._scroll(passage.collection, must, True)
        found = [self._passage(passage.collection, record) for record in records]
        return sorted((p for p in found if p.version == passage.version), key=lambda other: (other.start, other.id))

    async def drop(self, collection: str) -> None:
        """See PassageIndex."""
        self._specs.pop(collection, None)

        async def drop(name: str) -> None:
            await self._client.delete_collection(name)

        await self._ask(collection, drop, None)

    async def close(self) -> None:
        """See PassageIndex."""
        await self._client.close()

    def marked(self, marks: list[int]) -> "models.Condition":
        """See Conditions."""
        return self._models.FieldCondition(key=MARKS, match=self._models.MatchAny(any=marks))

    def combined(
        self, must: "list[models.Condition]", should: "list[models.Condition]", must_not: "list[models.Condition]"
    ) -> "models.Condition":
        """See Conditions."""
        return self._models.Filter(must=must or None, should=should or None, must_not=must_not or None)

    def _named(self, collection: str) -> str:
        return f"{self._prefix}{collection}"

    async def _make(self, collection: str, spec: CollectionSpec) -> None:
        models = self._models
        try:
            with self._door():
                await self._client.create_collection(
                    self._named(collection),
                    vectors_config={DENSE: models.VectorParams(size=spec.dimensions, distance=models.Distance.COSINE)},
                    sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                    metadata={_NOTE: msgspec.to_builtins(spec)},
                )
        except Unavailable:
            if await self.describe(collection) is None:
                raise  # else another process made it at the same moment

    async def _ensure_indexes(self, collection: str) -> None:
        """Also where whoever made the collection died before it came to this."""
        with self._door():
            info = await self._client.get_collection(self._named(collection))
            for field, kind in INDEXED.items():
                if field not in info.payload_schema:
                    schema = self._models.PayloadSchemaType(kind)
                    await self._client.create_payload_index(self._named(collection), field, schema, wait=True)

    async def _ask(self, collection: str, ask: Callable[[str], Awaitable[T]], nothing: T) -> T:
        try:
            with self._door():
                return await ask(self._named(collection))
        except Unavailable:
            if await self.describe(collection) is None:
                return nothing
            raise

    async def _scroll(
        self, collection: str, must: "list[models.Condition]", payload: bool | list[str]
    ) -> "list[models.Record]":
        async def scroll(name: str) -> "list[models.Record]":
            only = self._models.Filter(must=must)
            records, offset = await self._client.scroll(name, only, limit=_PAGE, with_payload=payload)
            while offset is not None:
                more, offset = await self._client.scroll(name, only, limit=_PAGE, offset=offset, with_payload=payload)
                records += more
            return records

        return await self._ask(collection, scroll, [])

    def _point(self, entry: IndexedPassage) -> "models.PointStruct":
        vectors: dict[str, models.Vector] = {DENSE: entry.dense.tolist()}
        if entry.sparse.indices:
            indices, values = list(entry.sparse.indices), list(entry.sparse.values)
            vectors[SPARSE] = self._models.SparseVector(indices=indices, values=values)
        return self._models.PointStruct(id=entry.passage.id, vector=vectors, payload=payload_of(entry.passage))

    def _passage(self, collection: str, point: "models.Record | models.ScoredPoint", score: float = 0.0) -> Passage:
        return passage_of(point.id, point.payload, collection, score)

    def _nearest(
        self, vector: "list[float] | models.SparseVector", using: str, allowed: "models.Filter", limit: int
    ) -> "models.QueryRequest":
        return self._models.QueryRequest(query=vector, using=using, limit=limit, filter=allowed, with_payload=True)

    def _is(self, key: str, value: str) -> "models.FieldCondition":
        return self._models.FieldCondition(key=key, match=self._models.MatchValue(value=value))

    def _document(self, source: str, document_id: str) -> "list[models.Condition]":
        return [self._is("source", source), self._is("document_id", document_id)]

    def _readable(self, principals: frozenset[str]) -> "models.FieldCondition":
        return self._models.FieldCondition(key="readers", match=self._models.MatchAny(any=sorted(principals)))

    async def _set(self, collection: str, source: str, document_id: str, payload: dict[str, object]) -> None:
        document = self._models.Filter(must=self._document(source, document_id))

        async def change(name: str) -> None:
            await self._client.set_payload(name, payload, points=document, wait=True)

        await self._ask(collection, change, None)

    @contextmanager
    def _door(self) -> Iterator[None]:
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        try:
            yield
        except ResponseHandlingException as error:
            if isinstance(error.source, ValueError):
                raise self._stranger() from error
            why = str(error.source) or type(error.source).__name__
            raise Unavailable(f"cannot reach Qdrant at {self._url} ({why}): start it, or set index.url") from error
        except UnexpectedResponse as error:
            if error.status_code in (401, 403):
                raise SetupError(
                    f"Qdrant at {self._url} refused the key: set index.api_key_env or index.api_key_file"
                ) from error
            raise Unavailable(f"Qdrant at {self._url} failed: {error}") from error
        except (AssertionError, json.JSONDecodeError) as error:  # how the client says what is no answer of Qdrant's
            raise self._stranger() from error
        except RungwiseError:
            raise
        except Exception as error:
            raise Unavailable(f"Qdrant at {self._url} failed: {type(error).__name__}: {error}") from error

    def _stranger(self) -> Unavailable:
        return Unavailable(f"{self._url} does not answer as Qdrant does: set index.url to a Qdrant server")
