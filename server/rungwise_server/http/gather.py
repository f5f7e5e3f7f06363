"""uvicorn's HTTP protocol, but what is written in one turn of the event loop is sent together at its end.

Sending wakes whoever reads at the other end. With work between two sends, a reader on the same machine (a proxy, a
sidecar) sleeps again in between, and waking it costs the kernel more than the bytes do: up to a quarter of a streamed
chunk, where many answers stream at once. A response's head and its body leave in one send, too.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST = 65_536
"""Bytes of one connection that are held back: more, and flow control must hear of it."""


class Turn:
    """The connections that were written to in this turn of the loop."""

    def __init__(self) -> None:
        self._joined: list[GatheringTransport] = []

    def join(self, transport: "GatheringTransport", loop: asyncio.AbstractEventLoop) -> None:
        """Have `transport` flushed at the turn's end."""
        if not self._joined:
            loop.call_soon(self._end)
        self._joined.append(transport)

    def _end(self) -> None:
        joined, self._joined = self._joined, []
        for transport in joined:
            transport.flush()


class GatheringTransport:
    """A transport whose writes wait for the end of the turn; all else is done at once."""

    def __init__(self, transport: asyncio.Transport, turn: Turn, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._turn = turn
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold it back, unless that would be too much."""
        if not self._held:
            self._turn.join(self, self._loop)
        self._held += data
        if len(self._held) > _MOST:
            self.flush()

    def flush(self) -> None:
        """Send what is held back."""
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        """Close once everything is sent."""
        self.flush()
        self._transport.close()


class GatheringProtocol(HttpToolsProtocol):
    """One connection of a server whose connections share `turn`."""

    def __init__(self, turn: Turn, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        gathering = GatheringTransport(cast("asyncio.Transport", transport), self._turn, self.loop)
        super().connection_made(cast("asyncio.Transport", gathering))

    def eof_received(self) -> None:
        """asyncio: the client has said all that it will say; the transport closes now."""
        cast("GatheringTransport", self.transport).flush()
