"""Every log passes the contract: in memory, SQLite, PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rungwise_server.database import open_database
from rungwise_server.log.memory import MemoryLog
from rungwise_server.log.sql import SqlLog
from rungwise_server.testing.log import InferenceLogContract


class TestMemoryLog(InferenceLogContract):
    @pytest.fixture
    async def log(self) -> MemoryLog:
        return MemoryLog()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*")]


async def _opened(url: str, spool: Path) -> AsyncIterator[SqlLog]:
    database = open_database(url)
    log = SqlLog(database, spool)
    yield log
    await log.close()
    assert log.lost == 0
    assert _names(spool) == []
    database.close()


class TestSqlite(InferenceLogContract):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[SqlLog]:
        async for log in _opened(f"sqlite:///{tmp_path}/rungwise.db", tmp_path / "spool"):
            yield log


class TestPostgreSQL(InferenceLogContract):
    @pytest.fixture
    async def log(self, postgres_url: str, tmp_path: Path) -> AsyncIterator[SqlLog]:
        async for log in _opened(postgres_url, tmp_path / "spool"):
            yield log
