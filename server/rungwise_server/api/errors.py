"""Errors in OpenAI's shape, all four keys, with the headers that clients decide their retries by."""

import logging
import math

import msgspec
from msgspec import Struct

from rungwise_server.errors import RungwiseError

logger = logging.getLogger(__name__)


class _Error(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(Struct):
    error: _Error


def error_body(error: Exception) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`. Errors that are not ours keep their words inside."""
    if isinstance(error, RungwiseError):
        shown = _Error(error.message, error.type, error.param, error.code)
    else:
        shown = _Error("Something in the server failed; its log says what.", "server_error", None, "internal_error")
    return msgspec.json.encode(_Body(shown))


def error_status(error: Exception) -> int:
    """The HTTP status; errors that are not ours are logged with their traceback."""
    if isinstance(error, RungwiseError):
        return error.status
    logger.error("unexpected error", exc_info=error)
    return 500


def error_headers(error: Exception) -> list[tuple[bytes, bytes]]:
    """`retry-after` where the error knows it; whether a client should try again; how to sign in for a 401."""
    headers = []
    if isinstance(error, RungwiseError):
        if error.retry_after is not None:
            headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
            headers.append((b"retry-after-ms", str(math.ceil(error.retry_after * 1000)).encode()))
        if error.status == 409:
            headers.append((b"x-should-retry", b"false"))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
    return headers
