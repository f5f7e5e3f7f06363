"""Every `PassageIndex` of the house does what the protocol says."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rungwise_server.protocols import PassageIndex
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.qdrant import QdrantIndex
from rungwise_server.retrieval.indexes.shared import IndexHost, RemoteIndex, open_embedded
from rungwise_server.testing.retrieval_index import MemoryIndex, PassageIndexContract
from rungwise_server.testing.scratch import scratch


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as path:
        yield path


class TestMemory(PassageIndexContract):
    @pytest.fixture
    def index(self) -> PassageIndex:
        return MemoryIndex()


class TestEdge(PassageIndexContract):
    @pytest.fixture
    async def index(self, folder: Path) -> AsyncIterator[PassageIndex]:
        index = EdgeIndex(folder / "index")
        yield index
        await index.close()


class TestRemote(PassageIndexContract):
    """An index in another's hands."""

    @pytest.fixture
    async def index(self, folder: Path) -> AsyncIterator[PassageIndex]:
        owned = EdgeIndex(folder / "index")
        host = IndexHost(owned, folder / "index.sock")
        await host.start()
        index = RemoteIndex(folder / "index.sock")
        yield index
        await index.close()
        await host.close()
        await owned.close()


class TestShared(PassageIndexContract):
    """The second of two that share one."""

    @pytest.fixture
    async def index(self, folder: Path) -> AsyncIterator[PassageIndex]:
        first = await open_embedded(folder / "index", folder / "index.sock", "first")
        second = await open_embedded(folder / "index", folder / "index.sock", "second")
        yield second
        await second.close()
        await first.close()


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
class TestQdrantLocal(PassageIndexContract):
    """Our half of the Qdrant door, on qdrant-client's own imitation of the server."""

    @pytest.fixture
    async def index(self) -> AsyncIterator[PassageIndex]:
        from qdrant_client import AsyncQdrantClient

        index = QdrantIndex(client=AsyncQdrantClient(":memory:"))
        yield index
        await index.close()


@pytest.mark.skipif(
    "RUNGWISE_TEST_QDRANT_URL" not in os.environ, reason="RUNGWISE_TEST_QDRANT_URL names no Qdrant server"
)
class TestQdrantServer(PassageIndexContract):
    @pytest.fixture
    async def index(self) -> AsyncIterator[PassageIndex]:
        from qdrant_client import AsyncQdrantClient

        url, prefix = os.environ["RUNGWISE_TEST_QDRANT_URL"], f"test{uuid.uuid4().hex[:8]}_"
        index = QdrantIndex(url, prefix=prefix)
        yield index
        await index.close()
        client = AsyncQdrantClient(url)
        for made in (await client.get_collections()).collections:
            if made.name.startswith(prefix):
                await client.delete_collection(made.name)
        await client.close()
