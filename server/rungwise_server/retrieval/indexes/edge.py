"""The embedded index: one Qdrant Edge shard a collection, in a folder that this process owns."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from rungwise_server.errors import NotFound, SetupError, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes.attributes import check_attributes
from rungwise_server.retrieval.indexes.folder import IndexFolder
from rungwise_server.retrieval.indexes.points import check_entries, check_name, check_query, check_spec, is_passage_id
from rungwise_server.retrieval.indexes.shard import Shard
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage, new_id

T = TypeVar("T")

RESERVE = 256 << 20
"""Bytes that stay free on the disk: see `IndexFolder.need`."""

LARGE = 200_000
"""Passages of one collection that this index is pleasant with; past them it logs, once, where to move."""

# Flushing holds the interpreter while the disk syncs, 20 to 300 ms. So: when writing pauses, and before the log is so
# long that replaying it after a kill delays the next start by more than a second or two.
_FLUSH_PASSAGES = 8192
_FLUSH_SECONDS = 5.0

_log = logging.getLogger(__name__)


class EdgeIndex:
    """A PassageIndex in a folder. One process can have it open; `indexes.shared` lets others join.

    All writes go through one thread, one engine call an upsert: the engine holds the interpreter while it writes, so
    callers keep their batches near `points.BATCH`. Searches run beside them on threads of their own. `reserve` are the
    bytes of disk, and `large` the passages, of the constants above.

    Raises:
        IndexBusy: another process has it open; the message names it.
        SetupError: the folder cannot be used, or holds what is not ours.
    """

    def __init__(self, path: Path, role: str = "rungwise", *, reserve: int = RESERVE, large: int = LARGE) -> None:
        self._folder = IndexFolder(path, role)
        self._reserve = reserve
        self._large = large
        self._shards: dict[str, Shard] = {}
        self._sizes: dict[str, int] = {}
        self._unflushed: dict[str, int] = {}
        self._warned: set[str] = set()
        self._writer = ThreadPoolExecutor(1, "index-writer")
        self._readers = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "index-reader")
        self._flush: asyncio.TimerHandle | None = None
        self._closed = False

    async def load(self) -> None:
        """Open every collection now, so that the first search does not wait for it. Raises SetupError."""
        for collection in list(self._folder.manifests):
            await self._open(collection)

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """See PassageIndex."""

        def make() -> None:
            if collection not in self._folder.manifests:
                self._folder.need(self._reserve)
                self._folder.add(collection, named, lambda folder: Shard.create(folder, spec.dimensions))

        check_name(collection)
        named = spec if spec.id else msgspec.structs.replace(spec, id=new_id("collection"))
        await self._write(make)
        held = self._folder.manifests[collection].spec
        check_spec(collection, held, spec)
        return held

    async def describe(self, collection: str) -> CollectionSpec | None:
        """See PassageIndex."""
        manifest = self._folder.manifests.get(collection)
        return manifest.spec if manifest else None

    async def count(self, collection: str) -> int:
        """See PassageIndex."""
        return await self._read(collection, Shard.count, 0)

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """See PassageIndex. Raises NotFound for a collection that is not there, Unavailable when the disk is full."""
        spec = await self.describe(collection)
        if spec is None:
            raise NotFound(f"there is no collection {collection!r}: create it first")
        check_entries(collection, spec, entries)
        if entries:
            await self._change(collection, lambda shard: shard.upsert(entries), len(entries), self._reserve)

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """See PassageIndex."""
        await self._change(collection, lambda shard: shard.remove(source, document_id, keep_version))

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """See PassageIndex. Raises ValueError for no readers: remove the document instead."""
        if not readers or not all(readers):
            raise ValueError(f"document {document_id!r} needs readers: remove it where nobody may read it")
        await self._change(collection, lambda shard: shard.set_readers(source, document_id, readers))

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """See PassageIndex."""
        check_attributes(attributes, f"document {document_id!r}")
        await self._change(collection, lambda shard: shard.set_attributes(source, document_id, attributes))

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """See PassageIndex."""
        if principals is not None and not principals:
            return set()
        return await self._read(collection, lambda shard: shard.documents(source, principals), set())

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """See PassageIndex."""
        nothing = Hits(dense=[], sparse=[])
        spec = await self.describe(collection)
        if spec is None or not query.principals or query.limit < 1:
            return nothing
        check_query(collection, spec, query)
        return await self._read(collection, lambda shard: shard.search(query), nothing)

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """See PassageIndex."""
        if not principals or not is_passage_id(passage_id):
            return None
        for collection in list(self._folder.manifests):
            found = await self._read(collection, lambda shard: shard.get(passage_id, principals), None)
            if found:
                return found
        return None

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """See PassageIndex."""
        if not principals:
            return []
        nothing: list[Passage] = []
        found = await self._read(passage.collection, lambda shard: shard.neighbours(passage, principals), nothing)
        return sorted(found, key=lambda other: (other.start, other.id))

    async def drop(self, collection: str) -> None:
        """See PassageIndex."""

        def drop() -> None:
            if collection in self._folder.manifests:
                shard = self._shards.pop(collection, None)
                self._unflushed.pop(collection, None)
                self._folder.drop(collection)
                if shard:
                    shard.close()

        await self._write(drop)

    async def optimise(self, collection: str) -> None:
        """Give back the room of removed passages and build the graph for large collections, in a process of its own on
        a copy: searches go on meanwhile, writes wait. Seconds to minutes of both cores; for the end of a large ingest.
        """
        await self._change(collection, lambda shard: self._optimise(collection, shard), 0, self._reserve)

    async def close(self) -> None:
        """See PassageIndex."""
        if self._closed:
            return
        if self._flush:
            self._flush.cancel()
        try:
            await self._write(self._close_shards)
        finally:
            self._closed = True
            self._readers.shutdown(wait=False)
            self._writer.shutdown(wait=False)
            self._folder.release()

    async def _read(self, collection: str, ask: Callable[[Shard], T], nothing: T) -> T:
        while True:
            shard = self._shards.get(collection) or await self._open(collection)
            if shard is None:
                return nothing
            try:
                return await asyncio.get_running_loop().run_in_executor(self._readers, ask, shard)
            except Unavailable:
                if self._closed or self._shards.get(collection) is shard:
                    raise  # else it was dropped or replaced while we read

    async def _change(self, collection: str, change: Callable[[Shard], None], size: int = 0, room: int = 0) -> None:
        def write() -> None:
            shard = self._opened(collection)
            if shard is None:
                return
            self._folder.need(room or self._reserve // 4)
            change(shard)
            self._sizes[collection] = self._sizes.get(collection, 0) + size
            self._unflushed[collection] = self._unflushed.get(collection, 0) + max(size, 1)
            if self._unflushed[collection] >= _FLUSH_PASSAGES:
                self._flush_shards()

        await self._write(write)
        if self._sizes.get(collection, 0) > self._large and collection not in self._warned:
            await self._warn(collection)
        if self._flush:
            self._flush.cancel()
        self._flush = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush_later)

    async def _write(self, change: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the index is closed")
        return await asyncio.get_running_loop().run_in_executor(self._writer, change)

    async def _open(self, collection: str) -> Shard | None:
        return await self._write(lambda: self._opened(collection))

    def _opened(self, collection: str) -> Shard | None:
        if collection not in self._folder.manifests:
            return None
        if collection not in self._shards:
            shard = Shard(self._folder.shard(collection), collection)
            self._sizes[collection] = shard.size()
            self._shards[collection] = shard
        return self._shards[collection]

    async def _warn(self, collection: str) -> None:
        self._sizes[collection] = await self.count(collection)  # an upsert may have written over what was there
        if self._sizes[collection] > self._large:
            self._warned.add(collection)
            _log.warning(
                "collection %r has passed %d passages: searches grow slower with each. Move to a Qdrant server: "
                "set `index: {kind: qdrant, url: http://HOST:6333}` in rungwise.yaml, then run `rungwise ingest`.",
                collection,
                self._large,
            )

    def _flush_later(self) -> None:
        if not self._closed:
            self._writer.submit(self._flush_shards)

    def _flush_shards(self) -> None:
        for collection in [name for name in self._unflushed if name in self._shards]:
            self._shards[collection].flush()
            del self._unflushed[collection]

    def _close_shards(self) -> None:
        self._flush_shards()
        while self._shards:
            self._shards.popitem()[1].close()

    def _optimise(self, collection: str, shard: Shard) -> None:
        def make(old: Path, new: Path) -> None:
            shutil.copytree(old, new)
            code = "import pathlib, sys; from rungwise_server.retrieval.indexes.shard import Shard; "
            code += "shard = Shard(pathlib.Path(sys.argv[1]), sys.argv[2]); shard.optimise(); shard.close()"
            done = subprocess.run(
                [sys.executable, "-c", code, new, collection], capture_output=True, text=True, check=False
            )
            if done.returncode:
                shutil.rmtree(new, ignore_errors=True)
                raise SetupError(f"collection {collection!r} could not be optimised: {done.stderr.strip()[-500:]}")

        shard.flush()
        old = self._folder.replace(collection, make)
        del self._shards[collection]
        self._opened(collection)
        shard.close()
        shutil.rmtree(old, ignore_errors=True)
