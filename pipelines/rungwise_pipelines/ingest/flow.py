"""A source's changes on their way: read ahead of where they are written, written in groups, in their order.

While one group is embedded and written, the next one is read and split. A cursor is saved with the group that completes
its batch. A document that comes again waits until what is known of it is written.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from msgspec import Struct

from rungwise_connectors.types import Connector, Cursor, SourceError
from rungwise_pipelines.ingest.prepare import Prepared, Preparer, Ready
from rungwise_pipelines.ingest.state import Mark, SourceState
from rungwise_pipelines.ingest.write import GROUP, Writer

AHEAD = 8
"""Documents that are read before they are asked for; with two groups of passages, what waits in memory."""

DOCUMENTS = 512
"""Documents written together at most, where they have few passages or none."""


class _Checkpoint(Struct, frozen=True):
    cursor: Cursor


class _Settle(Struct, frozen=True):
    """A document comes again: what came before must be written first."""


class Flow:
    """The way from one source to its writer. `setup` is the fingerprint that a saved cursor holds under."""

    def __init__(
        self, connector: Connector, preparer: Preparer, writer: Writer, state: SourceState, setup: str
    ) -> None:
        self._connector = connector
        self._preparer = preparer
        self._writer = writer
        self._state = state
        self._setup = setup
        self._unwritten: set[str] = set()

    async def changes(self, since: Cursor | None) -> None:
        """Read, prepare and write every change since `since`.

        Raises:
            SourceError: the source broke off; what came before is written.
        """
        group: list[Prepared] = []
        mark = self._state.mark
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._prepared(since)) as stream:
                async for item in stream:
                    match item:
                        case _Checkpoint():
                            mark = msgspec.structs.replace(mark, cursor=item.cursor, setup=self._setup)
                        case _Settle():
                            await _end(writing)
                            await self._write(group, mark)
                            group, writing = [], None
                        case _:
                            group.append(item)
                    if _passages(group) >= GROUP or len(group) >= DOCUMENTS:
                        await _end(writing)
                        writing = asyncio.create_task(self._write(group, mark))
                        group = []
            mark = msgspec.structs.replace(mark, setup=self._setup)
        except SourceError:
            await _end(writing)
            await self._write(group, mark)
            raise
        except BaseException:
            if writing:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            raise
        await _end(writing)
        await self._write(group, mark)

    async def _write(self, group: Sequence[Prepared], mark: Mark) -> None:
        await self._writer.write(group, mark)
        self._unwritten.difference_update(item.id for item in group)

    async def _prepared(self, since: Cursor | None) -> AsyncGenerator[Prepared | _Checkpoint | _Settle, None]:
        window: deque[asyncio.Task[Prepared] | _Checkpoint] = deque()
        broken: SourceError | None = None
        batches = self._connector.changes(since)
        try:
            try:
                async for batch in batches:
                    for change in batch.changes:
                        if change.id in self._unwritten:
                            while window:
                                yield await _first(window)
                            yield _Settle()
                        self._unwritten.add(change.id)
                        window.append(asyncio.create_task(self._preparer.prepare(change, self._state.documents)))
                        while len(window) > AHEAD:
                            yield await _first(window)
                    window.append(_Checkpoint(batch.cursor))
            except SourceError as error:
                broken = error
            while window:
                yield await _first(window)
        finally:
            tasks = [waiting for waiting in window if isinstance(waiting, asyncio.Task)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()
        if broken:
            raise broken


async def _first(window: "deque[asyncio.Task[Prepared] | _Checkpoint]") -> Prepared | _Checkpoint:
    first = window[0]
    taken = await first if isinstance(first, asyncio.Task) else first
    window.popleft()
    return taken


async def _end(writing: asyncio.Task[None] | None) -> None:
    if writing:
        await writing


def _passages(group: Sequence[Prepared]) -> int:
    return sum(len(item.passages or ()) for item in group if isinstance(item, Ready))
