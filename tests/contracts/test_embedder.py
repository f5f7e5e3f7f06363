"""Every Embedder keeps the contract: the fake, the embedded model, a model in a folder, one behind a URL."""

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest

from rungwise_server.protocols import Embedder
from rungwise_server.retrieval.embedders.minilm import MiniLM
from rungwise_server.retrieval.embedders.onnx import open_folder
from rungwise_server.retrieval.embedders.openai import OpenAIEmbeddings
from rungwise_server.testing.retrieval_embedder import EmbedderContract, HashEmbedder
from rungwise_server.testing.upstream import FakeUpstream


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


class TestOnnxFolder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return open_folder(
            Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
        )


class TestOpenAIEmbeddings(EmbedderContract):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[Embedder]:
        async with FakeUpstream() as upstream:
            embeddings = await OpenAIEmbeddings.open(upstream.url, "hash", dimensions=64)
            yield embeddings
            await embeddings.close()
