"""Errors in OpenAI's shape, all four keys, with the headers that clients decide their retries by."""

import logging
import math
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rungwise_server.errors import BadRequest, RungwiseError, UpstreamLimited

logger = logging.getLogger(__name__)

_FINAL = frozenset({"insufficient_quota", "idempotency_key_reused"})


class _Error(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _Body(Struct):
    error: _Error


class WrongMethod(BadRequest):
    """The URL is there, and does not take this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"This URL takes {', '.join(allowed)}, and not {method}.")
        self.allowed = allowed


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
    """`retry-after` where the error knows it, and a model's own limits; `x-should-retry: false` where a client that
    tries again gets the same; how to sign in for a 401; the methods that there are for a 405.
    """
    headers = []
    if isinstance(error, RungwiseError):
        if error.retry_after is not None:
            headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
            headers.append((b"retry-after-ms", str(math.ceil(error.retry_after * 1000)).encode()))
        if isinstance(error, UpstreamLimited):
            headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.limits.items()]
        if error.status == 409 or error.code in _FINAL:
            headers.append((b"x-should-retry", b"false"))
        if isinstance(error, WrongMethod):
            headers.append((b"allow", ", ".join(error.allowed).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
    return headers
