"""A fake model provider: a real HTTP server on the loopback, scripted by the test, fast enough for benchmarks.

    async with FakeUpstream() as up:
        model = OpenAICompatible(url=up.url, model="echo")

It speaks OpenAI's `/v1/chat/completions`, `/v1/embeddings` and `/v1/models` and Anthropic's `/v1/messages`. By default
it echoes the last user message. For benchmarks: `python -m rungwise_server.testing.upstream --port 9001 --chunks 50`.
"""

import argparse
import asyncio
import contextlib
import math
import socket
import ssl
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self, cast

import httptools
import msgspec

from rungwise_server.testing.upstream_wire import (
    Reply,
    anthropic_events,
    anthropic_message,
    embeddings,
    encode,
    error_body,
    last_user,
    openai_completion,
    openai_events,
)

__all__ = ["FakeUpstream", "Reply", "Seen", "echo"]

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Seen:
    """A request as it came, and what became of it. Times are `time.monotonic()`."""

    __slots__ = ("at", "body", "ended", "gone", "headers", "method", "over", "path", "sent")

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.monotonic()
        self.sent = 0
        """Bytes of the response handed to the socket."""
        self.ended: float | None = None
        """When the last byte of the response was handed to the socket."""
        self.gone: float | None = None
        """When the client left before that."""
        self.over = asyncio.Event()

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded; empty where it is no JSON object."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return {}


Script = Callable[[Seen], Reply]


def echo(seen: Seen) -> Reply:
    """The last user message; as a JSON object where the request asks for JSON."""
    body = seen.json
    text = last_user(body)
    wanted = (body.get("response_format") or {}).get("type", "text")
    return Reply(text=text if wanted == "text" else encode({"echo": text}).decode())


