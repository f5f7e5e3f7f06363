"""Every store and queue passes its contract: in memory, SQLite, PostgreSQL; blobs in memory and in a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rungwise_server.database import Database, open_database
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.store.queue import SqlQueue
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.blobs_contract import BlobStoreContract
from rungwise_server.testing.keeping import Clock, MemoryBlobs, MemoryKept, MemoryQueue
from rungwise_server.testing.kept_contract import KeptStoreContract
from rungwise_server.testing.queue_contract import JobQueueContract
from rungwise_server.testing.scratch import scratch


@pytest.fixture
def sqlite() -> Iterator[Database]:
    with scratch() as folder:
        database = open_database(f"sqlite:///{folder}/rungwise.db")
        yield database
        database.close()


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Database]:
    database = open_database(postgres_url)
    yield database
    database.close()


class TestMemoryKept(KeptStoreContract):
    @pytest.fixture
    def kept(self, clock: Clock) -> MemoryKept:
        return MemoryKept(clock)


class TestSqliteKept(KeptStoreContract):
    @pytest.fixture
    def kept(self, clock: Clock, sqlite: Database) -> SqlKept:
        return SqlKept(sqlite, clock)


class TestPostgresqlKept(KeptStoreContract):
    @pytest.fixture
    def kept(self, clock: Clock, postgresql: Database) -> SqlKept:
        return SqlKept(postgresql, clock)


class TestMemoryBlobs(BlobStoreContract):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()


class TestFolderBlobs(BlobStoreContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[FolderBlobs]:
        folder = tmp_path / "not" / "there yet"
        yield FolderBlobs(folder)
        assert list(folder.glob("*.part")) == []


class TestMemoryQueue(JobQueueContract):
    @pytest.fixture
    def queue(self, clock: Clock) -> MemoryQueue:
        return MemoryQueue(clock)


class TestSqliteQueue(JobQueueContract):
    @pytest.fixture
    def queue(self, clock: Clock, sqlite: Database) -> SqlQueue:
        return SqlQueue(sqlite, clock)


class TestPostgresqlQueue(JobQueueContract):
    @pytest.fixture
    def queue(self, clock: Clock, postgresql: Database) -> SqlQueue:
        return SqlQueue(postgresql, clock)
