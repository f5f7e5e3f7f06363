"""What processes say to each other about an index that one of them has open: frames of msgpack on a Unix socket.

A frame is its length, four bytes with the highest first, and that many bytes. The owner opens with `Hello`; then calls
go one way and answers the other, in any order, matched by `call`. Dense vectors travel as little-endian float32.
"""

import asyncio
import struct
from collections.abc import Awaitable
from typing import Generic, TypeVar

import msgspec
import numpy as np
from msgspec import Raw, Struct

from rungwise_server import errors
from rungwise_server.errors import RungwiseError, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage

R = TypeVar("R")

PROTOCOL = 3
"""Both sides must have the same."""

FRAME = 128 << 20
"""The longest frame, in bytes: some 30,000 passages of 384 dimensions."""

_LENGTH = struct.Struct(">I")


class Hello(Struct, frozen=True):
    """Who has the index open."""

    protocol: int
    pid: int
    role: str


class Call(Struct, frozen=True):
    """A method of PassageIndex with its arguments, in order."""

    call: int
    method: str
    arguments: Raw


class Failure(Struct, frozen=True):
    """An error: the name of its class, and what it was made of."""

    kind: str
    message: str
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """How an error travels. One that is none of ours arrives as Unavailable."""
        if isinstance(error, RungwiseError):
            return cls(type(error).__name__, error.message, error.param, error.code, error.retry_after)
        if isinstance(error, ValueError):
            return cls("ValueError", str(error))
        return cls("Unavailable", f"the index failed within: {type(error).__name__}: {error}")

    def error(self) -> Exception:
        """The error again."""
        if self.kind == "ValueError":
            return ValueError(self.message)
        kind = getattr(errors, self.kind, Unavailable)
        if issubclass(kind, errors.UpstreamError) or not issubclass(kind, RungwiseError):
            kind = Unavailable  # an index asks no model, whose errors are made of more
        again: RungwiseError = kind(self.message, param=self.param, code=self.code, retry_after=self.retry_after)
        return again


class Answer(Struct, frozen=True):
    """What a call came to: its value, or a failure."""

    call: int
    value: Raw = Raw(b"\xc0")
    failure: Failure | None = None


def _to_bytes(value: object) -> bytes:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, dtype="<f4").tobytes()
    raise NotImplementedError(f"{type(value).__name__} has no form on the wire")


def _to_vector(_: type, value: object) -> object:
    if not isinstance(value, bytes) or len(value) % 4:
        raise ValueError("a vector is bytes, four a dimension")
    return np.frombuffer(value, dtype="<f4")


encode = msgspec.msgpack.Encoder(enc_hook=_to_bytes).encode
"""A value as msgpack. Raises UnicodeEncodeError (a ValueError) for text with lone surrogates."""


class Method(Generic[R]):
    """A method of PassageIndex, with the types of its arguments and of what it returns."""

    def __init__(self, name: str, arguments: object, returns: object) -> None:
        self.name = name
        self._arguments = msgspec.msgpack.Decoder(arguments, dec_hook=_to_vector)
        self._returns = msgspec.msgpack.Decoder(returns)

    def run(self, index: PassageIndex, arguments: Raw) -> Awaitable[object]:
        """Call the method of `index`. Raises msgspec.DecodeError for arguments that are none."""
        decoded = self._arguments.decode(arguments)
        if self.name == "remove":
            *place, version = decoded
            return index.remove(*place, keep_version=version)
        called: Awaitable[object] = getattr(index, self.name)(*decoded)
        return called

    def value(self, value: Raw) -> R:
        """What the method returned. Raises msgspec.DecodeError."""
        returned: R = self._returns.decode(value)
        return returned


CREATE = Method[CollectionSpec]("create", tuple[str, CollectionSpec], CollectionSpec)
DESCRIBE = Method[CollectionSpec | None]("describe", tuple[str], CollectionSpec | None)
COUNT = Method[int]("count", tuple[str], int)
UPSERT = Method[None]("upsert", tuple[str, list[IndexedPassage]], None)
REMOVE = Method[None]("remove", tuple[str, str, str, str], None)
SET_READERS = Method[None]("set_readers", tuple[str, str, str, frozenset[str]], None)
SET_ATTRIBUTES = Method[None]("set_attributes", tuple[str, str, str, dict[str, Scalar]], None)
DOCUMENTS = Method[set[str]]("documents", tuple[str, str, frozenset[str] | None], set[str])
SEARCH = Method[Hits]("search", tuple[str, IndexQuery], Hits)
GET = Method[Passage | None]("get", tuple[str, frozenset[str]], Passage | None)
NEIGHBOURS = Method[list[Passage]]("neighbours", tuple[Passage, frozenset[str]], list[Passage])
DROP = Method[None]("drop", tuple[str], None)

_ALL = (
    CREATE,
    DESCRIBE,
    COUNT,
    UPSERT,
    REMOVE,
    SET_READERS,
    SET_ATTRIBUTES,
    DOCUMENTS,
    SEARCH,
    GET,
    NEIGHBOURS,
    DROP,
)
METHODS: dict[str, Method[object]] = {method.name: method for method in _ALL}  # type: ignore[misc]
"""By name; all but `close`."""


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame. Raises EOFError at the end of the stream, in the middle of a frame too, and for one that is too
    long.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > FRAME:
        raise EOFError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


def frame(message: Struct) -> bytes:
    """A message as a frame. Raises ValueError for one that is too long."""
    body = encode(message)
    if len(body) > FRAME:
        raise ValueError(
            f"{len(body) >> 20} MB are too much at once for the index, which takes {FRAME >> 20}: do less a call"
        )
    return _LENGTH.pack(len(body)) + body
