"""The embedded index for several processes: the first opens it, the others reach it through the first.

This is how `rungwise ingest` writes while `rungwise serve` searches. Whichever has the index open serves it on a
socket; when it leaves, the next that needs the index opens it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from rungwise_server.errors import IndexBusy, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.protocols import PassageIndex
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.host import IndexHost
from rungwise_server.retrieval.indexes.remote import OwnerGone, RemoteIndex
from rungwise_server.retrieval.indexes.wire import R
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage

__all__ = ["IndexHost", "RemoteIndex", "SharedIndex", "open_embedded"]

_PATIENCE = 10.0
"""Seconds that an owner has to come up, or to leave: it locks the folder before it listens, and hangs up before it
unlocks."""

_log = logging.getLogger(__name__)


async def open_embedded(path: Path, socket: Path, role: str, *, patience: float = _PATIENCE) -> "SharedIndex":
    """The embedded index in the folder `path`: opened here if it is free, else by way of the process that has it open,
    which serves it on `socket`. `role` says what this process is to the others: `rungwise serve`.

    Raises:
        IndexBusy: a process has it open and does not answer in `patience` seconds; the message names it.
        SetupError: the folder cannot be used, holds what is not ours, or belongs to another version of rungwise.
    """
    index = SharedIndex(path, socket, role, patience)
    await index.connect()
    return index


class SharedIndex:
    """A PassageIndex that is this process's own or another's; see `open_embedded`, which makes it.

    A call whose owner goes away is done again on the next one: every method may be done twice.
    """

    def __init__(self, path: Path, socket: Path, role: str, patience: float = _PATIENCE) -> None:
        self._path = path
        self._socket = socket
        self._role = role
        self._patience = patience
        self._index: EdgeIndex | RemoteIndex | None = None
        self._host: IndexHost | None = None
        self._finding: asyncio.Task[EdgeIndex | RemoteIndex] | None = None
        self._closed = False

    @property
    def own(self) -> EdgeIndex | None:
        """The index itself, where this process has it open."""
        return self._index if isinstance(self._index, EdgeIndex) else None

    async def connect(self) -> None:
        """Open the index, or find who has. Raises as `open_embedded` does."""
        if self._index is None:
            if self._finding is None or self._finding.done():
                self._finding = asyncio.create_task(self._find())
            self._index = await asyncio.shield(self._finding)

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """See PassageIndex."""
        return await self._do(lambda index: index.create(collection, spec))

    async def describe(self, collection: str) -> CollectionSpec | None:
        """See PassageIndex."""
        return await self._do(lambda index: index.describe(collection))

    async def count(self, collection: str) -> int:
        """See PassageIndex."""
        return await self._do(lambda index: index.count(collection))

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """See PassageIndex."""
        await self._do(lambda index: index.upsert(collection, entries))

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """See PassageIndex."""
        await self._do(lambda index: index.remove(collection, source, document_id, keep_version=keep_version))

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """See PassageIndex."""
        await self._do(lambda index: index.set_readers(collection, source, document_id, readers))

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """See PassageIndex."""
        await self._do(lambda index: index.set_attributes(collection, source, document_id, attributes))

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """See PassageIndex."""
        return await self._do(lambda index: index.documents(collection, source, principals))

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """See PassageIndex."""
        return await self._do(lambda index: index.search(collection, query))

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """See PassageIndex."""
        return await self._do(lambda index: index.get(passage_id, principals))

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """See PassageIndex."""
        return await self._do(lambda index: index.neighbours(passage, principals))

    async def drop(self, collection: str) -> None:
        """See PassageIndex."""
        await self._do(lambda index: index.drop(collection))

    async def close(self) -> None:
        """Let the others go, then let go of the folder; or hang up."""
        self._closed = True
        if self._finding and not self._finding.done():
            await asyncio.gather(self._finding, return_exceptions=True)
        if self._host:
            await self._host.close()
        if self._index:
            await self._index.close()

    async def _do(self, ask: Callable[[PassageIndex], Awaitable[R]]) -> R:
        while True:
            index = self._index
            if index is None:
                await self.connect()
                continue
            try:
                return await ask(index)
            except OwnerGone:
                if self._closed:
                    raise
                if self._index is index:  # else another call has found the next owner
                    self._index = None
                    await index.close()

    async def _find(self) -> EdgeIndex | RemoteIndex:
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            if self._closed:
                raise Unavailable("the index is closed")
            try:
                return await self._own()
            except IndexBusy as busy:
                remote = RemoteIndex(self._socket)
                try:
                    owner = await remote.connect()
                except OwnerGone:
                    if asyncio.get_running_loop().time() > deadline:
                        raise IndexBusy(
                            f"{busy.message}. It does not answer on {self._socket}, where a rungwise that serves or "
                            f"ingests would have taken this one's work"
                        ) from None
                else:
                    _log.info(
                        "the index in %s is open in process %d (%s): joined it", self._path, owner.pid, owner.role
                    )
                    return remote
            await asyncio.sleep(0.05)

    async def _own(self) -> EdgeIndex:
        index = EdgeIndex(self._path, self._role)
        try:
            await index.load()
            host = IndexHost(index, self._socket, self._role)
            await host.start()
        except BaseException:
            await index.close()
            raise
        self._host = host
        return index
