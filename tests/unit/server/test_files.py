"""Files and their bytes stay together, whoever fails or comes at the same moment."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rungwise_server.errors import BadRequest, NotFound, TooLarge, Unavailable
from rungwise_server.files import Files
from rungwise_server.testing.keeping import Clock, MemoryBlobs, MemoryKept

ANA = "user:ana"


class Down(MemoryBlobs):
    """Removes nothing while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True

    async def remove(self, id: str) -> None:
        if self.down:
            raise Unavailable("the disk is away")
        await super().remove(id)


async def _once(data: bytes = b"hello") -> AsyncIterator[bytes]:
    yield data


async def _content(files: Files, id: str) -> bytes:
    return b"".join([piece async for piece in files.read(id)])


async def test_of_many_who_delete_a_file_nobody_fails_but_with_not_found() -> None:
    files = Files(MemoryKept(), MemoryBlobs(), 100)
    made = await files.create(ANA, "a", "batch", _once())
    results = await asyncio.gather(*(files.delete(made.id, ANA) for _ in range(5)), return_exceptions=True)
    assert results.count(None) >= 1
    assert all(result is None or isinstance(result, NotFound) for result in results)
    with pytest.raises(NotFound):
        await _content(files, made.id)


async def test_a_deletion_that_fails_half_way_is_finished_by_the_sweep() -> None:
    kept, blobs = MemoryKept(), Down()
    files = Files(kept, blobs, 100)
    made = await files.create(ANA, "a", "batch", _once())
    with pytest.raises(Unavailable):
        await files.delete(made.id, ANA)
    with pytest.raises(NotFound):
        await files.get(made.id, ANA)
    with pytest.raises(Unavailable):
        await files.sweep()
    blobs.down = False
    assert await files.sweep() == 1
    with pytest.raises(NotFound):
        await _content(files, made.id)
    assert await files.sweep() == 0


async def test_an_upload_that_cannot_be_cleared_up_is_swept_a_day_later() -> None:
    clock = Clock(time.time())
    blobs = Down()
    files = Files(MemoryKept(clock), blobs, 3)
    with pytest.raises(TooLarge):
        await files.create(ANA, "a", "batch", _once())
    blobs.down = False
    assert await files.list(None) == ([], False)
    assert await files.sweep() == 0
    clock.now += 86_500
    assert await files.sweep() == 1
    assert await files.sweep() == 0


async def test_what_never_becomes_a_file() -> None:
    files = Files(MemoryKept(), MemoryBlobs(), 100)
    for name, data in (("", b"x"), ("a/b", b"x"), ("a", b"")):
        with pytest.raises(BadRequest):
            await files.create(ANA, name, "batch", _once(data))
    async with files.receiving(ANA) as upload:
        await upload.write(_once())
    assert await files.list(None) == ([], False)
