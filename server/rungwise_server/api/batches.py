"""`/v1/batches`: files of requests that a worker answers. Each is seen by its owner alone."""

import time
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.vector_stores.wire import Asked, Id, Key, Words
from rungwise_server.batches import JOB, LIVE, WINDOW, BatchBody, Status, batch_body, change_batch, encode, moved
from rungwise_server.errors import BadRequest, Conflict, NotFound
from rungwise_server.files import LONGEST, SHORTEST, Files
from rungwise_server.keeping import JobQueue, Kept, KeptQuery, KeptStore
from rungwise_server.types import new_id

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]


class OutputExpiresAfter(Asked):
    """When the files that a batch makes expire."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=SHORTEST, le=LONGEST)


class CreateBatch(Asked):
    """A new batch."""

    input_file_id: Id
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Annotated[dict[Key, Words], Field(max_length=16)] | None = None
    output_expires_after: OutputExpiresAfter | None = None


class BatchError(BaseModel):
    """What is wrong with the input file."""

    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrors(BaseModel):
    """All that was found wrong, or the first hundred."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    """How far it is."""

    total: int
    completed: int
    failed: int


class InputDetails(BaseModel):
    """Of the tokens that went in."""

    cached_tokens: int


class OutputDetails(BaseModel):
    """Of the tokens that came out."""

    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    """Tokens of all answers."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class BatchObject(BaseModel):
    """A batch, as OpenAI shows it. Times are seconds since the epoch."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchList(BaseModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def batches_api(store: KeptStore, queue: JobQueue, files: Files, public_url: str = "") -> APIRouter:
    """The routes. `public_url` is the address that clients reach, for links in citations; else the request's own."""
    router = APIRouter(tags=["batches"])

    @router.post("/v1/batches")
    async def create_batch(request: Request, asked: CreateBatch, caller: CallerOf) -> BatchObject:
        """Have a file of requests answered. It is checked first, then done, by a worker, as the caller."""
        file = await _input(files, asked.input_file_id, caller.owner)
        now = time.time()
        body = BatchBody(
            asked.endpoint,
            file,
            caller,
            f"{public_url.rstrip('/') or str(request.base_url).rstrip('/')}/v1/sources/",
            now + WINDOW,
            asked.metadata,
            asked.output_expires_after.seconds if asked.output_expires_after else 0,
        )
        kept = await store.add(Kept(new_id("batch_"), "batch", caller.owner, now, encode(body), state="validating"))
        await queue.put(JOB, kept.id)
        return _shown(kept)

    @router.get("/v1/batches")
    async def list_batches(
        caller: CallerOf, limit: Annotated[int, Query(ge=1, le=100)] = 20, after: str = ""
    ) -> BatchList:
        """List batches, newest first."""
        if after:
            await _batch(store, after, caller.owner, "after")
        found = await store.list(KeptQuery("batch", caller.owner, after=after, limit=limit + 1))
        data = [_shown(kept) for kept in found[:limit]]
        return BatchList(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=len(found) > limit,
        )

    @router.get("/v1/batches/{batch_id}")
    async def get_batch(batch_id: str, caller: CallerOf) -> BatchObject:
        """Show a batch, and how far it is."""
        return _shown(await _batch(store, batch_id, caller.owner))

    @router.post("/v1/batches/{batch_id}/cancel")
    async def cancel_batch(batch_id: str, caller: CallerOf) -> BatchObject:
        """Begin no more of a batch's requests. Those that run are finished; what was answered is in its files."""
        await _batch(store, batch_id, caller.owner)
        return _shown(await change_batch(store, batch_id, _cancelled))

    return router


async def _input(files: Files, id: str, owner: str) -> str:
    try:
        file = await files.get(id, owner)
    except NotFound as error:
        raise NotFound(error.message, param="input_file_id") from None
    if file.purpose != "batch":
        raise BadRequest(
            f"Invalid purpose of the input file: it must be 'batch', and is '{file.purpose}'. Upload it anew.",
            param="input_file_id",
            code="invalid_file_purpose",
        )
    return file.id


async def _batch(store: KeptStore, id: str, owner: str, param: str = "batch_id") -> Kept:
    kept = await store.get("batch", id, owner)
    if kept is None:
        raise NotFound(f"There is no batch {id!r}.", param=param)
    return kept


def _cancelled(kept: Kept, body: BatchBody) -> Kept | None:
    if kept.state in ("cancelling", "cancelled"):
        return None
    if kept.state == "finalizing" or kept.state not in LIVE:
        raise Conflict(f"A batch whose status is '{kept.state}' cannot be cancelled.", param="batch_id")
    return moved(kept, body, "cancelling")


def _shown(kept: Kept) -> BatchObject:
    body = batch_body(kept)
    problems = [BatchError(code=p.code, message=p.message, param=p.param, line=p.line) for p in body.problems]
    return BatchObject(
        id=kept.id,
        endpoint=body.endpoint,
        errors=BatchErrors(data=problems) if problems else None,
        input_file_id=body.input_file_id,
        status=cast("Status", kept.state),
        output_file_id=body.output_file_id or None,
        error_file_id=body.error_file_id or None,
        created_at=int(kept.created_at),
        in_progress_at=int(body.in_progress_at) or None,
        expires_at=int(body.expires_at),
        finalizing_at=int(body.finalizing_at) or None,
        completed_at=int(body.completed_at) or None,
        failed_at=int(body.failed_at) or None,
        expired_at=int(body.expired_at) or None,
        cancelling_at=int(body.cancelling_at) or None,
        cancelled_at=int(body.cancelled_at) or None,
        request_counts=RequestCounts(total=body.total, completed=body.completed, failed=body.failed),
        usage=BatchUsage(
            input_tokens=body.input_tokens,
            input_tokens_details=InputDetails(cached_tokens=body.cached_tokens),
            output_tokens=body.output_tokens,
            output_tokens_details=OutputDetails(),
            total_tokens=body.input_tokens + body.output_tokens,
        ),
        metadata=body.metadata,
    )
