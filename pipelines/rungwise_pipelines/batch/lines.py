"""The lines of a batch file: found, checked, and told by number where they are wrong.

A line is `{"custom_id", "method": "POST", "url", "body"}`. Files are read in pieces: neither a file of millions of
lines nor a line of a gigabyte comes into memory whole.
"""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""What a line may ask for."""

_BOM = b"\xef\xbb\xbf"
_PIECE = 1 << 20
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)


class Limits(Struct, frozen=True):
    """What a batch file may have at most; 0 means no limit but for `line_bytes`."""

    line_bytes: int = 32_000_000
    lines: int = 0
    file_bytes: int = 0


class Line(Struct, frozen=True, gc=False):
    """One request. `number` counts as an editor does, from 1; `body` is the client's own JSON object."""

    number: int
    custom_id: str
    url: str
    body: bytes


class Fault(Struct, frozen=True, gc=False, omit_defaults=True):
    """What is wrong with a batch file, as `/v1/batches` tells it. `line` is None for the file as a whole."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Span(Struct, frozen=True, gc=False):
    """Where a line stands. `data` has no line end, and is None where the line is longer than the limit."""

    number: int
    offset: int
    data: bytes | None
    raw: bytes
    """The bytes as they stand in the file; of a line that is too long, its beginning."""


def spans(file: BinaryIO, line_bytes: int) -> Iterator[Span]:
    """The lines of a file that have something in them. LF and CRLF end a line; a BOM before the first one is no part
    of it.
    """
    number, offset = 0, 0
    most = line_bytes + len(_BOM) + len(b"\r\n")
    while raw := file.readline(most):
        number += 1
        start, offset = offset, offset + len(raw)
        whole = raw.endswith(b"\n") or len(raw) < most
        if start == 0 and raw.startswith(_BOM):
            start = len(_BOM)
        data: bytes | None = raw[start if number == 1 else 0 :].rstrip(b"\r\n")
        if not whole or len(data or b"") > line_bytes:
            data = None
        rest = b"" if whole else raw
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(_PIECE)
            offset += len(rest)
        if data is None or data.strip():
            yield Span(number, start, data, raw)


def read_line(data: bytes, number: int, endpoint: str = "") -> Line | Fault:
    """The request in a line, or what is wrong with it. With an `endpoint`, no other may be asked."""
    try:
        return _read(data, number, endpoint)
    except _Wrong as wrong:
        return Fault(wrong.code, wrong.message, wrong.param, number)


class _Wrong(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param


def _read(data: bytes, number: int, endpoint: str) -> Line:
    try:
        fields = _FIELDS.decode(data)
    except msgspec.ValidationError:
        raise _Wrong("invalid_request", "Each line must be a JSON object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong("invalid_json_line", f"This line is not parseable as valid JSON: {error}.") from None
    custom_id, method, url = (_text(fields, name) for name in ("custom_id", "method", "url"))
    if not custom_id:
        raise _Wrong("invalid_value", "Invalid value for 'custom_id': it must not be empty.", "custom_id")
    if method != "POST":
        raise _Wrong("invalid_method", "Invalid value for 'method': only POST is supported.", "method")
    if url not in ENDPOINTS:
        known = ", ".join(ENDPOINTS)
        raise _Wrong("invalid_url", f"Invalid value for 'url': {url[:200]!r} is none of {known}.", "url")
    if endpoint and url != endpoint:
        what = f"The URL of this request, {url!r}, does not match the endpoint of the batch, {endpoint!r}."
        raise _Wrong("invalid_url", what, "url")
    body = _given(fields, "body")
    try:
        asked = _FIELDS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Wrong("invalid_type", "Invalid type for 'body': expected an object.", "body") from None
    if bytes(asked.get("stream", b"")) == b"true":
        what = "Streaming is not supported in a batch: leave 'stream' out of the body."
        raise _Wrong("streaming_unsupported", what, "body.stream")
    if bytes(asked.get("background", b"")) == b"true":
        what = "A batch runs in the background itself: leave 'background' out of the body."
        raise _Wrong("invalid_value", what, "body.background")
    return Line(number, custom_id, url, bytes(body))


def _given(fields: dict[str, Raw], name: str) -> Raw:
    if name not in fields:
        raise _Wrong("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
    return fields[name]


def _text(fields: dict[str, Raw], name: str) -> str:
    try:
        return _TEXT.decode(_given(fields, name))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _Wrong("invalid_type", f"Invalid type for '{name}': expected a string.", name) from None
