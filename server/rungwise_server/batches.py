"""What is kept of a batch, between the API that takes it and the worker that does it.

A batch's state is its status, as OpenAI names it. It belongs to whoever made it, and is done as that caller: user and
groups are those of the moment of its making, and hold until its end, also where the key is revoked meanwhile. To stop
such a batch, cancel it.
"""

import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.errors import Conflict, NotFound
from rungwise_server.keeping import Kept, KeptStore
from rungwise_server.types import Caller

JOB: Final = "batch"
"""The kind of a batch's job; its subject is the batch's id."""

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]

LIVE: frozenset[str] = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
"""States of a batch that a worker has still something to do for."""

WINDOW: Final = 86_400.0
"""Seconds that a batch may take."""


class Problem(Struct, frozen=True):
    """Why a batch failed as a whole; `line` counts the lines of its file from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchBody(Struct, frozen=True, omit_defaults=True):
    """A batch. Times are seconds since the epoch, 0 where that has not come to pass."""

    endpoint: str
    input_file_id: str
    caller: Caller
    sources: str
    """The URL before a passage's id, for links in citations."""
    expires_at: float
    metadata: dict[str, str] | None = None
    output_expires_after: int = 0
    total: int = 0
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    problems: tuple[Problem, ...] = ()
    ending: Literal["", "completed", "expired"] = ""
    """How it ends, once its files are being made."""
    output_file_id: str = ""
    error_file_id: str = ""
    in_progress_at: float = 0.0
    finalizing_at: float = 0.0
    completed_at: float = 0.0
    failed_at: float = 0.0
    expired_at: float = 0.0
    cancelling_at: float = 0.0
    cancelled_at: float = 0.0


def batch_body(kept: Kept) -> BatchBody:
    """What a kept batch says."""
    return msgspec.json.decode(kept.body, type=BatchBody)


def encode(body: BatchBody) -> Raw:
    """For `Kept.body`."""
    return Raw(msgspec.json.encode(body))


async def change_batch(store: KeptStore, id: str, changed: Callable[[Kept, BatchBody], Kept | None]) -> Kept:
    """Change a batch, as often as it takes until nobody comes between. `changed` may be called again; None leaves it.

    Raises:
        NotFound: it is gone.
    """
    while True:
        kept = await store.get("batch", id, None)
        if kept is None:
            raise NotFound(f"There is no batch {id!r}.", param="batch_id")
        wanted = changed(kept, batch_body(kept))
        if wanted is None:
            return kept
        try:
            return await store.change(wanted)
        except Conflict:
            continue


def moved(kept: Kept, body: BatchBody, status: Status) -> Kept:
    """The batch in its next state, with the time at which it came there."""
    now = {f"{status}_at": time.time()}
    return replace(kept, state=status, body=encode(replace(body, **now)))
