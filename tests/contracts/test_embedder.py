"""Every Embedder keeps the contract: the fake, the embedded model, a model in a folder."""

from functools import cache

import pytest

from rungwise_server.protocols import Embedder
from rungwise_server.retrieval.minilm import MiniLM
from rungwise_server.testing.retrieval_embedder import EmbedderContract, HashEmbedder


@cache
def minilm() -> MiniLM:
    return MiniLM()


class TestHashEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return HashEmbedder()


class TestMiniLM(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return minilm()
