"""The heavy parts that work with documents needs - index, embedder, parser, splitter -, opened when first asked for.

A worker mostly waits: without these it takes a fraction of their memory, and the embedded index stays with the process
that serves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from rungwise_server.protocols import Embedder, PassageIndex

if TYPE_CHECKING:
    from rungwise_connectors.sandbox import Parser as Sandbox
    from rungwise_pipelines.ingest.prepare import Parser
    from rungwise_pipelines.ingest.split import Splitter
    from rungwise_pipelines.ingest.write import Terms


class Workshop:
    """Opens each part once; `rest` closes what it opened, to be opened again when it is asked for. A `parser` that is
    given takes the place of processes of its own.
    """

    def __init__(
        self,
        open_index: Callable[[], Awaitable[PassageIndex]],
        open_embedder: Callable[[], Awaitable[Embedder]],
        parser: "Parser | None" = None,
    ) -> None:
        self._open_index = open_index
        self._open_embedder = open_embedder
        self._opening = asyncio.Lock()
        self._index: PassageIndex | None = None
        self._embedder: Embedder | None = None
        self._given = parser
        self._parser: Sandbox | None = None
        self._terms: Terms | None = None
        self._splitters: dict[int, Splitter] = {}

    async def index(self) -> PassageIndex:
        """The index. Raises IndexBusy, SetupError."""
        async with self._opening:
            if self._index is None:
                self._index = await self._open_index()
            return self._index

    async def embedder(self) -> Embedder:
        """The embedder. Raises SetupError, UpstreamError."""
        async with self._opening:
            if self._embedder is None:
                self._embedder = await self._open_embedder()
            return self._embedder

    def parser(self) -> "Parser":
        """Parses documents in processes of their own."""
        if self._given is not None:
            return self._given
        if self._parser is None:
            from rungwise_connectors.sandbox import Parser as Sandbox

            self._parser = Sandbox()
        return self._parser

    def terms(self) -> "Terms":
        """Term weights."""
        if self._terms is None:
            from rungwise_server.retrieval.sparse import Bm25Encoder

            self._terms = Bm25Encoder()
        return self._terms

    def splitter(self, limit: int) -> "Splitter":
        """A splitter for passages of at most `limit` tokens."""
        if limit not in self._splitters:
            from rungwise_pipelines.ingest.split import Splitter

            self._splitters[limit] = Splitter(limit)
        return self._splitters[limit]

    async def rest(self) -> None:
        """Close what is open. Nobody may be working with it."""
        async with self._opening:
            index, embedder, parser = self._index, self._embedder, self._parser
            self._index = self._embedder = self._parser = None
        if parser is not None:
            await parser.close()
        if embedder is not None:
            await embedder.close()
        if index is not None:
            await index.close()
