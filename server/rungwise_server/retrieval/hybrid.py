"""Finds passages by meaning and by words at once."""

import asyncio
from collections.abc import Sequence

from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.retrieval.fusion import fuse, ranked
from rungwise_server.retrieval.language import guess
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.types import Caller, IndexQuery, Passage

DEPTH = 100
"""How far down each ranking fusion looks."""


class Hybrid:
    """One search of each collection, dense and sparse together; the two rankings are fused.

    A passage's `score` is its share of the best possible fusion (see `fuse`): 1 means that both rankings have it first.
    """

    def __init__(
        self, index: PassageIndex, embedder: Embedder, sparse: Bm25Encoder, collections: Sequence[str]
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._sparse = sparse
        self._collections = tuple(dict.fromkeys(collections))

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """Best first, only what `caller` may read. Raises UpstreamError (embedder) and Unavailable (index)."""
        if not query.strip() or not self._collections or limit < 1:
            return []
        dense = (await self._embedder.embed([query], "query"))[0]
        search = IndexQuery(dense, self._sparse.query(query), caller.principals, max(DEPTH, limit))
        hits = await asyncio.gather(*(self._index.search(name, search) for name in self._collections))
        by_meaning = ranked([passage for found in hits for passage in found.dense])
        by_words = ranked([passage for found in hits for passage in found.sparse])
        return fuse((by_meaning, by_words), (self._dense_weight(query), 1.0), limit)

    def _dense_weight(self, query: str) -> float:
        known = self._embedder.languages
        language = guess(query)
        return 1.0 if not known or not language or language in known else 0.1
