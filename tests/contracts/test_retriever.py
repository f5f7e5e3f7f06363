from collections.abc import Awaitable, Callable, Sequence

import pytest

from rungwise_server.protocols import Retriever
from rungwise_server.retrieval.hybrid import Hybrid
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import FixedRetriever, RetrieverContract
from rungwise_server.types import CollectionSpec, IndexedPassage, Passage

Fill = Callable[[Sequence[Passage]], Awaitable[Retriever]]


class TestFixedRetriever(RetrieverContract):
    @pytest.fixture
    def fill(self) -> Fill:
        async def made(passages: Sequence[Passage]) -> Retriever:
            return FixedRetriever(passages)

        return made


class TestHybrid(RetrieverContract):
    @pytest.fixture
    def fill(self) -> Fill:
        async def made(passages: Sequence[Passage]) -> Retriever:
            index, embedder, sparse = MemoryIndex(), HashEmbedder(), Bm25Encoder()
            await index.create("default", CollectionSpec(embedder.name, embedder.dimensions, sparse.name))
            if passages:
                dense = await embedder.embed([p.text for p in passages], "passage")
                await index.upsert(
                    "default",
                    [
                        IndexedPassage(p, vector, sparse.passage(p.text))
                        for p, vector in zip(passages, dense, strict=True)
                    ],
                )
            return Hybrid(index, embedder, sparse, ("default",))

        return made
