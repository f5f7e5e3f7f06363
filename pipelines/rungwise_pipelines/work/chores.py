"""Housekeeping of what is kept for clients: what has expired goes, and what a dying process left behind is taken up."""

import time

from rungwise_pipelines.work.workshop import Workshop
from rungwise_server import batches
from rungwise_server.keeping import JobQueue, KeptQuery, KeptStore
from rungwise_server.vector_stores import JOB, REMOVING, clear_away

_FORGOTTEN = 60.0  # seconds after which a row without an end is looked into
_AT_ONCE = 1000


class VectorStoreChores:
    """Sweeps vector stores."""

    def __init__(self, kept: KeptStore, queue: JobQueue, workshop: Workshop) -> None:
        self._kept = kept
        self._queue = queue
        self._workshop = workshop

    async def sweep(self) -> None:
        """Clear away expired stores, and those whose removal was begun."""
        left = await self._kept.list(KeptQuery("vector_store", None, states=frozenset({REMOVING}), limit=_AT_ONCE))
        for store in (*await self._kept.sweep("vector_store"), *left):
            await clear_away(self._kept, await self._workshop.index(), store.id)

    async def take_up(self) -> None:
        """Queue the files whose job was never put, because the process that was to put it died before."""
        states = frozenset({"in_progress", REMOVING})
        query = KeptQuery("vector_store_file", None, states=states, newest_first=False, limit=_AT_ONCE)
        for row in await self._kept.list(query):
            if row.created_at < time.time() - _FORGOTTEN:
                await self._queue.put(JOB, row.id)


async def take_up_batches(kept: KeptStore, queue: JobQueue) -> None:
    """Queue the batches whose job was never put, because the process that was to put it died before."""
    query = KeptQuery("batch", None, states=batches.LIVE, newest_first=False, limit=_AT_ONCE)
    for row in await kept.list(query):
        if row.created_at < time.time() - _FORGOTTEN:
            await queue.put(batches.JOB, row.id)
