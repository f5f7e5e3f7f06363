"""Every Reranker keeps its contract: the fake, the embedded one, and one behind a URL."""

from collections.abc import AsyncIterator

import pytest

from rungwise_server.app import create_app
from rungwise_server.http.client import HttpClient
from rungwise_server.protocols import Reranker
from rungwise_server.retrieval.rerank import HybridReranker
from rungwise_server.retrieval.rerank_upstream import UpstreamReranker
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retrieval_reranker import RerankerContract, WordReranker
from rungwise_server.testing.serving import fake_parts, listening


class TestWords(RerankerContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return WordReranker()


class TestHybrid(RerankerContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return HybridReranker(HashEmbedder(), Bm25Encoder())


class TestUpstream(RerankerContract):
    """Another server of ours is the upstream: what we serve, we can be served by."""

    @pytest.fixture
    async def reranker(self) -> AsyncIterator[Reranker]:
        client = HttpClient()
        async with listening(create_app(fake_parts(reranker=WordReranker()))) as url:
            yield UpstreamReranker(f"{url}/v1", "words", client=client)
            await client.close()
