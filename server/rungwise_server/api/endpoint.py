"""A surface as a bare ASGI application: it is the hot path, and a framework costs as much again.

The response starts only once the engine has the first delta, so a failure before it has its real HTTP status. When the
client leaves, the task that serves it is cancelled, which aborts the model upstream and logs the answer as cancelled.
"""

import asyncio
from contextlib import aclosing
from urllib.parse import quote

from rungwise_server.answer import Answer
from rungwise_server.api.asgi import BROKEN, ClientGone, Headers, Receive, Scope, Send, read_body, send_whole
from rungwise_server.api.auth import Gate
from rungwise_server.api.errors import error_headers, error_status
from rungwise_server.api.surface import Asked, Exchange, Reply, Surface, collect, told_in_stream
from rungwise_server.engine import Engine
from rungwise_server.types import Ids

_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Endpoint:
    """Serves `POST` requests of one surface. `public_url` is the address that clients reach, else the request's own."""

    def __init__(self, surface: Surface, engine: Engine, gate: Gate, max_body: int, public_url: str = "") -> None:
        self._surface = surface
        self._engine = engine
        self._gate = gate
        self._max_body = max_body
        self._new_id = Ids(surface.prefix)
        self._public_url = public_url.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = self._new_id()
        task = asyncio.current_task()
        assert task is not None
        gone = False
        try:
            caller = await self._gate.caller(scope["headers"])
            body = await read_body(scope, receive, self._max_body)

            async def watch() -> None:
                nonlocal gone
                while (await receive())["type"] != "http.disconnect":
                    pass
                gone = True
                task.cancel()

            watcher = asyncio.create_task(watch())
            try:
                exchange = await self._surface.read(
                    Asked(request_id, caller, body, sources_of(scope, self._public_url))
                )
                if isinstance(exchange, Reply):
                    await _reply(exchange, request_id, send)
                    return
                async with await self._engine.chat(exchange.request, caller, self._surface.name) as answer:
                    if exchange.request.stream:
                        await _stream(exchange, answer, send)
                    else:
                        body = await exchange.whole(answer, await collect(answer))
                        await send_whole(send, 200, body, _headers(answer))
            finally:
                watcher.cancel()
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
        except ClientGone:
            pass
        except Exception as error:  # the last door: whatever it is leaves in the surface's own shape
            await self.refuse(error, send, request_id)

    async def refuse(self, error: Exception, send: Send, request_id: str = "") -> None:
        """Answer with an error, in the surface's shape. Without a request's id it gets one."""
        request_id = request_id or self._new_id()
        headers = [*_ids(request_id), *error_headers(error)]
        await send_whole(send, error_status(error), self._surface.error(error, request_id), headers)


def sources_of(scope: Scope, public_url: str) -> str:
    """The URL before a passage's id: under `public_url`, or under the request's own address."""
    if public_url:
        return f"{public_url}/v1/sources/"
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "http"), scope.get("scheme", "http"))
    return f"{scheme}://{host}/v1/sources/"


def _ids(request_id: str) -> Headers:
    """The id for OpenAI's clients, and for Anthropic's."""
    raw = request_id.encode()
    return ((b"x-request-id", raw), (b"request-id", raw))


def _headers(answer: Answer) -> Headers:
    headers = [*_ids(answer.id), (b"x-rungwise-candidate", answer.candidate.encode())]
    if answer.route is not None:
        # Percent-encoded where it must be: a reason may name a group in any script.
        headers.append((b"x-rungwise-route", quote(answer.route.reason, safe=" ,.:;()'!?/@+-_").encode()))
    return headers


async def _stream(exchange: Exchange, answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *_headers(answer)]})
    if body := exchange.open(answer):
        await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async for delta in answer:
            if body := exchange.delta(delta):
                await send({"type": "http.response.body", "body": body, "more_body": True})
    except Exception as error:  # the response has begun: whatever it is must be told within it
        end = await exchange.broken(answer, await told_in_stream(error, answer))
        await send({"type": "http.response.body", "body": end, BROKEN: True})
    else:
        end = await exchange.close(answer)
        await send({"type": "http.response.body", "body": end})


async def _reply(reply: Reply, request_id: str, send: Send) -> None:
    headers = _ids(request_id)
    if isinstance(reply.body, bytes):
        await send_whole(send, reply.status, reply.body, headers)
        return
    async with aclosing(reply.body) as events:  # type: ignore[type-var]
        first = await anext(events, b"")
        await send({"type": "http.response.start", "status": reply.status, "headers": [*_EVENTS, *headers]})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for body in events:
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
