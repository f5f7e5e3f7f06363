"""A fake provider and a log."""

from collections.abc import AsyncIterator

import pytest

from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.upstream import FakeUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()
