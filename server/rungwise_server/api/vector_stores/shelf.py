"""What a caller may do with vector stores, whatever the wire: finds, makes, changes and removes them and their files.

A store is its owner's; whom its metadata names as readers may see and search it. To all others it is not there. The
configured collections are everybody's to search, and nobody's to change: `rungwise ingest` fills them.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from rungwise_server.api.vector_stores.wire import AddFile, CreateStore, UpdateStore, chunk_tokens
from rungwise_server.errors import BadRequest, Conflict, Forbidden, NotFound, Unavailable
from rungwise_server.files import Files, StoredFile
from rungwise_server.filters import Scalar
from rungwise_server.keeping import JobQueue, Kept, KeptStore
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import Caller, Passage, new_id
from rungwise_server.vector_stores import (
    JOB,
    LIVE,
    REMOVING,
    BatchBody,
    FileBody,
    StoreBody,
    batch_body,
    clear_away,
    encode,
    file_body,
    file_key,
    live_store,
    readers_of,
    rows,
    store_body,
    take_out,
)

_ACTIVE = 60.0  # seconds that searches count as one activity


class Shelf:
    """The stores. `collections` are the configured ones, by name, with what they are."""

    def __init__(
        self,
        kept: KeptStore,
        queue: JobQueue,
        index: PassageIndex,
        files: Files,
        collections: Mapping[str, str],
    ) -> None:
        self.kept = kept
        self.index = index
        self.collections = collections
        self._queue = queue
        self._files = files

    async def readable(self, id: str, caller: Caller) -> Kept:
        """A store that `caller` may see and search. Raises NotFound."""
        store = await live_store(self.kept, id)
        if store is None or not (store.owner == caller.owner or readers_of(store) & caller.principals):
            raise _missing_store(id)
        return store

    async def own(self, id: str, caller: Caller) -> Kept:
        """A store that `caller` may change.

        Raises:
            NotFound: there is none that the caller sees.
            Forbidden: it is shared with the caller, to be read.
            BadRequest: it is a configured collection.
        """
        store = await live_store(self.kept, id)
        if store is None and id in self.collections:
            raise BadRequest(
                f"{id!r} is a configured collection, which cannot be changed here: `rungwise ingest` fills it from its "
                "sources. Create a vector store for files of your own.",
                param="vector_store_id",
                code="read_only_collection",
            )
        if store is not None and store.owner == caller.owner:
            return store
        if store is not None and readers_of(store) & caller.principals:
            raise Forbidden(f"The vector store {id!r} is shared with you to be read: only its owner may change it.")
        raise _missing_store(id)

    async def create(self, asked: CreateStore, caller: Caller) -> Kept:
        """A new store, with its first files on their way."""
        files = await self._named([AddFile(file_id=id) for id in dict.fromkeys(asked.file_ids or ())], caller)
        now = time.time()
        body = StoreBody(
            now,
            asked.name or "",
            asked.description or "",
            asked.metadata or {},
            asked.expires_after.days if asked.expires_after else 0,
            chunk_tokens(asked.chunking_strategy),
        )
        store = Kept(
            new_id("vs_"), "vector_store", caller.owner, now, encode(body), state=LIVE, expires_at=body.expires_at
        )
        store = await self.kept.add(store)
        for file, wanted in files:
            await self._put(store, file, wanted)
        return store

    async def update(self, id: str, asked: UpdateStore, caller: Caller) -> Kept:
        """Change what is said of a store. Who may not read it any more does not find its passages on return."""
        while True:
            store = await self.own(id, caller)
            body = replace(store_body(store), last_active_at=time.time())
            given = asked.model_fields_set
            if "name" in given:
                body = replace(body, name=asked.name or "")
            if "metadata" in given:
                body = replace(body, metadata=asked.metadata or {})
            if "expires_after" in given:
                body = replace(body, days=asked.expires_after.days if asked.expires_after else 0)
            try:
                changed = await self.kept.change(replace(store, body=encode(body), expires_at=body.expires_at))
            except Conflict:
                continue
            if readers_of(changed) != readers_of(store):
                for document in await self.index.documents(id, id):
                    await self.index.set_readers(id, id, document, readers_of(changed))
            return changed

    async def touch(self, store: Kept) -> None:
        """It is in use: its expiry moves on."""
        body = store_body(store)
        if body.last_active_at > time.time() - _ACTIVE:
            return
        body = replace(body, last_active_at=time.time())
        with suppress(Conflict, NotFound, Unavailable):
            await self.kept.change(replace(store, body=encode(body), expires_at=body.expires_at))

    async def delete(self, id: str, caller: Caller) -> None:
        """Remove a store with all that is in it; the files themselves stay."""
        await self._change(lambda: self.own(id, caller), REMOVING)
        await clear_away(self.kept, self.index, id)

    async def file(self, store: Kept, file_id: str) -> Kept:
        """The row of a file in a store. Raises NotFound."""
        row = await self.kept.get("vector_store_file", file_key(store.id, file_id), None)
        if row is None or row.state == REMOVING:
            raise NotFound(f"There is no file {file_id!r} in the vector store {store.id!r}.", param="file_id")
        return row

    async def add(self, id: str, asked: Sequence[AddFile], caller: Caller) -> list[Kept]:
        """Put files of the caller's into a store: their rows, on their way. A file that is there stays as it is,
        unless it failed, or other attributes or chunks are asked for.
        """
        store = await self.own(id, caller)
        files = await self._named(asked, caller)
        await self.touch(store)
        return [await self._put(store, file, wanted) for file, wanted in files]

    async def describe(self, id: str, file_id: str, attributes: Mapping[str, Scalar], caller: Caller) -> Kept:
        """Replace a file's attributes, without embedding it anew."""
        store = await self.own(id, caller)
        while True:
            row = await self.file(store, file_id)
            body = replace(file_body(row), attributes=attributes)
            try:
                row = await self.kept.change(replace(row, body=encode(body)))
            except Conflict:
                continue
            await self.index.set_attributes(id, id, file_id, attributes)
            return row

    async def remove(self, id: str, file_id: str, caller: Caller) -> None:
        """Take a file out of a store."""
        store = await self.own(id, caller)
        await take_out(self.kept, self.index, await self._change(lambda: self.file(store, file_id), REMOVING))

    async def leave_all(self, file_id: str, caller: Caller) -> None:
        """Take a file of the caller's out of all stores: their files are their owner's."""
        mine = rows(self.kept, "vector_store_file", owner=caller.owner)
        for store_id in [row.parent async for row in mine if file_body(row).file_id == file_id]:
            with suppress(NotFound):
                await self.remove(store_id, file_id, caller)

    async def content(self, row: Kept, caller: Caller) -> list[Passage]:
        """The passages of a file, in order. Raises BadRequest where it is not in the store yet, or failed."""
        body = file_body(row)
        if row.state != "completed":
            raise BadRequest(
                f"The file {body.file_id!r} is {row.state}: it has a content once it is completed.",
                param="file_id",
                code="file_not_ready",
            )
        document = Passage("", body.file_id, row.parent, "", frozenset(), source=row.parent, version=body.version)
        return await self.index.neighbours(document, caller.principals)

    async def create_batch(self, id: str, asked: Sequence[AddFile], caller: Caller) -> Kept:
        """Put files into a store together."""
        store = await self.own(id, caller)
        files = await self._named(asked, caller)
        await self.touch(store)
        body = encode(BatchBody(tuple(file.id for file, _ in files)))
        batch = Kept(new_id("vsfb_"), "file_batch", store.owner, time.time(), body, parent=store.id)
        batch = await self.kept.add(batch)
        for file, wanted in files:
            await self._put(store, file, wanted)
        return batch

    async def batch(self, store: Kept, batch_id: str) -> Kept:
        """A batch of files of a store. Raises NotFound."""
        row = await self.kept.get("file_batch", batch_id, None)
        if row is None or row.parent != store.id:
            raise NotFound(f"There is no file batch {batch_id!r} in the vector store {store.id!r}.", param="batch_id")
        return row

    async def batch_files(self, batch: Kept) -> AsyncIterator[Kept]:
        """The rows of a batch's files, oldest first; those that left the store are not among them."""
        ids = frozenset(file_key(batch.parent, id) for id in batch_body(batch).file_ids)
        async for row in rows(self.kept, "vector_store_file", batch.parent):
            if row.id in ids:
                yield row

    async def cancel_batch(self, id: str, batch_id: str, caller: Caller) -> Kept:
        """Leave the files of a batch out that are not in yet. Raises BadRequest where all of them are."""
        store = await self.own(id, caller)
        batch = await self.batch(store, batch_id)
        if batch.state == "cancelled":
            return batch
        waiting = [row.id async for row in self.batch_files(batch) if row.state == "in_progress"]
        if not waiting:
            raise BadRequest(
                f"The file batch {batch_id!r} has ended: there is nothing left to cancel.",
                param="batch_id",
                code="batch_ended",
            )
        batch = await self._change(lambda: self.batch(store, batch_id), "cancelled")
        for key in waiting:
            while (row := await self.kept.get("vector_store_file", key, None)) and row.state == "in_progress":
                with suppress(Conflict, NotFound):
                    await self.kept.change(replace(row, state="cancelled"))
        return batch

    async def _named(self, asked: Sequence[AddFile], caller: Caller) -> list[tuple[StoredFile, AddFile]]:
        """The files that are asked for, if all of them are the caller's. Raises NotFound."""
        return [(await self._files.get(wanted.file_id, caller.owner), wanted) for wanted in asked]

    async def _put(self, store: Kept, file: StoredFile, wanted: AddFile) -> Kept:
        attributes = wanted.attributes or {}
        tokens = chunk_tokens(wanted.chunking_strategy, store_body(store).chunk_tokens)
        body = FileBody(file.id, file.filename, attributes, tokens)
        row = Kept(
            file_key(store.id, file.id),
            "vector_store_file",
            store.owner,
            time.time(),
            encode(body),
            parent=store.id,
            state="in_progress",
        )
        while True:
            try:
                row = await self.kept.add(row)
            except Conflict:
                had = await self.kept.get("vector_store_file", row.id, None)
                if had is None:
                    continue
                if had.state == REMOVING:
                    raise Conflict(f"The file {file.id!r} is just leaving the store: add it again later.") from None
                was = file_body(had)
                same = (was.attributes, was.chunk_tokens) == (attributes, tokens)
                if same and had.state == "completed":
                    return had
                if same and had.state == "in_progress":
                    await self._queue.put(JOB, row.id)
                    return had
                try:
                    row = await self.kept.change(replace(had, state="in_progress", body=encode(body)))
                except (Conflict, NotFound):
                    continue
            await self._queue.put(JOB, row.id)
            return row

    async def _change(self, find: Callable[[], Awaitable[Kept]], state: str) -> Kept:
        """Give what `find` finds a new state, however often others change it meanwhile."""
        while True:
            try:
                return await self.kept.change(replace(await find(), state=state))
            except Conflict:
                continue


def _missing_store(id: str) -> NotFound:
    return NotFound(f"There is no vector store {id!r}.", param="vector_store_id")
