"""The other side of a shared index: a PassageIndex that another process of this machine has open."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from rungwise_server.errors import SetupError, Unavailable
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes import wire
from rungwise_server.retrieval.indexes.attributes import check_attributes, check_filter
from rungwise_server.retrieval.indexes.host import find
from rungwise_server.retrieval.indexes.wire import PROTOCOL, Answer, Call, Hello, Method, R, encode, frame, read_frame
from rungwise_server.types import CollectionSpec, Hits, IndexedPassage, IndexQuery, Passage

_HELLO_SECONDS = 5.0


class OwnerGone(Unavailable):
    """Whoever has the index open cannot be reached (any more); a call that was under way may have been done."""


class RemoteIndex:
    """A PassageIndex served by an `IndexHost`, over one connection that carries all calls at once.

    The connection is made by the first call, and made again by the next one after it broke. Every method raises
    Unavailable when the owner is not there or goes away before it answers; no call is repeated by itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: _Line | None = None
        self._dialling = asyncio.Lock()

    async def connect(self) -> Hello:
        """Make the connection now; who the owner is. Raises Unavailable, SetupError for another version of rungwise."""
        return (await self._connected()).owner

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """See PassageIndex."""
        return await self._call(wire.CREATE, collection, spec)

    async def describe(self, collection: str) -> CollectionSpec | None:
        """See PassageIndex."""
        return await self._call(wire.DESCRIBE, collection)

    async def count(self, collection: str) -> int:
        """See PassageIndex."""
        return await self._call(wire.COUNT, collection)

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """See PassageIndex."""
        for entry in entries:
            check_attributes(entry.passage.attributes, f"passage {entry.passage.id}")
        await self._call(wire.UPSERT, collection, list(entries))

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """See PassageIndex."""
        await self._call(wire.REMOVE, collection, source, document_id, keep_version)

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """See PassageIndex."""
        await self._call(wire.SET_READERS, collection, source, document_id, readers)

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """See PassageIndex."""
        check_attributes(attributes, f"document {document_id!r}")  # a number that no double holds would be rounded
        await self._call(wire.SET_ATTRIBUTES, collection, source, document_id, attributes)

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """See PassageIndex."""
        return await self._call(wire.DOCUMENTS, collection, source, principals)

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """See PassageIndex."""
        check_filter(query.filter)  # one that is too deep has no form on the wire
        return await self._call(wire.SEARCH, collection, query)

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """See PassageIndex."""
        return await self._call(wire.GET, passage_id, principals)

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """See PassageIndex."""
        return await self._call(wire.NEIGHBOURS, passage, principals)

    async def drop(self, collection: str) -> None:
        """See PassageIndex."""
        await self._call(wire.DROP, collection)

    async def close(self) -> None:
        """Hang up; the owner keeps the index open."""
        if self._line:
            await self._line.close()

    async def _call(self, method: Method[R], *arguments: object) -> R:
        try:
            packed = msgspec.Raw(encode(arguments))
        except UnicodeEncodeError as error:
            raise ValueError(f"text that is no Unicode: {error}") from None
        line = await self._connected()
        return method.value(await line.call(method.name, packed))

    async def _connected(self) -> "_Line":
        async with self._dialling:
            if self._line is None or self._line.broken:
                self._line = await _dial(self._path)
            return self._line


async def _dial(path: Path) -> "_Line":
    try:
        reader, writer = await asyncio.open_unix_connection(str(find(path)))
    except OSError as error:
        raise OwnerGone(f"no process serves the index on {path} ({error.strerror or error})") from error
    try:
        async with asyncio.timeout(_HELLO_SECONDS):
            owner = msgspec.msgpack.decode(await read_frame(reader), type=Hello)
    except (OSError, EOFError, msgspec.DecodeError) as error:
        writer.close()
        raise OwnerGone(f"the process that serves the index on {path} does not answer") from error
    if owner.protocol != PROTOCOL:
        writer.close()
        raise SetupError(
            f"process {owner.pid} ({owner.role}), which has the index open, is another version of rungwise: restart it"
        )
    return _Line(owner, reader, writer)


class _Line:
    """One connection, with the calls that wait on it."""

    def __init__(self, owner: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.owner = owner
        self.broken = False
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def call(self, method: str, arguments: msgspec.Raw) -> msgspec.Raw:
        number = next(self._numbers)
        message = frame(Call(call=number, method=method, arguments=arguments))
        if self.broken:
            raise self._gone()
        answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(message)
            return await answer
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                answer = _ANSWER.decode(await read_frame(self._reader))
                waiting = self._waiting.get(answer.call)
                if waiting is None or waiting.done():
                    continue  # whoever asked has left
                if answer.failure:
                    waiting.set_exception(answer.failure.error())
                else:
                    waiting.set_result(answer.value)
        except (EOFError, OSError, msgspec.DecodeError):
            pass
        finally:
            self.broken = True
            self._writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self._gone())

    def _gone(self) -> OwnerGone:
        return OwnerGone(
            f"process {self.owner.pid} ({self.owner.role}), which had the index open, went away before it answered: "
            f"do this again once it is back; what it had already written is kept"
        )


_ANSWER = msgspec.msgpack.Decoder(Answer)
