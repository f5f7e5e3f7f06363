"""Every `PassageIndex` of the house does what the protocol says."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rungwise_server.protocols import PassageIndex
from rungwise_server.retrieval.edge import EdgeIndex
from rungwise_server.testing.retrieval_index import MemoryIndex, PassageIndexContract


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: making a collection syncs often, and disks of CI are slow at that."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


class TestMemory(PassageIndexContract):
    @pytest.fixture
    def index(self) -> PassageIndex:
        return MemoryIndex()


class TestEdge(PassageIndexContract):
    @pytest.fixture
    async def index(self, folder: Path) -> AsyncIterator[PassageIndex]:
        index = EdgeIndex(folder / "index", reserve=0)
        yield index
        await index.close()
