"""`/v1/files`: what clients upload, and what is made for them. Each is seen by its owner alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Literal, TypedDict
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.multipart import Part, read_form
from rungwise_server.errors import BadRequest
from rungwise_server.files import LONGEST, SHORTEST, UPLOADED, Files, Purpose, StoredFile, check_filename, too_large
from rungwise_server.types import Caller

_ENVELOPE = 65_536
"""Bytes of a form beside the file's own."""
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(UPLOADED)},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": SHORTEST, "maximum": LONGEST},
                    },
                }
            }
        },
    }
}


class FileObject(BaseModel):
    """A file, as OpenAI shows it. Times are seconds since the epoch."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"
    status_details: None = None


class _Fields(TypedDict):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Purpose
    status: Literal["processed"]
    status_details: None


class FileList(BaseModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """That a file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def files_api(files: Files, leaving: Callable[[str, Caller], Awaitable[None]]) -> APIRouter:
    """The routes. `leaving` is told of a file of a caller's that is deleted, before it is."""
    router = APIRouter(tags=["files"])

    @router.post("/v1/files", response_model=FileObject, openapi_extra=_FORM)
    async def create_file(request: Request, caller: CallerOf) -> FileObject | Response:
        """Upload a file."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > files.limit + _ENVELOPE:
            raise too_large(files.limit)
        try:
            return _shown(await _receive(files, caller.owner, request))
        except ClientDisconnect:
            return Response(status_code=400)  # for nobody: what came in of it is gone

    @router.get("/v1/files", response_model=FileList)
    async def list_files(
        caller: CallerOf,
        purpose: Purpose | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Literal["asc", "desc"] = "desc",
        after: str = "",
    ) -> Response:
        """List files, by the time of their creation."""
        found, more = await files.list(
            caller.owner, purpose=purpose or "", after=after, limit=limit, newest_first=order == "desc"
        )
        # Ten thousand files hold up nobody else's stream: on a thread, and past pydantic.
        return Response(await asyncio.to_thread(_page, found, more), media_type="application/json")

    @router.get("/v1/files/{file_id}")
    async def get_file(file_id: str, caller: CallerOf) -> FileObject:
        """Show what is known of a file."""
        return _shown(await files.get(file_id, caller.owner))

    @router.get("/v1/files/{file_id}/content", response_class=StreamingResponse)
    async def get_file_content(file_id: str, caller: CallerOf) -> StreamingResponse:
        """Download a file's bytes."""
        file = await files.get(file_id, caller.owner)
        pieces = files.read(file.id)
        first = await anext(pieces, b"")  # before the response begins, so that bytes that are gone are a 404
        headers = {"content-length": str(file.bytes), "content-disposition": _attachment(file.filename)}
        # Whatever it is, it is nothing that a browser shows or runs: a client's HTML must not become a page of ours.
        return StreamingResponse(_all(first, pieces), media_type="application/octet-stream", headers=headers)

    @router.delete("/v1/files/{file_id}")
    async def delete_file(file_id: str, caller: CallerOf) -> FileDeleted:
        """Delete a file, and take it out of all vector stores."""
        await files.get(file_id, caller.owner)
        await leaving(file_id, caller)
        await files.delete(file_id, caller.owner)
        return FileDeleted(id=file_id)

    return router


async def _receive(files: Files, owner: str, request: Request) -> StoredFile:
    """The file of a form, whose fields may come before or after it."""
    filename = ""
    purpose: Purpose | None = None
    anchor: str | None = None
    seconds: str | None = None
    async with files.receiving(owner) as upload:
        async for part in read_form(request.headers.get("content-type", ""), request.stream()):
            match part.name:
                case "file":
                    if upload.written:
                        raise BadRequest("Send one file at a time.", param="file")
                    filename = _filename(part)
                    await upload.write(part.data)
                case "purpose":
                    purpose = _purpose(await part.text())
                case "expires_after[anchor]":
                    anchor = await part.text()
                case "expires_after[seconds]":
                    seconds = await part.text()
                case _:
                    raise BadRequest(
                        f"Unknown parameter: '{part.name}'.", param=part.name[:100], code="unknown_parameter"
                    )
        if not upload.written:
            raise _missing("file")
        if purpose is None:
            raise _missing("purpose")
        return await upload.keep(filename, purpose, _expiry(anchor, seconds))


def _filename(part: Part) -> str:
    if part.filename is None:
        raise BadRequest("'file' is a field of the form; send it as a file, with a filename.", param="file")
    check_filename(part.filename)
    return part.filename


def _purpose(value: str) -> Purpose:
    for purpose in UPLOADED:
        if value == purpose:
            return purpose
    raise BadRequest(f"Invalid value for 'purpose': expected one of {', '.join(UPLOADED)}.", param="purpose")


def _expiry(anchor: str | None, seconds: str | None) -> int:
    if anchor is None and seconds is None:
        return 0
    if anchor != "created_at":
        raise BadRequest(
            "Invalid value for 'expires_after[anchor]': expected 'created_at'.", param="expires_after[anchor]"
        )
    if seconds is None or not (
        seconds.isascii() and seconds.isdigit() and len(seconds) < 10 and SHORTEST <= int(seconds) <= LONGEST
    ):
        raise BadRequest(
            f"Invalid value for 'expires_after[seconds]': expected a whole number from {SHORTEST} to {LONGEST}.",
            param="expires_after[seconds]",
        )
    return int(seconds)


def _missing(param: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _shown(file: StoredFile) -> FileObject:
    return FileObject(**_fields(file))


def _page(found: Sequence[StoredFile], more: bool) -> bytes:
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [_fields(file) for file in found],
            "first_id": found[0].id if found else None,
            "last_id": found[-1].id if found else None,
            "has_more": more,
        }
    )


def _fields(file: StoredFile) -> _Fields:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "expires_at": int(file.expires_at) or None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _attachment(filename: str) -> str:
    """RFC 6266: an ASCII name for old clients, and the name itself."""
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
