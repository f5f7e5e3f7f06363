"""`/v1/vector_stores`: stores of the caller's own, to be filled with files and searched. The configured collections are
among them, for everybody to search by their names.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from fastapi import APIRouter
from msgspec import Raw

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.vector_stores.batches import batches_routes
from rungwise_server.api.vector_stores.files import files_routes
from rungwise_server.api.vector_stores.filter import read_filter
from rungwise_server.api.vector_stores.rewrite import rewrite
from rungwise_server.api.vector_stores.shelf import Shelf
from rungwise_server.api.vector_stores.shown import store_out
from rungwise_server.api.vector_stores.wire import (
    Content,
    Counts,
    CreateStore,
    Found,
    FoundPage,
    Limit,
    Order,
    RankingOptions,
    SearchStore,
    StoreDeleted,
    StoreList,
    StoreOut,
    UpdateStore,
)
from rungwise_server.engine import Engine
from rungwise_server.errors import NotFound
from rungwise_server.keeping import Kept, KeptQuery
from rungwise_server.protocols import Retriever
from rungwise_server.types import Caller, Passage, Search
from rungwise_server.vector_stores import LIVE, rows

Searcher = Callable[[Search], Retriever]
"""Opens what a client wants searched."""


def vector_stores_api(shelf: Shelf, searcher: Searcher, engine: Engine, started: int) -> APIRouter:
    """The routes.

    Args:
        shelf: the stores.
        searcher: opens what is searched.
        engine: what rewrites queries.
        started: when the server started, since a configured collection has no date of its own.
    """
    router = APIRouter(tags=["vector stores"])

    async def shown(store: Kept) -> StoreOut:
        return await store_out(store, rows(shelf.kept, "vector_store_file", store.id))

    async def collection(name: str) -> StoreOut:
        passages = await shelf.index.count(name)
        return StoreOut(
            id=name,
            created_at=started,
            name=name,
            description=shelf.collections[name] or None,
            usage_bytes=0,
            file_counts=Counts(),
            status="completed",
            last_active_at=started,
            metadata={"kind": "collection", "passages": str(passages), "filled_by": "rungwise ingest"},
        )

    @router.post("/v1/vector_stores")
    async def create_vector_store(caller: CallerOf, body: CreateStore | None = None) -> StoreOut:
        """Create a store, and have its first files read."""
        return await shown(await shelf.create(body or CreateStore(), caller))

    @router.get("/v1/vector_stores")
    async def list_vector_stores(
        caller: CallerOf,
        limit: Limit = 20,
        order: Order = "desc",
        after: str = "",
        before: str = "",
    ) -> StoreList:
        """List the caller's stores by the time of their creation, then the configured collections."""
        stores, names, more = await _page(shelf, caller, limit, order, after, before)
        data = [await shown(store) for store in stores] + [await collection(name) for name in names]
        return StoreList(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=more,
        )

    @router.get("/v1/vector_stores/{vector_store_id}")
    async def get_vector_store(vector_store_id: str, caller: CallerOf) -> StoreOut:
        """Show a store."""
        try:
            return await shown(await shelf.readable(vector_store_id, caller))
        except NotFound:
            if vector_store_id in shelf.collections:
                return await collection(vector_store_id)
            raise

    @router.post("/v1/vector_stores/{vector_store_id}")
    async def update_vector_store(vector_store_id: str, body: UpdateStore, caller: CallerOf) -> StoreOut:
        """Change a store's name, metadata (with whom it is shared) or expiry."""
        return await shown(await shelf.update(vector_store_id, body, caller))

    @router.delete("/v1/vector_stores/{vector_store_id}")
    async def delete_vector_store(vector_store_id: str, caller: CallerOf) -> StoreDeleted:
        """Delete a store and all that is in it. The files themselves stay."""
        await shelf.delete(vector_store_id, caller)
        return StoreDeleted(id=vector_store_id)

    @router.post("/v1/vector_stores/{vector_store_id}/search")
    async def search_vector_store(vector_store_id: str, body: SearchStore, caller: CallerOf) -> FoundPage:
        """Search a store for passages, by meaning and by words."""
        try:
            await shelf.touch(await shelf.readable(vector_store_id, caller))
        except NotFound:
            if vector_store_id not in shelf.collections:
                raise
        queries = [body.query] if isinstance(body.query, str) else body.query
        if body.rewrite_query:
            queries = await asyncio.gather(*(rewrite(query, engine, caller) for query in queries))
        filter = read_filter(Raw(msgspec.json.encode(body.filters)), "filters") if body.filters else None
        ranking = body.ranking_options or RankingOptions()
        wanted = Search((vector_store_id,), body.max_num_results, filter, ranking.score_threshold)
        retriever = searcher(wanted)
        found = await asyncio.gather(*(retriever.retrieve(query, caller, wanted.limit) for query in queries))
        return FoundPage(search_query=queries, data=[_found(passage) for passage in _best(found, wanted.limit)])

    router.include_router(files_routes(shelf))
    router.include_router(batches_routes(shelf))
    return router


async def _page(
    shelf: Shelf, caller: Caller, limit: int, order: Order, after: str, before: str
) -> tuple[Sequence[Kept], Sequence[str], bool]:
    """A page of the caller's stores and then the names of collections; and whether there are more beyond it."""
    names = list(shelf.collections)
    newest_first = order == "desc"
    live = frozenset({LIVE})
    for id, param in ((after, "after"), (before, "before")):
        if id and id not in shelf.collections and await shelf.kept.get("vector_store", id, caller.owner) is None:
            raise NotFound(f"There is no vector store {id!r} to list from.", param=param)
    if before in shelf.collections:
        names = names[: names.index(before)]
        before = ""
        if not after:
            # What stands nearest before it: the last names, and before them the last stores.
            last = names[-limit:]
            query = KeptQuery(
                "vector_store", caller.owner, states=live, newest_first=not newest_first, limit=limit - len(last) + 1
            )
            found = list(await shelf.kept.list(query))
            stores = found[: limit - len(last)][::-1]
            return stores, last, len(stores) + len(last) < len(found) + len(names)
    if after in shelf.collections:
        names = names[names.index(after) + 1 :]
        return [], names[:limit], len(names) > limit
    query = KeptQuery(
        "vector_store",
        caller.owner,
        states=live,
        after=after,
        before=before,
        newest_first=newest_first,
        limit=limit + 1,
    )
    found = list(await shelf.kept.list(query))
    if before:
        kept = found[:limit] if after else found[-limit:]
        return kept, [], len(found) > limit
    stores = found[:limit]
    room = limit - len(stores)
    return stores, names[:room], len(found) > limit or len(names) > room


def _best(found: Sequence[Sequence[Passage]], limit: int) -> list[Passage]:
    """The best of several searches: each passage once, with the best of its scores."""
    best: dict[str, Passage] = {}
    for passage in (passage for passages in found for passage in passages):
        if passage.id not in best or passage.score > best[passage.id].score:
            best[passage.id] = passage
    ordered = best.values() if len(found) == 1 else sorted(best.values(), key=lambda hit: (-hit.score, hit.id))
    return list(ordered)[:limit]


def _found(passage: Passage) -> Found:
    return Found(
        file_id=passage.document_id,
        filename=passage.title or passage.document_id,
        score=passage.score,
        attributes=dict(passage.attributes),
        content=[Content(text=passage.text)],
    )
