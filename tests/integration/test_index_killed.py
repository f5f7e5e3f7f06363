"""The embedded index in processes that are killed with -9 at any moment, and on a disk that fills up."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.shared import open_embedded
from rungwise_server.testing.retrieval_index import ALL, SPEC, entry, query
from rungwise_server.testing.scratch import scratch

BATCH = 40
HR = frozenset({"group:hr"})

PRELUDE = """
import asyncio, itertools, pathlib, sys
from rungwise_server.errors import Unavailable
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.shared import open_embedded
from rungwise_server.testing.retrieval_index import SPEC, entry

home, first = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def say(*words): print(*words, flush=True)
"""

WRITES = (
    PRELUDE
    + """
async def main():
    index = EdgeIndex(home / "index")
    await index.create("docs", SPEC)
    for i in itertools.count(first):
        await index.upsert("docs", [entry(f"apple {i} {j}", document_id=f"d{i}", start=j) for j in range(40)])
        say("written", i)
        if i % 3 == 0:
            await index.set_readers("docs", "folder", f"d{i}", frozenset({"group:hr"}))
            say("changed", i)
        if i % 5 == 0:
            await index.remove("docs", "folder", f"d{i}")
            say("removed", i)
asyncio.run(main())
"""
)

MAKES = (
    PRELUDE
    + """
async def main():
    index = EdgeIndex(home / "index")
    for i in itertools.count(first):
        await index.create("docs", SPEC)
        await index.upsert("docs", [entry("apple")])
        say("made", i)
        await index.drop("docs")
        say("dropped", i)
asyncio.run(main())
"""
)

OWNS = (
    PRELUDE
    + """
async def main():
    index = await open_embedded(home / "index", home / "index.sock", "rungwise serve")
    say("open", 0)
    await asyncio.sleep(60)
asyncio.run(main())
"""
)

FILLS = (
    PRELUDE
    + """
async def main():
    index = EdgeIndex(home / "index")
    await index.create("docs", SPEC)
    for i in itertools.count():
        try:
            await index.upsert("docs", [entry(f"apple {i} {j} " + "x" * 20_000, start=j) for j in range(50)])
        except Unavailable as error:
            say("full", i, error)
            break
    await index.remove("docs", "folder", "not there")
    say("count", await index.count("docs"))
    await index.close()
asyncio.run(main())
"""
)


@pytest.fixture
def home() -> Iterator[Path]:
    with scratch() as path:
        yield path


def start(script: str, home: Path, first: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, home, str(first)], stdout=subprocess.PIPE, text=True)


def killed(script: str, home: Path, first: int, lines: int, wait: float) -> list[tuple[str, int]]:
    """What the script said before it was killed: after so many lines, and a moment more."""
    child = start(script, home, first)
    assert child.stdout
    said = [child.stdout.readline() for _ in range(lines)]
    try:
        child.wait(wait)
    except subprocess.TimeoutExpired:
        child.kill()
    said += child.stdout.readlines()
    assert child.wait() == -9, "it ended by itself"
    child.stdout.close()
    words = [line.split() for line in said if line.endswith("\n")]
    return [(what, int(i)) for what, i in words]


async def test_what_was_acknowledged_is_there_after_kill_9(home: Path) -> None:
    random.seed(os.urandom(8))
    said: set[tuple[str, int]] = set()
    begun = 0
    for _ in range(5):
        now = killed(WRITES, home, begun, random.randint(1, 60), random.random() / 20)
        said |= set(now)
        last = max(i for _, i in now)
        index = EdgeIndex(home / "index")
        for i in range(last + 2):
            passage = entry(f"apple {i} 0", document_id=f"d{i}", start=0).passage
            everyone, hr = [await index.neighbours(passage, principals) for principals in (ALL, HR)]
            assert len(everyone) in (0, BATCH), f"half of batch {i} is there"
            assert len(hr) in (0, BATCH), f"half of batch {i} has new readers"
            assert not (everyone and hr)
            if ("removed", i) in said:
                assert not everyone
                assert not hr
            elif ("changed", i) in said:
                assert hr or i % 5 == 0, f"readers of {i} are lost"
                assert not everyone, f"{i} is readable again"
            elif ("written", i) in said:
                assert everyone or i % 3 == 0 or i % 5 == 0, f"batch {i} is lost"
                assert everyone or hr or i % 5 == 0
        await index.close()
        begun = last + 2
    assert begun > 10


async def test_a_collection_is_whole_or_not_there_after_kill_9(home: Path) -> None:
    for _ in range(4):
        what, _i = killed(MAKES, home, 0, random.randint(1, 12), random.random() / 50)[-1]
        index = EdgeIndex(home / "index")
        await index.load()
        held = await index.describe("docs")
        assert await index.count("docs") <= 1
        if held and what == "made":
            assert await index.create("docs", SPEC) == held
        await index.drop("docs")
        assert sorted(os.listdir(home / "index")) == ["lock"]
        await index.close()


async def test_a_search_outlives_the_process_that_had_the_index_open(home: Path) -> None:
    owner = start(OWNS, home)
    assert owner.stdout
    assert owner.stdout.readline() == "open 0\n"
    index = await open_embedded(home / "index", home / "index.sock", "rungwise ingest")
    assert not index.own
    await index.create("docs", SPEC)
    await index.upsert("docs", [entry("apple")])

    async def search() -> None:
        while not index.own:
            assert len((await index.search("docs", query("apple"))).dense) == 1

    searching = [asyncio.create_task(search()) for _ in range(4)]
    written = 0
    while not index.own:
        await index.upsert("docs", [entry(f"pear {written}", readers=HR)])
        written += 1
        if written == 20:
            owner.kill()
    await asyncio.gather(*searching)
    assert await index.count("docs") == 1 + written
    assert owner.wait() == -9
    owner.stdout.close()
    await index.close()


def test_a_disk_that_fills_up_ends_in_words_not_in_a_signal(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        done = subprocess.run([sys.executable, "-c", FILLS, disk, "0"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        full, count = done.stdout.splitlines()
        batches = int(full.split()[1])
        assert batches > 5
        assert "make room" in full
        assert count == f"count {batches * 50}"
    finally:
        subprocess.run(["umount", disk], check=True)
