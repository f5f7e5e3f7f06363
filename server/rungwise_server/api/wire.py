"""Reading a JSON body into a struct, with errors that name the field as OpenAI's do."""

import re
from typing import TypeVar

import msgspec

from rungwise_server.errors import BadRequest

T = TypeVar("T")


def read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """What `body` holds.

    Raises:
        BadRequest: no JSON, or a field is missing, unknown or of the wrong kind; `param` names it.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None


def read_at(decoder: "msgspec.json.Decoder[T]", wire: msgspec.Raw, where: str) -> T:
    """What a part of a body holds; `where` it stands comes before the name of the field at fault. Raises BadRequest."""
    try:
        return read(decoder, bytes(wire))
    except BadRequest as error:
        raise BadRequest(
            error.message, param=f"{where}.{error.param}" if error.param else where, code=error.code
        ) from None


def _invalid(message: str) -> BadRequest:
    """msgspec says ``Expected `int`, got `str` - at `$.n` ``, or names the missing or the unknown field."""
    what, _, at = message.partition(" - at `$")
    where = at.removesuffix("`").lstrip(".").replace("[...]", "")  # of a map, which value is not said
    for found, said, code in (
        (re.search(r"missing required field `(.+)`", what), "Missing required parameter", "missing_required_parameter"),
        (re.search(r"unknown field `(.+)`", what), "Unknown parameter", "unknown_parameter"),
    ):
        if found:
            param = f"{where}.{found[1]}" if where else found[1]
            return BadRequest(f"{said}: '{param}'.", param=param, code=code)
    return BadRequest(f"Invalid value for '{where or 'body'}': {what}.", param=where or None)
