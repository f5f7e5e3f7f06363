"""From a blocking iterator of changes to batches that an event loop can wait for."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from rungwise_connectors.types import Batch, Change, Cursor, Document

CHANGES = 100
CHARACTERS = 8_000_000


async def batches(changes: Iterator[tuple[Change, Cursor]]) -> AsyncIterator[Batch]:
    """Cut `changes`, each with the cursor after it, into batches; the iterator runs in a thread, a batch at a time.

    A batch holds at most 100 changes, fewer when their inline text passes 8 million characters.
    """
    while batch := await asyncio.to_thread(_take, changes):
        yield batch


def _take(changes: Iterator[tuple[Change, Cursor]]) -> Batch | None:
    taken: list[Change] = []
    cursor, characters = "", 0
    for change, after in changes:
        cursor = after
        taken.append(change)
        if isinstance(change, Document):
            characters += len(change.text or "") + len(change.data or b"")
        if len(taken) >= CHANGES or characters >= CHARACTERS:
            break
    return Batch(tuple(taken), cursor) if taken else None
