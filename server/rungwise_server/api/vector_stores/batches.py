"""Files that go into a vector store together."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.vector_stores.shelf import Shelf
from rungwise_server.api.vector_stores.shown import batch_out, file_list
from rungwise_server.api.vector_stores.wire import AddFiles, BatchOut, FileList, Limit, Order
from rungwise_server.errors import NotFound
from rungwise_server.keeping import Kept
from rungwise_server.vector_stores import FileStatus, file_key


def batches_routes(shelf: Shelf) -> APIRouter:
    """The routes."""
    router = APIRouter()
    base = "/v1/vector_stores/{vector_store_id}"

    async def shown(batch: Kept, response: Response) -> BatchOut:
        return await batch_out(batch, shelf.batch_files(batch), response)

    @router.post(base + "/file_batches")
    async def create_vector_store_file_batch(
        vector_store_id: str, body: AddFiles, caller: CallerOf, response: Response
    ) -> BatchOut:
        """Add several files of the caller's to a store."""
        return await shown(await shelf.create_batch(vector_store_id, body.each(), caller), response)

    @router.get(base + "/file_batches/{batch_id}")
    async def get_vector_store_file_batch(
        vector_store_id: str, batch_id: str, caller: CallerOf, response: Response
    ) -> BatchOut:
        """Show a batch of files, and how far it is."""
        store = await shelf.readable(vector_store_id, caller)
        return await shown(await shelf.batch(store, batch_id), response)

    @router.post(base + "/file_batches/{batch_id}/cancel")
    async def cancel_vector_store_file_batch(
        vector_store_id: str, batch_id: str, caller: CallerOf, response: Response
    ) -> BatchOut:
        """Leave out those files of a batch that are not in the store yet."""
        return await shown(await shelf.cancel_batch(vector_store_id, batch_id, caller), response)

    @router.get(base + "/file_batches/{batch_id}/files")
    async def list_vector_store_file_batch_files(
        vector_store_id: str,
        batch_id: str,
        caller: CallerOf,
        limit: Limit = 20,
        order: Order = "desc",
        after: str = "",
        before: str = "",
        status: Annotated[FileStatus | None, Query(alias="filter")] = None,
    ) -> FileList:
        """List the files of a batch, by when they were added."""
        store = await shelf.readable(vector_store_id, caller)
        found = [row async for row in shelf.batch_files(await shelf.batch(store, batch_id))]
        if order == "desc":
            found.reverse()
        keys = [row.id for row in found]
        for id in filter(None, (after, before)):
            if file_key(store.id, id) not in keys:
                raise NotFound(f"There is no file {id!r} in the batch {batch_id!r} to list from.", param="after")
        start = keys.index(file_key(store.id, after)) + 1 if after else 0
        end = keys.index(file_key(store.id, before)) if before else len(keys)
        chosen = [row for row in found[start:end] if status in (None, row.state)]
        return file_list(chosen[-limit:] if before and not after else chosen[:limit], more=len(chosen) > limit)

    return router
