"""A worker in a test's own event loop, over the parts of its server."""

import asyncio

from rungwise_connectors.parsers.parse import parse
from rungwise_connectors.types import Document, Parsed
from rungwise_pipelines.work.vector_store_files import VectorStoreFiles
from rungwise_pipelines.work.worker import Ended, Worker
from rungwise_pipelines.work.workshop import Workshop
from rungwise_server.app import Parts
from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.vector_stores import JOB


class InProcessParser:
    """Reads documents right here: for documents of one's own only."""

    async def parse(self, document: Document) -> Parsed:
        """See `rungwise_connectors.parsers.parse.parse`."""
        return await asyncio.to_thread(parse, document)


class NearbyWorker:
    """Does what waits in the queue of `parts` when it is told to. `ended` are the ends of all jobs so far."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.ended: list[Ended] = []
        workshop = Workshop(self._index, self._embedder, InProcessParser())
        duties = {JOB: VectorStoreFiles(parts.kept, parts.blobs, workshop).duty}
        self._worker = Worker(parts.queue, duties, report=self.ended.append)

    async def work(self) -> None:
        """All jobs, until none waits."""
        await self._worker.run(asyncio.Event(), until_idle=True)

    async def _index(self) -> PassageIndex:
        return self._parts.index

    async def _embedder(self) -> Embedder:
        return self._parts.embedder
