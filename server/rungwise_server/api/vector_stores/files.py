"""The files of vector stores. A worker reads them; here is what is said of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.vector_stores.shelf import Shelf
from rungwise_server.api.vector_stores.shown import file_list, file_out
from rungwise_server.api.vector_stores.wire import (
    AddFile,
    Content,
    ContentPage,
    FileList,
    FileOut,
    FileRemoved,
    Limit,
    Order,
    UpdateFile,
)
from rungwise_server.errors import NotFound
from rungwise_server.keeping import Kept, KeptQuery
from rungwise_server.types import Caller
from rungwise_server.vector_stores import STATUSES, FileStatus, file_body, file_key


def files_routes(shelf: Shelf) -> APIRouter:
    """The routes."""
    router = APIRouter()
    base = "/v1/vector_stores/{vector_store_id}"

    async def readable(id: str, caller: Caller) -> Kept | None:
        """The store; None for a configured collection, which has no files of clients."""
        try:
            return await shelf.readable(id, caller)
        except NotFound:
            if id in shelf.collections:
                return None
            raise

    @router.post(base + "/files")
    async def create_vector_store_file(
        vector_store_id: str, body: AddFile, caller: CallerOf, response: Response
    ) -> FileOut:
        """Add a file of the caller's to a store: a worker reads it, and it is found once it is `completed`."""
        (row,) = await shelf.add(vector_store_id, [body], caller)
        return file_out(row, response)

    @router.get(base + "/files")
    async def list_vector_store_files(
        vector_store_id: str,
        caller: CallerOf,
        limit: Limit = 20,
        order: Order = "desc",
        after: str = "",
        before: str = "",
        status: Annotated[FileStatus | None, Query(alias="filter")] = None,
    ) -> FileList:
        """List the files of a store, by when they were added."""
        store = await readable(vector_store_id, caller)
        if store is None:
            return file_list([], more=False)
        for id in filter(None, (after, before)):
            await shelf.file(store, id)
        query = KeptQuery(
            "vector_store_file",
            None,
            store.id,
            frozenset({status}) if status else STATUSES,
            after=file_key(store.id, after) if after else "",
            before=file_key(store.id, before) if before else "",
            newest_first=order == "desc",
            limit=limit + 1,
        )
        found = await shelf.kept.list(query)
        return file_list(found[-limit:] if before and not after else found[:limit], more=len(found) > limit)

    @router.get(base + "/files/{file_id}")
    async def get_vector_store_file(
        vector_store_id: str, file_id: str, caller: CallerOf, response: Response
    ) -> FileOut:
        """Show a file of a store, and how far it is."""
        return file_out(await _file(vector_store_id, file_id, caller), response)

    @router.post(base + "/files/{file_id}")
    async def update_vector_store_file(
        vector_store_id: str, file_id: str, body: UpdateFile, caller: CallerOf, response: Response
    ) -> FileOut:
        """Replace a file's attributes; filters follow at once."""
        return file_out(await shelf.describe(vector_store_id, file_id, body.attributes or {}, caller), response)

    @router.delete(base + "/files/{file_id}")
    async def delete_vector_store_file(vector_store_id: str, file_id: str, caller: CallerOf) -> FileRemoved:
        """Take a file out of a store. The file itself stays."""
        await shelf.remove(vector_store_id, file_id, caller)
        return FileRemoved(id=file_id)

    @router.get(base + "/files/{file_id}/content")
    async def get_vector_store_file_content(vector_store_id: str, file_id: str, caller: CallerOf) -> ContentPage:
        """Show the text of a file, as it was parsed and cut into passages."""
        row = await _file(vector_store_id, file_id, caller)
        body = file_body(row)
        passages = await shelf.content(row, caller)
        return ContentPage(
            file_id=body.file_id,
            filename=body.filename,
            attributes=dict(body.attributes),
            data=[Content(text=passage.text) for passage in passages],
        )

    async def _file(vector_store_id: str, file_id: str, caller: Caller) -> Kept:
        store = await readable(vector_store_id, caller)
        if store is None:
            raise NotFound(f"The collection {vector_store_id!r} has no files: it is filled from sources.")
        return await shelf.file(store, file_id)

    return router
