"""Files of clients: what is said of them in the KeptStore, their bytes in the BlobStore.

A file's row is there before its first byte, as one that expires within a day and is seen by nobody; it becomes the
file's own once all bytes are on disk. A deleted file's row expires first and goes last. So whoever dies in between
leaves a row that the next sweep clears up after, and never bytes that nobody knows of.
"""

import time
import unicodedata
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal, get_args

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.errors import BadRequest, Conflict, NotFound, RungwiseError, TooLarge
from rungwise_server.keeping import BlobStore, Kept, KeptQuery, KeptStore
from rungwise_server.types import new_id

Purpose = Literal[
    "assistants",
    "batch",
    "fine-tune",
    "vision",
    "user_data",
    "evals",
    "batch_output",
    "assistants_output",
    "fine-tune-results",
]
"""What a file is for, as OpenAI names it."""

UPLOADED: tuple[Purpose, ...] = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""The purposes that clients upload for; files for the others are made here."""

SHORTEST, LONGEST = 3_600, 2_592_000
"""Seconds after which a file can be asked to expire: an hour to thirty days."""

_PURPOSES: frozenset[str] = frozenset(get_args(Purpose))
_RECEIVING = "receiving"
_DAY = 86_400.0
_LONGEST_NAME = 255
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a name look like another: `report\u202efdp.exe` ends in `exe.pdf` on a screen."""


class StoredFile(Struct, frozen=True):
    """A file. Times are seconds since the epoch, 0 none."""

    id: str
    owner: str
    filename: str
    purpose: Purpose
    bytes: int
    created_at: float
    expires_at: float = 0.0


class _Body(Struct, frozen=True):
    filename: str
    purpose: Purpose
    bytes: int


_decode = msgspec.json.Decoder(_Body).decode


class Files:
    """The files that are kept here, whoever's. `limit` is the size, in bytes, above which none is taken."""

    def __init__(self, kept: KeptStore, blobs: BlobStore, limit: int) -> None:
        self.limit = limit
        self._kept = kept
        self._blobs = blobs

    async def create(
        self, owner: str, filename: str, purpose: Purpose, chunks: AsyncIterable[bytes], *, expires_after: int = 0
    ) -> StoredFile:
        """Keep a new file, for `expires_after` seconds or (0) until it is deleted. All of it, or nothing.

        Raises:
            BadRequest: it is empty, or has a name that is none.
            TooLarge: it is over the limit.
            Unavailable: it cannot be kept now.
        """
        check_filename(filename)
        async with self.receiving(owner) as upload:
            await upload.write(chunks)
            return await upload.keep(filename, purpose, expires_after)

    @asynccontextmanager
    async def receiving(self, owner: str) -> AsyncIterator["Upload"]:
        """A file whose name and purpose may come after its bytes. What was not kept when the block ends is gone."""
        upload = Upload(self._kept, self._blobs, self.limit, owner)
        try:
            yield upload
        finally:
            await upload.close()

    async def get(self, id: str, owner: str | None) -> StoredFile:
        """The file, if it is `owner`'s (None: whoever's). Raises NotFound, Unavailable."""
        return _file(await self._row(id, owner))

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """The bytes of a file that `get` has found, in pieces. Raises NotFound, Unavailable."""
        async for piece in self._blobs.read(id):
            yield piece

    async def list(
        self, owner: str | None, *, purpose: str = "", after: str = "", limit: int = 10_000, newest_first: bool = True
    ) -> tuple[Sequence[StoredFile], bool]:
        """At most `limit` files, those after the file `after`; and whether there are more. Raises NotFound."""
        if after:
            await self._row(after, owner, "after")
        states = frozenset({purpose}) if purpose else _PURPOSES
        query = KeptQuery("file", owner, states=states, after=after, newest_first=newest_first, limit=limit + 1)
        found = [_file(row) for row in await self._kept.list(query)]
        return found[:limit], len(found) > limit

    async def delete(self, id: str, owner: str | None) -> None:
        """Forget a file and its bytes; whoever reads it at the moment reads on. Raises NotFound, Unavailable."""
        row = await self._row(id, owner)
        with suppress(Conflict):  # somebody else deletes it
            await self._kept.change(replace(row, expires_at=1.0))
        await self._forget(row)

    async def sweep(self) -> int:
        """Remove the files that have expired, and uploads that never came to an end; how many."""
        count = 0
        while rows := await self._kept.sweep("file"):
            for row in rows:
                await self._forget(row)
            count += len(rows)
        return count

    async def _row(self, id: str, owner: str | None, param: str = "file_id") -> Kept:
        row = await self._kept.get("file", id, owner)
        if row is None or row.state == _RECEIVING:
            raise NotFound(f"There is no file {id!r}: it was deleted, or has expired, or never was.", param=param)
        return row

    async def _forget(self, row: Kept) -> None:
        await self._blobs.remove(row.id)
        await self._kept.remove("file", row.id)


