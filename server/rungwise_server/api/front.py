"""The door of the application: each request to its endpoint or to FastAPI, and what every response has in common.

`x-request-id` is always our own, of an answer its inference id; one that a client sends is left alone, as OpenAI does.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount

from rungwise_server.api.asgi import App, Receive, Scope, Send, send_whole
from rungwise_server.api.auth import Gate
from rungwise_server.api.endpoint import Endpoint
from rungwise_server.api.errors import WrongMethod, error_body, error_headers, error_status
from rungwise_server.api.idempotency import Idempotent, key_of
from rungwise_server.api.limits import Limited, Limits
from rungwise_server.keeping import KeptStore
from rungwise_server.types import new_id

_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
_UPLOADS = re.compile(r"/v1/(files|uploads/[^/]+/parts)")
_AROUND = 1_000_000  # bytes that a form has beside its file
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Front:
    """Sends questions straight to their endpoint, everything else to `rest`.

    Args:
        endpoints: by path, what answers a POST there.
        max_body, max_upload: the most bytes of a body, and of an uploaded file, that `rest` is given.
        limits: what one caller may ask for; None for no limit.
        sockets: by path, what serves a WebSocket there.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        rest: FastAPI,
        *,
        gate: Gate,
        kept: KeptStore,
        max_body: int,
        max_upload: int,
        limits: Limits | None = None,
        sockets: Mapping[str, App] = MappingProxyType({}),
    ) -> None:
        self._endpoints = endpoints
        self._sockets = sockets
        self.rest = rest
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.max_body = max_body
        self._max_upload = max_upload
        self._idempotent = Idempotent(self._dispatch, gate, kept, self._refuse, max_body)
        self._limited = Limited(self._post, gate, limits, self._refuse) if limits is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "websocket" and (socket := self._sockets.get(scope["path"])):
            await socket(scope, receive, send)
        elif scope["type"] != "http":
            await self.rest(scope, receive, send)
        elif scope["method"] != "POST":
            await self._dispatch(scope, receive, send)
        elif self._limited is not None:
            await self._limited(scope, receive, send)
        else:
            await self._post(scope, receive, send)

    async def close(self) -> None:
        """End what runs on without its client."""
        for close in self.closing:
            await close()
        await self._idempotent.close()

    def _post(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own: each wake-up of a stream would pass through it."""
        if key_of(scope) is not None:
            return self._idempotent(scope, receive, send)
        endpoint = self._endpoints.get(scope["path"])
        return endpoint(scope, receive, send) if endpoint is not None else self._dispatch(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        endpoint = self._endpoints.get(path)
        if endpoint is not None and method == "POST":
            await endpoint(scope, receive, send)
            return
        if (endpoint is not None or method == "OPTIONS") and (allowed := self.allowed(scope)):
            if method == "OPTIONS":
                await _options(_with_headers(send), allowed)
                return
            if method not in allowed:
                await self._refuse(scope, send, WrongMethod(method, allowed))
                return
        head = method == "HEAD"
        limit = self._max_upload + _AROUND if _UPLOADS.fullmatch(path) else self.max_body
        asked = {**scope, "method": "GET"} if head else scope
        await self.rest(asked, _bounded(receive, limit), _with_headers(send, bodiless=head))

    async def _refuse(self, scope: Scope, send: Send, error: Exception) -> None:
        """An error in the shape that the path's clients know."""
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is not None:
            await endpoint.refuse(error, send)
        else:
            await send_whole(_with_headers(send), error_status(error), error_body(error), error_headers(error))

    def allowed(self, scope: Scope) -> list[str]:
        """The methods that a path takes; none where there is nothing. A surface's takes POST alone."""
        if scope["path"] in self._endpoints:
            return ["POST", "OPTIONS"]
        found = {m for m in _METHODS if any(_takes(route, {**scope, "method": m}) for route in self.rest.routes)}
        return [*sorted(found), *(["HEAD"] if "GET" in found else []), "OPTIONS"] if found else []


def _takes(route: BaseRoute, scope: Scope) -> bool:
    if isinstance(route, Mount) and scope["method"] != "GET":
        return False  # static files
    return route.matches(scope)[0] is Match.FULL


async def _options(send: Send, allowed: Sequence[str]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", ", ".join(allowed).encode())]})
    await send({"type": "http.response.body", "body": b""})


def _bounded(receive: Receive, limit: int) -> Receive:
    """The request's messages, until its body is over `limit` bytes: what FastAPI would read into memory."""
    size = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            # Of the exceptions that a body's reader meets, the framework lets only this one through.
            raise HTTPException(413, f"The body has more than {limit} bytes, which is the most that is taken.")
        return message

    return receiving


def _with_headers(send: Send, *, bodiless: bool = False) -> Send:
    ours = [
        (b"x-request-id", new_id("req").encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", _POLICY.encode()),
    ]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *ours]
        elif bodiless:
            message["body"] = b""
        await send(message)

    return sending
