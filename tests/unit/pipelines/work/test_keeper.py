"""A child that is kept running, over real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rungwise_pipelines.work.keeper import Keeper

UNTIL_ALONE = """
import os, sys, pathlib
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
sys.stdin.read()
"""
PATIENCE = 30.0


async def born(folder: Path, count: int) -> list[int]:
    """The ids of the children that came up, once there are so many."""
    async with asyncio.timeout(PATIENCE):
        while len(found := sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)) < count:
            await asyncio.sleep(0.02)
    return [int(file.name) for file in found]


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_followed_by_another_when_it_dies_and_ends_with_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Keeper([sys.executable, "-c", UNTIL_ALONE, str(tmp_path)]) as keeper:
        keeper.start()
        (first,) = await born(tmp_path, 1)
        os.kill(first, signal.SIGKILL)
        _, second = await born(tmp_path, 2)
        assert "SIGKILL" in caplog.text
        assert alive(second)
    assert not alive(second)


async def test_none_is_started_where_none_was_asked_for() -> None:
    async with Keeper(["/nowhere"]):
        pass


async def test_it_ends_where_its_parent_is_killed(tmp_path: Path) -> None:
    parent = textwrap.dedent(f"""
        import asyncio, sys
        from rungwise_pipelines.work.keeper import Keeper
        async def main():
            async with Keeper([sys.executable, "-c", {UNTIL_ALONE!r}, sys.argv[1]]) as keeper:
                keeper.start()
                await asyncio.sleep(1000)
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)]) as process:
        (child,) = await born(tmp_path, 1)
        process.kill()
    async with asyncio.timeout(PATIENCE):
        while alive(child):
            await asyncio.sleep(0.02)
