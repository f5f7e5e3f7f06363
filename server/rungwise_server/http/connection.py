"""One HTTP/1.1 connection to a model's server, and the response that comes in over it.

llhttp parses; everything that one read of the socket brought makes one wake-up. Timers are not set for each read: a
connection has one, and when it fires it looks whether there was silence.
"""

import asyncio
from typing import Protocol, cast

import httptools

from rungwise_server.errors import UpstreamError, UpstreamTimeout

_HEAD_LIMIT = 65_536
_BUFFER_LIMIT = 262_144
_DRAIN_SECONDS = 2.0


class Owner(Protocol):
    """Whom a connection reports to: the pool of its origin."""

    name: str
    idle_timeout: float

    def made(self, connection: "Connection") -> None:
        """It is open."""

    def give(self, connection: "Connection") -> None:
        """Its response has ended and it may be used again."""

    def forget(self, connection: "Connection") -> None:
        """It has ended."""


class Response:
    """A response, its body coming in. It must be read to its end, released, or aborted."""

    __slots__ = ("_chunks", "_connection", "_done", "_error", "_held", "_silent", "_waiter", "headers", "status")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        """Lower-case names; of several with one name, the values joined by commas."""
        self._connection = connection
        self._chunks: list[bytes] = []
        self._held = 0
        self._done = False
        self._silent = True
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def started(self, *, retry: bool = False) -> bool:
        """Wait for the head. With `retry`, False where the connection ended without a byte; else raises."""
        try:
            while not self.status:
                if self._error is not None:
                    if retry and self._silent and not isinstance(self._error, UpstreamTimeout):
                        return False
                    raise self._error
                self._waiter = self._connection.loop.create_future()
                await self._waiter
        except BaseException:
            self.abort()
            raise
        return True

    async def read(self) -> bytes:
        """All that has come since the last call, or the next that comes; empty at the end.

        Raises:
            UpstreamTimeout: nothing came in time.
            UpstreamError: the connection ended before the body did, or brought what is no HTTP.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._done:
                return b""
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._held > _BUFFER_LIMIT and not self._done:
            self._connection.resume()
        self._held = 0
        return data

    async def body(self, limit: int) -> bytes:
        """The rest of the body; left before that, the connection is closed.

        Raises:
            UpstreamError: the body is longer than `limit` bytes; and as `read` does.
        """
        parts, size = [], 0
        try:
            while data := await self.read():
                parts.append(data)
                size += len(data)
                if size > limit:
                    raise UpstreamError(f"{self._connection.name} sent more than {limit} bytes")
        except BaseException:
            self.abort()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """No more of the body is wanted. If its end comes within two seconds, the connection is used again."""
        if not self._done:
            self._done = True
            self._connection.drain()

    def abort(self) -> None:
        """Close the connection now, unless the response has ended."""
        if not self._done:
            self._done = True
            self._connection.drop()

    def add(self, data: bytes) -> None:
        """A piece of the body came."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > _BUFFER_LIMIT >= self._held - len(data):
            self._connection.pause()

    def end(self, error: UpstreamError | None = None) -> None:
        """The whole body came, or nothing more will because of `error`."""
        self._done = True
        self._error = error

    def wake(self, *, heard: bool = True) -> None:
        """Something changed."""
        if heard:
            self._silent = False
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection: idle, or with one response coming in."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._draining = self._interim = self._keep = self._paused = False
        self._head_size = 0
        self._timeout = self._deadline = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """`host:port`, for messages."""
        return self._owner.name

    def usable(self) -> bool:
        """Whether an idle connection may still take a request."""
        return self._deadline > self.loop.time() and not self._transport.is_closing()

    def send(self, data: bytes, timeout: float) -> Response:
        """Start a request."""
        response = self._response = Response(self)
        self._timeout = timeout
        self._head_size = 0
        self._arm(self.loop.time() + timeout)
        self._transport.write(data)
        return response

    def pause(self) -> None:
        """The consumer lags."""
        self._paused = True
        self._transport.pause_reading()

    def resume(self) -> None:
        """The consumer has caught up."""
        if self._paused:
            self._paused = False
            self._deadline = self.loop.time() + self._timeout
            self._transport.resume_reading()

    def drain(self) -> None:
        """Let the response end by itself, unread, but soon."""
        self._draining = True
        if self._paused:
            self.drop()
        else:
            self._arm(self.loop.time() + _DRAIN_SECONDS)

    def close(self) -> None:
        """Close at once; who waits for the response is told."""
        response = self._response
        if response is not None:
            response.end(UpstreamError(f"the connection to {self.name} was closed by this server"))
            response.wake()
        self.drop()

    def drop(self) -> None:
        """Close at once, without a word."""
        self._response = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: one read of the socket."""
        response = self._response
        if response is None:
            self.drop()
            return
        if not self._draining:
            self._deadline = self.loop.time() + self._timeout
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._broken(response, f"{self.name} sent what is no HTTP/1.1 response: {error}")
            return
        if not response.status:
            self._head_size += len(data)
            if self._head_size > _HEAD_LIMIT:
                self._broken(response, f"{self.name} sent a response head of more than {_HEAD_LIMIT} bytes")
            return
        response.wake()
        if self._response is None:
            self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: it is closed, by either side."""
        self._owner.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response, self._response = self._response, None
        del self._parser
        if response is None:
            return
        headers = response.headers
        if response.status and exc is None and not (b"content-length" in headers or b"transfer-encoding" in headers):
            response.end()
        else:
            when = "in the middle of its answer" if response.status else "without an answer"
            response.end(UpstreamError(f"{self.name} closed the connection {when}"))
        response.wake(heard=self._head_size > 0)

    def on_message_begin(self) -> None:
        """llhttp: a response begins."""
        if self._response is None:
            raise ValueError("more than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header, or a trailer."""
        if self._response is not None:
            headers = self._response.headers
            name = name.lower()
            headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete; one below 200 is not yet the answer."""
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._response is not None:
            if self._interim:
                self._response.headers.clear()
            else:
                self._response.status = status
                self._keep = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """llhttp: a piece of the body."""
        if self._response is not None and not self._draining:
            self._response.add(data)

    def on_message_complete(self) -> None:
        """llhttp: the response is complete."""
        if not self._interim and self._response is not None:
            self._response.end()
            self._response = None

    def _idle(self) -> None:
        self._draining = False
        if not self._keep or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._deadline = self.loop.time() + self._owner.idle_timeout
        self._owner.give(self)

    def _broken(self, response: Response, message: str) -> None:
        if self._response is not None:
            response.end(UpstreamError(message))
        self.drop()
        response.wake()

    def _arm(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self._paused:
            self._deadline = now + self._timeout
        if now < self._deadline:
            self._arm(self._deadline)
            return
        response = self._response
        if response is not None and not self._draining:
            what = "gone on" if response.status else "answered"
            response.end(UpstreamTimeout(f"{self.name} has not {what} for {self._timeout:g} s"))
            response.wake(heard=False)
        self.drop()
