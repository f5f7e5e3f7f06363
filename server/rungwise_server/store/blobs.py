"""The bytes of uploads, each in a file of its own in one folder."""

import asyncio
import errno
import fcntl
import os
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from rungwise_server.errors import BadRequest, NotFound, TooLarge, Unavailable
from rungwise_server.types import new_id

_T = TypeVar("_T")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_PIECE = 1 << 20
_PART = ".part"
_YOUNG = 60.0
"""Seconds within which a temporary file may still be without its lock."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderBlobs:
    """A BlobStore in a folder, which is made when it is first written to.

    Bytes go to a temporary file that takes the blob's name only once all of them are on disk. A killed process leaves
    at most that temporary file, which `tidy` removes. Several servers and workers may share the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write(self, id: str, chunks: AsyncIterable[bytes], limit: int) -> int:
        """All the bytes or nothing; see BlobStore."""
        part = _Part(self._place(id))
        size = 0
        waiting = bytearray()
        try:
            await _on_thread(part.begin)
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"There are more than {limit} bytes, which is the most that is taken.")
                waiting += chunk
                if len(waiting) >= _PIECE:
                    full, waiting = waiting, bytearray()
                    await _on_thread(part.write, full)
            await _on_thread(part.finish, waiting)
        except BaseException:
            await _on_thread(part.abandon)
            raise
        return size

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """The bytes; see BlobStore. They stay to be read where the blob is removed meanwhile."""
        file: IO[bytes] = await _on_thread(open, self._place(id), "rb")
        try:
            while piece := await _on_thread(file.read, _PIECE):
                yield piece
        finally:
            file.close()

    async def path(self, id: str) -> Path:
        """A file with the bytes; see BlobStore."""
        path = self._place(id)
        await _on_thread(path.stat)
        return path

    async def remove(self, id: str) -> None:
        """Forget the bytes; see BlobStore."""
        await _on_thread(self._place(id).unlink, True)

    async def tidy(self) -> int:
        """Remove what writers that were killed left half written; how many. Those at work are not disturbed."""
        return await _on_thread(self._tidy)

    def _place(self, id: str) -> Path:
        return self._folder / checked(id)

    def _tidy(self) -> int:
        removed = 0
        for path in self._folder.glob(f"*{_PART}"):
            with suppress(FileNotFoundError), path.open("rb") as file:
                if time.time() - os.fstat(file.fileno()).st_mtime > _YOUNG and _lock(file):
                    path.unlink()
                    removed += 1
        return removed


def checked(id: str) -> str:
    """The id, which names a file here and must be no path. Raises BadRequest."""
    if not _ID.fullmatch(id):
        raise BadRequest(f"{id!r} is no id of an upload.")
    return id


class _Part:
    """A blob that is being written. All methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(new_id(path.name) + _PART)
        self._file: IO[bytes] | None = None

    def begin(self) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = open(self._part, "xb", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
        _lock(self._file)

    def write(self, data: bytearray) -> None:
        assert self._file is not None
        self._file.write(data)

    def finish(self, data: bytearray) -> None:
        assert self._file is not None
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.rename(self._path)
        self._file.close()
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def _on_thread(function: Callable[..., _T], *arguments: object) -> _T:
    """The function's result. Who is cancelled waits for it nevertheless: it must not go on behind their back."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.exception()  # if there is one, nobody waits for it any more
        raise
    except FileNotFoundError as error:
        raise NotFound("The bytes of this upload are not there.") from error
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(
                "The disk that uploads are kept on is full: delete files, or make room in RUNGWISE_HOME.",
                code="disk_full",
            ) from error
        raise Unavailable(f"Uploads cannot be kept or read now: {error.strerror or error}.") from error
