"""A child that is kept running, over real processes."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rungwise_pipelines.work.keeper import Keeper

UNTIL_ALONE = """
import fcntl, os, pathlib, sys
folder, me = pathlib.Path(sys.argv[1]), str(os.getpid())
held = (folder / "new").open("w")
fcntl.flock(held, fcntl.LOCK_EX)
(folder / "new").rename(folder / me)
sys.stdin.read()
"""
PATIENCE = 30.0


def children(folder: Path) -> list[int]:
    """The ids of the children that came up, oldest first."""
    found = [file for file in folder.iterdir() if file.name != "new"]
    return [int(file.name) for file in sorted(found, key=lambda file: file.stat().st_mtime_ns)]


def alive(folder: Path, child: int) -> bool:
    """A child holds its file's lock to its end."""
    with (folder / str(child)).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def test_it_is_followed_by_another_when_it_dies_and_ends_with_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Keeper([sys.executable, "-c", UNTIL_ALONE, str(tmp_path)]) as keeper:
        keeper.start()
        async with asyncio.timeout(PATIENCE):
            while not children(tmp_path):
                await asyncio.sleep(0.02)
            os.kill(children(tmp_path)[0], signal.SIGKILL)
            while len(children(tmp_path)) < 2:
                await asyncio.sleep(0.02)
        assert "SIGKILL" in caplog.text
        assert alive(tmp_path, children(tmp_path)[1])
    assert not alive(tmp_path, children(tmp_path)[1])


async def test_none_is_started_where_none_was_asked_for() -> None:
    async with Keeper(["/nowhere"]):
        pass


def test_it_ends_where_its_parent_is_killed(tmp_path: Path) -> None:
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
        deadline = time.monotonic() + PATIENCE
        while not children(tmp_path):
            assert time.monotonic() < deadline, "no child came up"
            time.sleep(0.02)
        process.kill()
    while alive(tmp_path, children(tmp_path)[0]):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.02)