class Upload:
    """A file that is on its way in: first `write`, then `keep`."""

    def __init__(self, kept: KeptStore, blobs: BlobStore, limit: int, owner: str) -> None:
        self._kept = kept
        self._blobs = blobs
        self._limit = limit
        self._owner = owner
        self._row: Kept | None = None
        self._size = 0

    @property
    def written(self) -> bool:
        """Whether the bytes are there."""
        return self._size > 0

    async def write(self, chunks: AsyncIterable[bytes]) -> None:
        """Take all its bytes. Raises BadRequest where there are none, TooLarge, Unavailable."""
        now = time.time()
        row = Kept(new_id("file"), "file", self._owner, now, Raw(b"{}"), state=_RECEIVING, expires_at=now + _DAY)
        self._row = await self._kept.add(row)
        try:
            self._size = await self._blobs.write(row.id, chunks, self._limit)
        except TooLarge:
            raise too_large(self._limit) from None
        if not self._size:
            raise BadRequest("The file is empty.", param="file", code="empty_file")

    async def keep(self, filename: str, purpose: Purpose, expires_after: int = 0) -> StoredFile:
        """Make it a file, which from now on is there for its owner. Raises Unavailable."""
        assert self._row is not None
        assert self.written
        row = replace(
            self._row,
            body=Raw(msgspec.json.encode(_Body(filename, purpose, self._size))),
            state=purpose,
            expires_at=self._row.created_at + expires_after if expires_after else 0.0,
        )
        row = await self._kept.change(row)
        self._row = None
        return _file(row)

    async def close(self) -> None:
        """Forget what was not kept. Where that fails, the next sweep does it."""
        if self._row is not None:
            with suppress(RungwiseError):
                await self._blobs.remove(self._row.id)
                await self._kept.remove("file", self._row.id)


def check_filename(name: str) -> None:
    """Raises BadRequest for a name that no file should have: a path, a control character, too long."""
    if not name or name in (".", ".."):
        raise BadRequest("The file has no name.", param="file", code="invalid_filename")
    if len(name) > _LONGEST_NAME:
        raise BadRequest(
            f"The file's name has {len(name)} characters; at most {_LONGEST_NAME} are taken.",
            param="file",
            code="invalid_filename",
        )
    for character in name:
        if character in "/\\" or character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise BadRequest(
                f"The file's name has the character {character!a}, which no name may have.",
                param="file",
                code="invalid_filename",
            )


def too_large(limit: int) -> TooLarge:
    """The error for a file over the limit."""
    return TooLarge(
        f"The file has more than {limit / 1e6:g} MB, the most that is taken here (`server.max_upload_mb`).",
        param="file",
        code="file_too_large",
    )


def _file(row: Kept) -> StoredFile:
    body = _decode(row.body)
    return StoredFile(row.id, row.owner, body.filename, body.purpose, body.bytes, row.created_at, row.expires_at)
