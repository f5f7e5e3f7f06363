"""The HTTP application: the surfaces that answer as bare ASGI in front, everything else through FastAPI."""

import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from rungwise_server import __version__
from rungwise_server.api import chat_openapi
from rungwise_server.api.asgi import Receive, Scope, Send
from rungwise_server.api.auth import Gate
from rungwise_server.api.chat import Chat
from rungwise_server.api.endpoint import Endpoint
from rungwise_server.api.errors import error_body, error_headers, error_status
from rungwise_server.api.feedback import feedback_api
from rungwise_server.api.files import files_api
from rungwise_server.api.health import Probe, health_api
from rungwise_server.api.models import models_api
from rungwise_server.api.openapi import describe
from rungwise_server.api.sources import sources_api
from rungwise_server.api.surface import Surface
from rungwise_server.engine import Engine
from rungwise_server.errors import BadRequest, NotFound, RungwiseError
from rungwise_server.files import Files
from rungwise_server.keeping import BlobStore, JobQueue, KeptStore
from rungwise_server.protocols import Embedder, KeyRing, PassageIndex
from rungwise_server.types import new_id

_STATIC = Path(__file__).parent / "static"
_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"


class Front:
    """Sends questions straight to their endpoint; gives every other response its request id and policy."""

    def __init__(self, endpoints: Mapping[str, Endpoint], rest: FastAPI) -> None:
        self._endpoints = endpoints
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.rest(scope, receive, send)
        elif scope["method"] == "POST" and (endpoint := self._endpoints.get(scope["path"])):
            await endpoint(scope, receive, send)
        else:
            await self.rest(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    ours = [
        (b"x-request-id", new_id("req").encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", _POLICY.encode()),
    ]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *ours]
        await send(message)

    return sending


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the application serves from, and does not own."""

    engine: Engine
    index: PassageIndex
    embedder: Embedder
    keys: KeyRing
    kept: KeptStore
    blobs: BlobStore
    queue: JobQueue
    probes: Mapping[str, Probe]
    metrics: Callable[[], tuple[bytes, str]]


def create_app(
    parts: Parts, *, max_body: int = 32_000_000, max_upload: int = 512_000_000, public_url: str = ""
) -> Front:
    """The application over the parts of a house. Serves until it is dropped.

    Args:
        parts: what it serves from.
        max_body: largest body of a request, in bytes.
        max_upload: largest file that is taken, in bytes.
        public_url: the address that clients reach, for links in citations; empty takes each request's own host.
    """
    engine = parts.engine
    gate = Gate(parts.keys)
    rest = FastAPI(
        title="Rungwise",
        version=__version__,
        summary="Ask your own documents through the OpenAI API.",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
    )
    rest.state.gate = gate
    rest.include_router(models_api(engine, int(time.time())))
    rest.include_router(feedback_api(engine.log))
    rest.include_router(files_api(Files(parts.kept, parts.blobs, max_upload)))
    rest.include_router(sources_api(parts.index))
    rest.include_router(health_api(parts.probes, parts.metrics))
    rest.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @rest.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    rest.add_exception_handler(RungwiseError, _error)
    rest.add_exception_handler(RequestValidationError, _invalid)
    rest.add_exception_handler(HTTPException, _http)
    rest.add_exception_handler(Exception, _error)
    surfaces: dict[str, Surface] = {"/v1/chat/completions": Chat()}
    operations = {"/v1/chat/completions": chat_openapi.OPERATION}
    describe(rest, operations)
    return Front({path: Endpoint(s, engine, gate, max_body, public_url) for path, s in surfaces.items()}, rest)


async def _error(request: Request, error: Exception) -> Response:
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(error_body(error), error_status(error), headers, "application/json")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    told = first["msg"].removeprefix("Value error, ")
    return await _error(request, BadRequest(f"Invalid value for '{where or 'body'}': {told}.", param=where or None))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _error(request, NotFound(f"There is nothing at {request.url.path}.", code="unknown_url"))
    told = BadRequest(str(error.detail), code="method_not_allowed" if error.status_code == 405 else "bad_request")
    told.status = error.status_code
    response = await _error(request, told)
    response.headers.update(error.headers or {})
    return response
