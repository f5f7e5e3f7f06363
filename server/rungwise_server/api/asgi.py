"""What our bare ASGI endpoints share: types, the request's body, a whole response."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from rungwise_server.errors import TooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Refuse = Callable[[Scope, Send, Exception], Awaitable[None]]
"""Answers a request with an error, in the shape that the clients of its path know."""

BROKEN = "rungwise.broken"
"""A key in the last message of a response that began well and broke off."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


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


async def send_whole(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """A whole JSON response."""
    own = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
