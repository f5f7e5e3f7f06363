"""What is kept for clients beside the log - files, stores, batches, responses - and the work that waits for a worker.

Values and protocols in one place, like `types` and `protocols`; fakes and contract suites are in
`rungwise_server.testing.keeping`. A kept thing is seen by its owner alone unless its surface says otherwise: to all
others it does not exist.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Raw, Struct

Kind = Literal[
    "file",
    "upload",
    "vector_store",
    "vector_store_file",
    "file_batch",
    "batch",
    "response",
    "idempotency",
    "eval_set",
    "eval_example",
    "eval_run",
    "certificate",
    "sweep",
]


class Kept(Struct, frozen=True):
    """A thing of a client's. `body` is a JSON object of the surface's own; times are seconds since the epoch, 0 none.

    `revision` counts the changes, from 1; the store gives it. `parent` is the id of the thing that it is in, if any.
    """

    id: str
    kind: Kind
    owner: str
    """The principal it belongs to (`Caller.owner`)."""
    created_at: float
    body: Raw
    parent: str = ""
    state: str = ""
    expires_at: float = 0.0
    revision: int = 0


class KeptQuery(Struct, frozen=True):
    """Which things to list, by time of creation and then id. `after` and `before` are ids of that list; either is
    left out of it, and with `before` alone it is the things nearest to it. `owner` None means anybody's; of `parent`
    and `states`, empty means any.
    """

    kind: Kind
    owner: str | None
    parent: str = ""
    states: frozenset[str] = frozenset()
    after: str = ""
    before: str = ""
    newest_first: bool = True
    limit: int = 20


class KeptStore(Protocol):
    """Keeps things. What has expired is gone for every reader at once, and from the disk with the next `sweep`."""

    async def add(self, kept: Kept) -> Kept:
        """Keep a new thing; it has revision 1. Raises Conflict where the id is taken, Unavailable."""

    async def get(self, kind: Kind, id: str, owner: str | None) -> Kept | None:
        """The thing, if it is `owner`'s (None: whoever's)."""

    async def change(self, kept: Kept) -> Kept:
        """Write state, body and expiry anew, if nobody has since `kept` was read: the revision decides.

        Raises:
            Conflict: somebody has. Read it again and decide again.
            NotFound: it is gone.
        """

    async def remove(self, kind: Kind, id: str) -> bool:
        """Whether it was there."""

    async def list(self, query: KeptQuery) -> Sequence[Kept]:
        """At most `limit` things. An `after` or `before` that is not there gives none."""

    async def sweep(self, kind: Kind, limit: int = 100) -> Sequence[Kept]:
        """Expired things, for their owner's room to clear up after and `remove`."""


class BlobStore(Protocol):
    """Keeps the bytes of uploads by id."""

    async def write(self, id: str, chunks: AsyncIterable[bytes], limit: int) -> int:
        """All the bytes or nothing; how many. On disk for good on return. Raises TooLarge, Unavailable."""

    def read(self, id: str) -> AsyncIterator[bytes]:
        """The bytes, in pieces. Raises NotFound."""

    async def path(self, id: str) -> Path:
        """A file with the bytes, to read only. Raises NotFound."""

    async def remove(self, id: str) -> None:
        """Forget the bytes; nothing happens where there are none."""


class Job(Struct, frozen=True):
    """Work that waits for a worker, or is with one. `subject` is the id of the thing it is about."""

    id: str
    kind: str
    subject: str
    body: Raw
    attempts: int = 0
    """How often a worker has taken it, this time included."""


class JobQueue(Protocol):
    """Work in line, oldest first. A worker that dies loses its lease, and another takes the job: at least once."""

    async def put(self, kind: str, subject: str, body: Raw = Raw(b"{}")) -> None:  # noqa: B008 a frozen value
        """Queue work. Where the same kind of work on the same subject waits already, nothing happens."""

    async def take(self, kinds: Sequence[str], worker: str, lease: float) -> Job | None:
        """The oldest job that nobody has, for `lease` seconds; None where there is none."""

    async def renew(self, job: Job, worker: str, lease: float) -> bool:
        """Hold on to it; False where another has it, and this worker must stop."""

    async def done(self, job: Job, worker: str) -> None:
        """It is finished, well or not."""

    async def put_back(self, job: Job, worker: str, wait: float) -> None:
        """Somebody is to try again in `wait` seconds."""

    async def waiting(self) -> int:
        """How many jobs nobody has taken yet."""
