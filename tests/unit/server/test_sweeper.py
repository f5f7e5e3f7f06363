"""What has expired is cleared up, and one chore that fails holds up no other."""

import asyncio
import logging

import pytest
from msgspec import Raw

from rungwise_server.errors import Unavailable
from rungwise_server.keeping import Kept
from rungwise_server.sweeper import Sweeper, forget_expired
from rungwise_server.testing.keeping import Clock, MemoryKept


async def test_expired_things_are_removed_however_many() -> None:
    clock = Clock()
    kept = MemoryKept(clock)
    for number in range(250):
        await kept.add(Kept(f"r{number}", "response", "user:ana", 1.0, Raw(b"{}"), expires_at=2_000.0))
    await kept.add(Kept("stays", "response", "user:ana", 1.0, Raw(b"{}")))
    await kept.add(Kept("other", "idempotency", "user:ana", 1.0, Raw(b"{}"), expires_at=2_000.0))
    assert await forget_expired(kept, "response") == 0
    clock.now = 2_000.0
    assert await forget_expired(kept, "response") == 250
    assert await kept.sweep("response") == []
    assert len(await kept.sweep("idempotency")) == 1
    assert await kept.get("response", "stays", None) is not None


async def test_a_chore_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def down() -> None:
        raise Unavailable("the database does not answer")

    async def broken() -> None:
        raise ZeroDivisionError

    async def works() -> None:
        done.append("swept")

    sweeper = Sweeper({"files": down, "odds": broken, "ends": works}, every=0.001)
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(sweeper.run())
        async with asyncio.timeout(20):
            while len(done) < 3:
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
    assert "files that have expired are not cleared up yet: the database does not answer" in caplog.text
    assert "odds" in caplog.text
    assert "ZeroDivisionError" in caplog.text
