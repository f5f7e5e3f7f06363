"""`POST /v1/chat/completions` as a bare ASGI application: it is the hot path, and a framework costs as much again.

The response starts only once the engine has the first delta, so a failure before it has its real HTTP status. When the
client leaves, the task that serves it is cancelled, which aborts the model upstream and logs the answer as cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from rungwise_server.answer import Answer
from rungwise_server.api.auth import Gate
from rungwise_server.api.chat_wire import Writer, read_chat
from rungwise_server.api.errors import error_body, error_headers, error_status
from rungwise_server.engine import Engine
from rungwise_server.errors import RungwiseError, TooLarge
from rungwise_server.types import Ids

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_DONE = b"data: [DONE]\n\n"


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Chat:
    """The endpoint. `sources` is the public URL of `/v1/sources/`, empty to take the request's own host."""

    def __init__(self, engine: Engine, gate: Gate, max_body: int, public_url: str = "") -> None:
        self._engine = engine
        self._gate = gate
        self._max_body = max_body
        self._new_id = Ids("chatcmpl")
        self._public_url = public_url.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = self._new_id()
        task = asyncio.current_task()
        assert task is not None
        gone = False
        try:
            caller = await self._gate.caller(scope["headers"])
            request, include_usage = read_chat(await read_body(scope, receive, self._max_body), request_id)

            async def watch() -> None:
                nonlocal gone
                while (await receive())["type"] != "http.disconnect":
                    pass
                gone = True
                task.cancel()

            watcher = asyncio.create_task(watch())
            try:
                async with await self._engine.chat(request, caller) as answer:
                    writer = Writer(request_id, answer.model or answer.candidate, self._sources(scope))
                    if request.stream:
                        await _stream(answer, writer, send, include_usage=include_usage)
                    else:
                        await _whole(answer, writer, send)
            finally:
                watcher.cancel()
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
        except ClientGone:
            pass
        except Exception as error:  # the last door: whatever it is leaves in OpenAI's shape
            await send_error(error, request_id, send)

    def _sources(self, scope: Scope) -> str:
        if self._public_url:
            return f"{self._public_url}/v1/sources/"
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
        return f"{scope.get('scheme', 'http')}://{host}/v1/sources/"


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The request's body.

    Raises:
        TooLarge: it says it is, or is, over `limit` bytes.
        ClientGone: the client left before it was whole.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise TooLarge(f"The body has {int(value)} bytes; at most {limit} are taken.")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return _within(body, limit)
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            break
    if message["type"] != "http.request":
        raise ClientGone
    return _within(b"".join(parts), limit)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise TooLarge(f"The body has more than {limit} bytes, which is the most that is taken.")
    return body


async def send_error(error: Exception, request_id: str, send: Send) -> None:
    """A whole response that says what went wrong."""
    body = error_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *error_headers(error),
    ]
    await send({"type": "http.response.start", "status": error_status(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _headers(answer: Answer, content_type: bytes) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type),
        (b"x-request-id", answer.id.encode()),
        (b"x-rungwise-candidate", answer.candidate.encode()),
    ]
    if answer.route is not None:
        # Percent-encoded where it must be: a reason may name a group in any script.
        headers.append((b"x-rungwise-route", quote(answer.route.reason, safe=" ,.:;()'!?/@+-_").encode()))
    return headers


async def _stream(answer: Answer, writer: Writer, send: Send, *, include_usage: bool) -> None:
    headers = _headers(answer, b"text/event-stream; charset=utf-8")
    headers.append((b"cache-control", b"no-cache"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    wired = False
    end = _DONE
    try:
        async for delta in answer:
            if delta.wire:
                wired = True
                writer.opened()
                body = delta.wire
            elif not (delta.text or delta.tool_calls or delta.citations or delta.finish_reason):
                continue  # usage for the log alone
            else:
                body = writer.chunk(delta.text, delta.index, delta.tool_calls, delta.citations, delta.finish_reason)
            await send({"type": "http.response.body", "body": body, "more_body": True})
    except RungwiseError as error:
        end = b"data: " + error_body(error) + b"\n\n" + _DONE
    else:
        if include_usage and answer.usage and not wired:
            end = writer.usage(answer.usage) + _DONE
    await send({"type": "http.response.body", "body": end})


async def _whole(answer: Answer, writer: Writer, send: Send) -> None:
    wire = b""
    async for delta in answer:
        wire = wire or delta.wire
    if not wire:
        body = writer.whole(answer.choices, answer.citations, answer.usage)
    elif answer.citations:
        body = writer.annotate(wire, answer.citations)
    else:
        body = wire
    headers = _headers(answer, b"application/json")
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
