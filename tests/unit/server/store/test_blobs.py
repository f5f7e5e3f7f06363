"""The folder of uploads: what a full disk, a killed writer and a strange folder make of it."""

import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rungwise_server.errors import NotFound, Unavailable
from rungwise_server.store.blobs import FolderBlobs


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_full_disk_says_what_to_do_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    blobs = FolderBlobs(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="full: delete files, or make room in RUNGWISE_HOME") as caught:
            await blobs.write("file-1", _pieces(b"x"), 10)
    assert caught.value.code == "disk_full"
    assert _names(tmp_path) == []
    assert await blobs.write("file-1", _pieces(b"x"), 10) == 1


async def test_a_folder_that_is_none_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("")
    blobs = FolderBlobs(tmp_path / "files")
    with pytest.raises(Unavailable, match="File exists"):
        await blobs.write("file-1", _pieces(b"x"), 10)
    with pytest.raises(Unavailable, match="Not a directory"):
        await blobs.path("file-1")
    assert await blobs.tidy() == 0


async def test_uploads_are_private(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "files")
    await blobs.write("file-1", _pieces(b"x"), 10)
    path = await blobs.path("file-1")
    assert [p.stat().st_mode & 0o777 for p in (path.parent, path)] == [0o700, 0o600]


async def test_what_killed_writers_left_is_tidied_and_others_are_not_disturbed(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    for name, age in (("dead.part", 100), ("young.part", 0)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    parts: list[Path] = []

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        (part,) = (tmp_path / name for name in _names(tmp_path) if name.startswith("file-1"))
        os.utime(part, (time.time() - 100,) * 2)
        assert await blobs.tidy() == 1
        parts.append(part)
        yield b"second"

    assert await blobs.write("file-1", slow(), 100) == 11
    assert len(parts) == 1
    assert _names(tmp_path) == ["file-1", "young.part"]
    (tmp_path / "young.part").unlink()
    assert await blobs.tidy() == 0
    with pytest.raises(NotFound):
        await blobs.path("young")
