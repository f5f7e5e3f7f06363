"""kill -9 at any moment of a run over real files, index and database, then on: as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rungwise_server.retrieval.indexes.shared import open_embedded
from rungwise_server.types import EVERYONE, IndexQuery, Passage, SparseVector

ROUNDS = 6
DOCUMENTS = 40


class Processes:
    """Starts ingestions one after the other."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("ingest_process.py")
        self._forker = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"

    def run(self, home: Path, folder: Path, killed_after: float = 0) -> int:
        """The exit code; negative: the signal that ended it."""
        assert self._forker.stdin
        self._forker.stdin.write(f"{home} {folder} {killed_after}\n")
        self._forker.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        assert self._forker.stdin
        self._forker.stdin.close()
        self._forker.wait(30)

    def _read(self) -> str:
        assert self._forker.stdout
        return self._forker.stdout.readline().strip()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()


@pytest.mark.slow
async def test_killed_at_random_and_resumed(tmp_path: Path, processes: Processes) -> None:
    folder, home, fresh = (tmp_path / name for name in ("documents", "home", "fresh"))
    for path in (folder, home, fresh):
        path.mkdir()
    luck = random.Random(20)
    for number in range(DOCUMENTS):
        _write(folder, number, luck)
    started = time.monotonic()
    assert processes.run(home, folder) == 0
    whole = time.monotonic() - started

    killed = 0
    for _ in range(ROUNDS):
        for number in luck.sample(range(DOCUMENTS), DOCUMENTS // 2):
            _write(folder, number, luck)
        started = time.monotonic()
        if processes.run(home, folder, luck.uniform(0.1, 0.8) * whole) == -signal.SIGKILL:
            killed += 1
        else:
            whole = min(whole, time.monotonic() - started)  # the machine was busier before
    assert killed > ROUNDS // 3, "hardly any kill hit: the test proves nothing"
    assert processes.run(home, folder) == 0
    assert processes.run(fresh, folder) == 0
    assert await _contents(home) == await _contents(fresh)


def _write(folder: Path, number: int, luck: random.Random) -> None:
    """A document of that number, with other words, readers, or not at all."""
    file = folder / f"{number}.md"
    if luck.random() < 0.15:
        file.unlink(missing_ok=True)
        return
    readers = luck.choice(["everyone", "finance", "staff"])
    words = luck.choice(["Pumps have valves.", "Taps drip at night.", "Pipes are long."])
    file.write_text(f"---\nreaders: [{readers}]\n---\n# Sheet {number}\n\n{words * luck.randint(1, 200)}\n")


async def _contents(home: Path) -> list[tuple[Passage, float]]:
    """Every passage with a number that its vector decides."""
    index = await open_embedded(home / "index", home / "index.sock", "test")
    try:
        spec = await index.describe("docs")
        assert spec
        probe = np.random.default_rng(1).normal(size=spec.dimensions).astype(np.float32)
        principals = frozenset({EVERYONE, "group:finance", "group:staff"})
        hits = await index.search(
            "docs", IndexQuery(probe / np.linalg.norm(probe), SparseVector((), ()), principals, 100_000)
        )
        assert len(hits.dense) == await index.count("docs")
        return sorted(
            ((msgspec.structs.replace(hit, score=0.0), round(hit.score, 4)) for hit in hits.dense),
            key=lambda pair: pair[0].id,
        )
    finally:
        await index.close()
