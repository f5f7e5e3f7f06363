"""Bodies that go on to a model: the fields that we know, checked, and all of them as the client wrote them."""

from typing import TypeVar

import msgspec
from msgspec import Raw

from rungwise_server.api.wire import read
from rungwise_server.errors import BadRequest

T = TypeVar("T")

_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def parse(decoder: msgspec.json.Decoder[T], body: bytes) -> tuple[T, dict[str, Raw]]:
    """What `decoder` makes of `body`, and all of its fields as the client wrote them, unknown ones included.

    Raises:
        BadRequest: no JSON in UTF-8, or a field is missing or of the wrong kind; `param` names it.
    """
    known = read(decoder, body)
    try:
        body.decode()  # msgspec passes over the strings that it is not asked for
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None
    return known, read(_FIELDS, body)


def missing(param: str, why: str = "") -> BadRequest:
    """The error for a field that must be there."""
    return BadRequest(
        f"Missing required parameter: '{param}'.{why and f' {why}'}", param=param, code="missing_required_parameter"
    )


def unsupported(param: str, why: str) -> BadRequest:
    """The error for a field that a surface cannot honour, so that it is not dropped silently."""
    return BadRequest(f"Unsupported parameter: '{param}': {why}", param=param, code="unsupported_parameter")


def given(raw: Raw | None) -> bool:
    """Whether a client said something there."""
    return raw is not None and bytes(raw) not in (b"", b"null")
