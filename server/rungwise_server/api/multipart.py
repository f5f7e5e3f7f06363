"""A form of `multipart/form-data`, part by part as it comes in: never held whole, in memory or on disk."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from rungwise_server.errors import BadRequest, TooLarge

_PARTS = 32
_LONGEST_FIELD = 8_192


class Part:
    """One part of a form. `filename` is None where it is a field. Its data comes once, in pieces."""

    def __init__(self, name: str, filename: str | None, data: AsyncIterator[bytes]) -> None:
        self.name = name
        self.filename = filename
        self.data = data

    async def text(self) -> str:
        """The data of a field. Raises BadRequest, TooLarge."""
        value = bytearray()
        async for piece in self.data:
            value += piece
            if len(value) > _LONGEST_FIELD:
                raise TooLarge(f"The field {self.name!r} has more than {_LONGEST_FIELD} bytes.", param=self.name)
        return _text(bytes(value), self.name)


async def read_form(content_type: str, chunks: AsyncIterable[bytes], patience: float = 60.0) -> AsyncIterator[Part]:
    """The parts, in the order that they come in. What is not read of one is passed over when the next is asked for.

    Args:
        content_type: the header.
        chunks: the body.
        patience: seconds to wait for a chunk: a client that vanished without a word must not be waited for for ever.

    Raises:
        BadRequest: it is no such form, or is cut short, or (408) nothing comes any more.
        TooLarge: it has too many parts.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise BadRequest("Send a form: `multipart/form-data`, with a boundary.", code="invalid_form")
    reader = _Reader(options[b"boundary"], chunks, patience)
    for _ in range(_PARTS):
        headers = await reader.next_part()
        if headers is None:
            return
        yield _part(headers, reader)
    raise TooLarge(f"The form has more than {_PARTS} parts.")


class _Reader:
    """Turns the parser's calls into a queue that is filled by a chunk at a time."""

    def __init__(self, boundary: bytes, chunks: AsyncIterable[bytes], patience: float) -> None:
        self._chunks = aiter(chunks)
        self._patience = patience
        self._queue: deque[dict[bytes, bytes] | bytes | None] = deque()
        """Headers begin a part, bytes are its data, None ends it."""
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._whole = False
        with _form_errors():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._header,
                    "on_headers_finished": lambda: self._queue.append(self._headers),
                    "on_part_data": lambda data, start, end: self._queue.append(data[start:end]),
                    "on_part_end": lambda: self._queue.append(None),
                    "on_end": self._end,
                },
            )

    async def next_part(self) -> dict[bytes, bytes] | None:
        """The headers of the next part; None where there is none."""
        while await self._fill():
            item = self._queue.popleft()
            if isinstance(item, dict):
                return item
        return None

    async def data(self) -> AsyncIterator[bytes]:
        """What is left of the part."""
        while await self._fill():
            item = self._queue.popleft()
            if item is None:
                return
            assert isinstance(item, bytes)
            yield item

    async def _fill(self) -> bool:
        while not self._queue:
            chunk = await self._chunk()
            if chunk is None:
                if not self._whole:
                    raise BadRequest("The form is cut short: its last boundary is missing.", code="invalid_form")
                return False
            with _form_errors():
                self._parser.write(chunk)
        return True

    async def _chunk(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._patience):
                return await anext(self._chunks, None)
        except TimeoutError:
            error = BadRequest(f"Nothing of the form came for {self._patience:g} seconds.", code="request_timeout")
            error.status = 408
            raise error from None

    def _begin(self) -> None:
        self._headers = {}
        self._name = self._value = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end(self) -> None:
        self._whole = True


@contextmanager
def _form_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadRequest(f"The form cannot be read: {error}.", code="invalid_form") from None


def _part(headers: dict[bytes, bytes], reader: _Reader) -> Part:
    kind, options = parse_options_header(headers.get(b"content-disposition", b""))
    name = _text(options.get(b"name", b""), None)
    if kind != b"form-data" or not name:
        raise BadRequest("A part of the form has no name.", code="invalid_form")
    filename = options.get(b"filename")
    return Part(name, None if filename is None else _text(filename, name), reader.data())


def _text(value: bytes, param: str | None) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadRequest("The form has text that is not UTF-8.", param=param, code="invalid_form") from None
