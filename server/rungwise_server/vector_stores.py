"""Vector stores as they are kept: rows of the KeptStore, which the API writes and the worker follows.

A store is a collection of the index that is named by its id; its files are documents of the source of that same name.
A row says what the index is to hold, and whoever changes a row makes the index follow, in an order in which a process
that dies leaves a row that another makes true: what goes leaves the index first and its row last (until then it is
`removing`, which nobody sees).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from rungwise_server.filters import Scalar
from rungwise_server.keeping import Kept, KeptQuery, KeptStore, Kind
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import principal

JOB = "vector_store_file"
"""The kind of the jobs that make the index hold what a file's row says; their subject is the row's id."""

PASSAGE_TOKENS = 200
"""The longest passage: what fits the embedder's window. Larger chunks are not made, whoever asks for them."""

READERS = "readers"
"""The key of a store's metadata that shares it: principals with commas between them."""

REMOVING = "removing"
LIVE = "live"

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
STATUSES: frozenset[str] = frozenset({"in_progress", "completed", "cancelled", "failed"})
"""The states of a file that clients see."""

ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]

DAY = 86_400.0
_PAGE = 10_000
_BREATH = 500  # rows after which others have a turn


class StoreBody(Struct, frozen=True):
    """What a store's row holds. `days` after `last_active_at` it expires; 0: never. Its chunks are of at most
    `chunk_tokens`, where a file does not say otherwise.
    """

    last_active_at: float
    name: str = ""
    description: str = ""
    metadata: Mapping[str, str] = {}
    days: int = 0
    chunk_tokens: int = PASSAGE_TOKENS

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch; 0: never."""
        return self.last_active_at + self.days * DAY if self.days else 0.0


class FileBody(Struct, frozen=True):
    """What the row of a file in a store holds. `usage_bytes` are those of its passages and their vectors; `version` is
    that of the passages in the index.
    """

    file_id: str
    filename: str
    attributes: Mapping[str, Scalar] = {}
    chunk_tokens: int = PASSAGE_TOKENS
    usage_bytes: int = 0
    version: str = ""
    error: ErrorCode | None = None
    message: str = ""


class BatchBody(Struct, frozen=True):
    """What the row of a batch of files holds; how far it is, the rows of the files say."""

    file_ids: tuple[str, ...]


def file_key(store_id: str, file_id: str) -> str:
    """The id of the row of a file in a store: a file may be in many."""
    return f"{store_id}/{file_id}"


def encode(body: Struct) -> Raw:
    """A row's body."""
    return Raw(msgspec.json.encode(body))


def store_body(kept: Kept) -> StoreBody:
    """Of a row of kind `vector_store`."""
    return msgspec.json.decode(kept.body, type=StoreBody)


def file_body(kept: Kept) -> FileBody:
    """Of a row of kind `vector_store_file`."""
    return msgspec.json.decode(kept.body, type=FileBody)


def batch_body(kept: Kept) -> BatchBody:
    """Of a row of kind `file_batch`."""
    return msgspec.json.decode(kept.body, type=BatchBody)


def readers_in(metadata: Mapping[str, str]) -> frozenset[str]:
    """The principals that `metadata` shares a store with. Raises ValueError for a name that is none."""
    names = (name.strip() for name in metadata.get(READERS, "").split(","))
    return frozenset(principal(name) for name in names if name)


def readers_of(store: Kept) -> frozenset[str]:
    """Who may read a store and the passages in it: its owner, and whom it is shared with."""
    return readers_in(store_body(store).metadata) | {store.owner}


async def rows(
    kept: KeptStore, kind: Kind, parent: str = "", *, owner: str | None = None, states: frozenset[str] = STATUSES
) -> AsyncIterator[Kept]:
    """All rows in a store, or of an owner, oldest first. Who removes some of them reads all before."""
    after = ""
    while True:
        query = KeptQuery(kind, owner, parent, states, after=after, newest_first=False, limit=_PAGE)
        page = await kept.list(query)
        last = page[-1].id if len(page) == _PAGE else ""
        for number, row in enumerate(page, start=1):
            yield row
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        if not last:
            return
        after = last


async def live_store(kept: KeptStore, id: str) -> Kept | None:
    """The store, whoever's, unless it is gone or on its way."""
    store = await kept.get("vector_store", id, None)
    return store if store is not None and store.state == LIVE else None


async def take_out(kept: KeptStore, index: PassageIndex, row: Kept) -> None:
    """Remove a file from its store, whose row is `removing`: the passages first. May be done twice."""
    await index.remove(row.parent, row.parent, file_body(row).file_id)
    await kept.remove("vector_store_file", row.id)


async def clear_away(kept: KeptStore, index: PassageIndex, store_id: str) -> None:
    """Remove a store that nobody sees any more, and all that is in it: the passages first. May be done twice."""
    await index.drop(store_id)
    children: tuple[Kind, ...] = ("vector_store_file", "file_batch")
    for kind in children:
        while page := await kept.list(KeptQuery(kind, None, store_id, limit=_PAGE)):
            for row in page:
                await kept.remove(kind, row.id)
    await kept.remove("vector_store", store_id)
