"""Stores, their files and batches as clients see them. Counts are always those of the rows, so they are never wrong."""

from collections.abc import AsyncIterable, Sequence

from fastapi import Response

from rungwise_server.api.vector_stores.wire import (
    BatchOut,
    ChunkingOut,
    Counts,
    ExpiresAfter,
    FileList,
    FileOut,
    LastError,
    SizesOut,
    StoreOut,
)
from rungwise_server.keeping import Kept
from rungwise_server.vector_stores import FileStatus, file_body, store_body

POLL_MS = "250"
"""When a client that waits had best ask again."""


async def store_out(store: Kept, files: AsyncIterable[Kept]) -> StoreOut:
    """A store with `files` in it."""
    body = store_body(store)
    counts, usage = await tally(files)
    return StoreOut(
        id=store.id,
        created_at=int(store.created_at),
        name=body.name,
        description=body.description or None,
        usage_bytes=usage,
        file_counts=counts,
        status="in_progress" if counts.in_progress else "completed",
        expires_after=ExpiresAfter(anchor="last_active_at", days=body.days) if body.days else None,
        expires_at=int(store.expires_at) or None,
        last_active_at=int(body.last_active_at),
        metadata=dict(body.metadata),
    )


async def tally(files: AsyncIterable[Kept]) -> tuple[Counts, int]:
    """Files by status, as their rows say, and the bytes that all of them take."""
    counts, usage = Counts(), 0
    async for row in files:
        status = _status(row)
        setattr(counts, status, getattr(counts, status) + 1)
        counts.total += 1
        usage += file_body(row).usage_bytes
    return counts, usage


def file_out(row: Kept, response: Response | None = None) -> FileOut:
    """A file of a store. Who waits for it is told in `response` when to ask again."""
    body = file_body(row)
    if response is not None and row.state == "in_progress":
        response.headers["openai-poll-after-ms"] = POLL_MS
    return FileOut(
        id=body.file_id,
        usage_bytes=body.usage_bytes,
        created_at=int(row.created_at),
        vector_store_id=row.parent,
        status=_status(row),
        last_error=LastError(code=body.error, message=body.message) if body.error and row.state == "failed" else None,
        attributes=dict(body.attributes),
        chunking_strategy=ChunkingOut(static=SizesOut(max_chunk_size_tokens=body.chunk_tokens)),
    )


def file_list(found: Sequence[Kept], *, more: bool) -> FileList:
    """A page of files."""
    data = [file_out(row) for row in found]
    return FileList(
        data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None, has_more=more
    )


async def batch_out(batch: Kept, files: AsyncIterable[Kept], response: Response) -> BatchOut:
    """A batch of `files`, as far as they are."""
    counts, _ = await tally(files)
    status: FileStatus = "completed"
    if batch.state == "cancelled":
        status = "cancelled"
    elif counts.in_progress:
        status = "in_progress"
    elif counts.total and counts.failed == counts.total:
        status = "failed"
    if counts.in_progress:
        response.headers["openai-poll-after-ms"] = POLL_MS
    return BatchOut(
        id=batch.id,
        created_at=int(batch.created_at),
        vector_store_id=batch.parent,
        status=status,
        file_counts=counts,
    )


def _status(row: Kept) -> FileStatus:
    match row.state:
        case "in_progress" | "completed" | "cancelled":
            return row.state
    return "failed"
