"""A process that keeps files is killed with kill -9: what it had acknowledged is there whole, nothing is there half."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rungwise_server.database import Database, open_database
from rungwise_server.files import Files
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.store.sql import SqlKept

# Four at a time keep files of a size that their first bytes tell, delete every third, and say so once each is done.
_KEEPER = textwrap.dedent(
    """
    import asyncio, os, random, sys
    from pathlib import Path
    from rungwise_server.database import open_database
    from rungwise_server.files import Files
    from rungwise_server.store.blobs import FolderBlobs
    from rungwise_server.store.sql import SqlKept

    files = Files(SqlKept(open_database(sys.argv[1])), FolderBlobs(Path(sys.argv[2])), 10**9)

    async def pieces(size):
        yield b"%012d" % size
        for start in range(12, size, 50_000):
            yield b"x" * min(50_000, size - start)

    async def keeps():
        while True:
            file = await files.create("user:ana", "f", "user_data", pieces(random.randrange(12, 3_000_000)))
            os.write(1, b"+%s\\n" % file.id.encode())
            if random.random() < 0.33:
                os.write(1, b"?%s\\n" % file.id.encode())
                await files.delete(file.id, "user:ana")
                os.write(1, b"-%s\\n" % file.id.encode())

    async def main():
        await asyncio.gather(*(keeps() for _ in range(4)))

    asyncio.run(main())
    """
)


def _run_and_kill(url: str, folder: Path, count: int) -> tuple[set[str], set[str]]:
    """The ids of the files whose keeping was acknowledged and whose end was not asked for; and of those deleted."""
    with subprocess.Popen([sys.executable, "-c", _KEEPER, url, folder], stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        lines = [keeper.stdout.readline() for _ in range(count)]
        keeper.kill()
        lines += keeper.stdout.readlines()
    told: dict[bytes, set[str]] = {b"+": set(), b"?": set(), b"-": set()}
    for line in lines:
        if line.endswith(b"\n"):
            told[line[:1]].add(line[1:-1].decode())
    return told[b"+"] - told[b"?"], told[b"-"]


async def _check(database: Database, folder: Path, kept: set[str], deleted: set[str]) -> int:
    files = Files(SqlKept(database), FolderBlobs(folder), 10**9)
    found, _ = await files.list("user:ana")
    ids = {file.id for file in found}
    assert kept <= ids, "a file that was acknowledged is gone"
    assert not deleted & ids, "a file that was deleted is back"
    for file in found:
        content = b"".join([piece async for piece in files.read(file.id)])
        assert (int(content[:12]), file.bytes) == (len(content), len(content)), "a file is there by half"
    return len(found)


async def _swept(database: Database, folder: Path) -> None:
    """Two days later nothing is on the disk but the files that there are."""
    blobs = FolderBlobs(folder)
    files = Files(SqlKept(database, clock=lambda: time.time() + 2 * 86_400), blobs, 10**9)
    await files.sweep()
    for part in _paths(folder):
        if part.suffix == ".part":
            os.utime(part, (time.time() - 100,) * 2)
    await blobs.tidy()
    found, _ = await files.list(None)
    assert {path.name for path in _paths(folder)} == {file.id for file in found}


def _paths(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_killed_keeper_of_files(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/rungwise.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    folder = tmp_path / "files"
    kept: set[str] = set()
    deleted: set[str] = set()
    counts = []
    database = open_database(url)
    for count in (5, 12, 19):
        more, gone = await asyncio.to_thread(_run_and_kill, url, folder, count)
        kept |= more
        deleted |= gone
        counts.append(await _check(database, folder, kept, deleted))
    assert len(kept) > 10
    await _swept(database, folder)
    assert await _check(database, folder, kept, deleted) == counts[-1]
    database.close()
