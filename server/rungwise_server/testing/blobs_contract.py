"""The contract of BlobStore: what each does, whatever it is made of.

    class TestMine(BlobStoreContract):
        @pytest.fixture
        def blobs(self) -> BlobStore:
            ...

The tests are coroutines: run them with pytest-asyncio in its auto mode.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rungwise_server.errors import BadRequest, NotFound, TooLarge
from rungwise_server.keeping import BlobStore


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _bytes(blobs: BlobStore, id: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(id)])


class BlobStoreContract:
    """Subclass it, and give it a `blobs` fixture: an empty store."""

    @pytest.fixture
    def blobs(self) -> BlobStore:
        """An empty store."""
        raise NotImplementedError

    @pytest.mark.parametrize("sizes", [[], [0], [1], [0, 3, 0], [700_000, 700_000, 1], [3_000_000, 5]])
    async def test_the_bytes_come_back(self, blobs: BlobStore, sizes: list[int]) -> None:
        """However they came in; and in a file too."""
        parts = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        assert await blobs.write("file-1", _pieces(*parts), 10**7) == sum(sizes)
        assert await _bytes(blobs, "file-1") == b"".join(parts)
        path = await blobs.path("file-1")
        assert await asyncio.to_thread(path.read_bytes) == b"".join(parts)

    async def test_what_is_over_the_limit_leaves_nothing(self, blobs: BlobStore) -> None:
        """The limit itself is taken."""
        with pytest.raises(TooLarge):
            await blobs.write("file-1", _pieces(b"12345", b"6"), 5)
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")
        assert await blobs.write("file-1", _pieces(b"12345"), 5) == 5

    async def test_a_source_that_breaks_leaves_what_was(self, blobs: BlobStore) -> None:
        """All the bytes or nothing."""

        async def breaks() -> AsyncIterator[bytes]:
            yield b"new"
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await blobs.write("file-1", breaks(), 100)
        with pytest.raises(NotFound):
            await blobs.path("file-1")
        await blobs.write("file-1", _pieces(b"old"), 100)
        with pytest.raises(ConnectionResetError):
            await blobs.write("file-1", breaks(), 100)
        assert await _bytes(blobs, "file-1") == b"old"

    async def test_a_writer_that_is_cancelled_leaves_nothing(self, blobs: BlobStore) -> None:
        """In mid-upload."""
        begun = asyncio.Event()

        async def stalls() -> AsyncIterator[bytes]:
            yield b"half"
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(blobs.write("file-1", stalls(), 100))
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")

    async def test_of_many_writers_one_is_whole(self, blobs: BlobStore) -> None:
        """Never a mixture."""
        await asyncio.gather(*(blobs.write("file-1", _pieces(*[bytes([n])] * 50), 100) for n in range(6)))
        found = await _bytes(blobs, "file-1")
        assert (len(found), len(set(found))) == (50, 1)

    async def test_what_is_not_there(self, blobs: BlobStore) -> None:
        """Reading it is NotFound, removing it nothing."""
        await blobs.remove("file-1")
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")
        with pytest.raises(NotFound):
            await blobs.path("file-1")
        await blobs.write("file-1", _pieces(b"x"), 100)
        await blobs.remove("file-1")
        with pytest.raises(NotFound):
            await blobs.path("file-1")

    async def test_who_reads_reads_on(self, blobs: BlobStore) -> None:
        """Though it is removed meanwhile."""
        whole = b"z" * 3_000_000
        await blobs.write("file-1", _pieces(whole), 10**7)
        reading = aiter(blobs.read("file-1"))
        begun = await anext(reading)
        await blobs.remove("file-1")
        assert begun + b"".join([piece async for piece in reading]) == whole

    @pytest.mark.parametrize("id", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "a.part", "-x", "x" * 200])
    async def test_an_id_is_no_path(self, blobs: BlobStore, id: str) -> None:
        """Nothing outside can be read or written, whoever asks."""
        with pytest.raises(BadRequest):
            await blobs.write(id, _pieces(b"x"), 100)
        for asking in (blobs.path(id), blobs.remove(id), _bytes(blobs, id)):
            with pytest.raises(BadRequest):
                await asking