class FakeUpstream:
    """The server. `script` (a `Reply`, or a function of the request) may be exchanged at any time.

    `requests` holds the last `keep` requests, oldest first; `connections` counts those that were ever opened.
    """

    def __init__(
        self,
        script: Script | Reply = echo,
        *,
        api_key: str = "",
        models: tuple[str, ...] = ("echo",),
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        keep: int = 1000,
    ) -> None:
        self.script = script
        self.api_key = api_key
        self.models = models
        self.requests: deque[Seen] = deque(maxlen=keep)
        self.connections = 0
        self.open: set[asyncio.BaseTransport] = set()
        self.drained = asyncio.Event()
        self._host, self._port, self._tls = host, port, tls
        self._server: asyncio.Server | None = None

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL, up to and with `/v1`."""
        return self.origin + "/v1"

    @property
    def last(self) -> Seen:
        """The newest request."""
        return self.requests[-1]

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self._host, self._port, ssl=self._tls, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop all connections; `start` takes the same port again."""
        if self._server is not None:
            self._server.close()
        for transport in list(self.open):
            cast("asyncio.Transport", transport).abort()
        if self.open:
            self.drained.clear()
            await self.drained.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def left(self, seen: Seen, timeout: float = 1.0) -> bool:
        """Whether the client leaves `seen` unfinished within `timeout` seconds from now."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seen.over.wait(), timeout)
        return seen.gone is not None

    def answer(self, seen: Seen) -> Reply:
        """The reply to a request, its pieces rendered into `body`."""
        path = seen.path.partition("?")[0]
        if self.api_key and self.api_key not in (
            seen.headers.get("authorization", "").removeprefix("Bearer "),
            seen.headers.get("x-api-key", ""),
        ):
            given = seen.headers.get("authorization", "").removeprefix("Bearer ")
            message = error_body(
                f"Incorrect API key provided: {given}.", "authentication_error", None, "invalid_api_key"
            )
            return Reply(status=401, body=(message,))
        if path == "/v1/models":
            return Reply(
                body=(encode({"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]}),)
            )
        if path == "/v1/embeddings" and not isinstance(self.script, Reply):
            return Reply(body=(embeddings(seen.json),))
        reply = self.script if isinstance(self.script, Reply) else self.script(seen)
        if reply.body is not None or reply.raw is not None:
            return reply
        body = seen.json
        if reply.status != 200:
            pieces: tuple[bytes, ...] = (error_body(reply.error, "api_error", reply.param, reply.code),)
        elif path == "/v1/messages":
            pieces = tuple(anthropic_events(reply, body)) if body.get("stream") else (anthropic_message(reply, body),)
        elif path == "/v1/chat/completions":
            pieces = tuple(openai_events(reply, body)) if body.get("stream") else (openai_completion(reply, body),)
        elif path == "/v1/embeddings":
            pieces = (embeddings(body),)
        else:
            return Reply(status=404, body=(error_body(f"No such path: {path}", "invalid_request_error", None, None),))
        return msgspec.structs.replace(reply, body=pieces)


class _Connection(asyncio.Protocol):
    """One client's connection: one request at a time, answered piece by piece."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._seen: Seen | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._room = True
        self._waiting: tuple[Iterator[bytes], Reply, bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upstream.connections += 1
        self._upstream.open.add(transport)
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.open.discard(self._transport)
        if not self._upstream.open:
            self._upstream.drained.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._seen is not None and self._seen.ended is None:
            self._seen.gone = time.monotonic()
            self._seen.over.set()
        self._waiting = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._path, self._body = b"", b""
        self._headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        seen = self._seen = Seen(method, self._path.decode(), self._headers, self._body)
        self._upstream.requests.append(seen)
        reply = self._upstream.answer(seen)
        if reply.hang == math.inf:
            return
        if reply.hang:
            self._timer = self._loop.call_later(reply.hang, self._begin, reply)
        else:
            self._begin(reply)

    def resume_writing(self) -> None:
        self._room = True
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._more(*waiting)

    def pause_writing(self) -> None:
        self._room = False

    def _begin(self, reply: Reply) -> None:
        if reply.raw is not None:
            self._write(reply.raw)
            self._end(reply)
            return
        pieces = reply.body or ()
        events = pieces[0][:5] in (b"data:", b"event") if pieces else False
        chunked = not reply.until_close and (len(pieces) > 1 or events)
        head = f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}\r\n"
        headers = {"content-type": "text/event-stream" if events else "application/json"}
        if chunked:
            headers["transfer-encoding"] = "chunked"
        elif not reply.until_close:
            headers["content-length"] = str(sum(map(len, pieces)))
        headers |= reply.headers
        start = head + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        ready = [start.encode()]
        if not reply.delay and reply.cut is None and sum(map(len, pieces)) < 65536:
            ready += [_framed(piece) for piece in pieces] if chunked else pieces
            if chunked:
                ready.append(b"0\r\n\r\n")
            self._write(b"".join(ready))
            self._end(reply)
            return
        self._write(ready[0])
        self._more(iter(pieces[: reply.cut]), reply, chunked)

    def _more(self, pieces: Iterator[bytes], reply: Reply, chunked: bool) -> None:
        """Send the next pieces, and the others after them, each when its time has come and the client keeps up."""
        while batch := list(islice(pieces, reply.together)):
            self._write(b"".join(map(_framed, batch) if chunked else batch))
            if not self._room:
                self._waiting = (pieces, reply, chunked)
                return
            if reply.delay:
                self._timer = self._loop.call_later(reply.delay, self._more, pieces, reply, chunked)
                return
        if chunked and reply.cut is None:
            self._write(b"0\r\n\r\n")
        self._end(reply)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._seen is not None:
            self._seen.sent += len(data)

    def _end(self, reply: Reply) -> None:
        if self._seen is not None:
            self._seen.ended = time.monotonic()
            self._seen.over.set()
        if reply.cut is not None and reply.reset:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._loop.call_soon(self._transport.abort)
        elif reply.raw is not None or reply.until_close or reply.cut is not None:
            self._transport.close()
        elif reply.keep_alive is not None:
            self._timer = self._loop.call_later(reply.keep_alive, self._transport.close)


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def _serve(port: int, reply: Reply | None) -> None:
    async with FakeUpstream(reply or echo, port=port, keep=1) as upstream:
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve one answer for ever, for benchmarks; the URL is the first line printed."""
    parser = argparse.ArgumentParser(prog="python -m rungwise_server.testing.upstream", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--chunks", type=int, default=50, help="chunks of a streamed answer; 0 echoes the question")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between two chunks; 0: all in one write")
    parser.add_argument("--together", type=int, default=1, help="chunks in one write, with --delay between two writes")
    parser.add_argument("--hang", type=float, default=0.0, help="seconds before the first byte")
    given = parser.parse_args()
    text = "word " * given.chunks
    pace = {"delay": given.delay, "hang": given.hang}
    reply = Reply(text=text, chunks=given.chunks, together=given.together, **pace) if given.chunks else None
    try:
        import uvloop
    except ImportError:
        run: Callable[..., None] = asyncio.run
    else:
        run = uvloop.run
    try:
        run(_serve(given.port, reply))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
