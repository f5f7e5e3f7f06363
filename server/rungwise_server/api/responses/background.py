"""Responses in the background: they run on in this process when their client has gone.

What comes of one is written to the store twice a second, so that any process can tell how far it is, stream it, or
cancel it: a row that was changed by somebody else is the sign to stop. A row without a sign of life for 30 seconds is
one whose process died; whoever reads it finds it failed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rungwise_server.api.responses.events import DONE
from rungwise_server.api.responses.store import RUNNING, ResponseStore, Row
from rungwise_server.engine import Engine
from rungwise_server.errors import Conflict, NotFound, RungwiseError, Unavailable
from rungwise_server.types import Caller, Delta

if TYPE_CHECKING:
    from rungwise_server.api.responses.surface import ResponsesExchange

logger = logging.getLogger(__name__)

TICK = 0.5  # seconds between two looks at the store, and two batches of events
_BEAT = 5.0  # seconds between two signs of life
_LOOK = 0.25  # seconds between two looks of a stream's reader
_AT_ONCE = 64
_WAITING = 1000


class Background:
    """The responses that run in this process."""

    def __init__(self, engine: Engine, store: ResponseStore, surface: str) -> None:
        self._engine = engine
        self._store = store
        self._surface = surface
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._runs: dict[str, asyncio.Task[None]] = {}

    async def start(self, exchange: "ResponsesExchange", caller: Caller) -> Row:
        """Keep the response as queued, and have it run.

        Raises:
            Unavailable: it cannot be kept, or too many wait already.
        """
        if len(self._runs) >= _WAITING:
            raise Unavailable("Too many background responses wait on this server: try again later.", retry_after=10)
        first = exchange.events.queued()
        body = exchange.body
        body.beat = time.time()
        if body.streamed:
            body.events = _split(first)
        row = await self._store.add(body, exchange.owner)
        id = row.kept.id
        run = _Run(self._engine, self._store, self._surface, exchange, caller, row)
        task = self._runs[id] = asyncio.create_task(run.run(self._slots), name=f"background {id}")
        task.add_done_callback(lambda _: self._runs.pop(id, None))
        return row

    def stop(self, id: str) -> None:
        """Stop working on a response that was cancelled, if this process does; others see it by themselves."""
        if task := self._runs.get(id):
            task.cancel()

    async def close(self) -> None:
        """Stop all of them: the server does."""
        tasks = list(self._runs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def follow(self, row: Row, after: int) -> AsyncIterator[bytes]:
        """The events of a streamed response after the one numbered `after`, as they come, and `[DONE]`."""
        sent = after + 1
        current: Row | None = row
        while current is not None:
            events = current.body.events
            if len(events) > sent:
                yield "".join(events[sent:]).encode()
                sent = len(events)
            if current.body.response.status not in RUNNING:
                break
            await asyncio.sleep(_LOOK)
            current = await self._store.find(row.kept.id, row.kept.owner)
        yield DONE


class _Run:
    """One response on its way."""

    def __init__(
        self,
        engine: Engine,
        store: ResponseStore,
        surface: str,
        exchange: "ResponsesExchange",
        caller: Caller,
        row: Row,
    ) -> None:
        self._engine = engine
        self._store = store
        self._surface = surface
        self._exchange = exchange
        self._caller = caller
        self._row = row
        self._deltas: list[Delta] = []
        self._news = False

    async def run(self, slots: asyncio.Semaphore) -> None:
        """Work on it until it has ended, or another has ended it."""
        working = asyncio.create_task(self._work(slots))
        try:
            while not working.done():
                await asyncio.wait([working], timeout=TICK)
                if not working.done() and not await self._tick():
                    return
            await working
            await self._write()
        except asyncio.CancelledError:
            # Of a client who cancels it, the row says so already, and this changes nothing.
            await _end(working)
            self._failed(Unavailable("The server was stopped in the middle of this response. Send the request again."))
            await self._write()
            raise
        finally:
            await _end(working)

    async def _work(self, slots: asyncio.Semaphore) -> None:
        exchange = self._exchange
        async with slots:
            self._take(exchange.events.begin())
            try:
                async with await self._engine.chat(exchange.request, self._caller, self._surface) as answer:
                    self._take(exchange.found(answer))
                    async for delta in answer:
                        self._deltas.append(delta)
                    self._flush()
                    self._take(exchange.finish(answer) + exchange.events.end())
            except RungwiseError as error:
                self._failed(error)
            except Exception:
                logger.exception("background response %s failed", self._row.kept.id)
                self._failed(RungwiseError("Something in the server failed; its log says what."))

    def _failed(self, error: RungwiseError) -> None:
        self._flush()
        if self._exchange.events.response.status in RUNNING:
            self._take(self._exchange.events.fail(error) + self._exchange.events.end())

    def _take(self, events: bytes) -> None:
        self._news = True
        if self._row.body.streamed:
            self._row.body.events += _split(events)

    def _flush(self) -> None:
        """What came since the last time, as few events as it makes."""
        deltas, self._deltas = self._deltas, []
        for delta in _merged(deltas):
            self._take(self._exchange.delta(delta))

    async def _tick(self) -> bool:
        """Write what is new, and that this process lives; whether the response is still ours."""
        self._flush()
        try:
            if (self._news and self._row.body.streamed) or time.time() - self._row.body.beat > _BEAT:
                return await self._write()
            return await self._store.unchanged(self._row)
        except Unavailable:
            return True  # the database is down: what comes is written when it is back

    async def _write(self) -> bool:
        self._exchange.events.sync()
        self._row.body.beat = time.time()
        self._news = False
        try:
            self._row = await self._store.write(self._row)
        except (Conflict, NotFound):
            return False
        return True


def _split(events: bytes) -> list[str]:
    return [f"{each}\n\n" for each in events.decode().split("\n\n") if each]


def _merged(deltas: list[Delta]) -> list[Delta]:
    """Neighbours that have nothing but text, or thoughts in their wire, as one."""
    merged: list[Delta] = []
    for delta in deltas:
        if merged and _plain(delta) and _plain(merged[-1]):
            had = merged[-1]
            merged[-1] = replace(had, text=had.text + delta.text, wire=had.wire + delta.wire)
        else:
            merged.append(delta)
    return merged


def _plain(delta: Delta) -> bool:
    return not (delta.index or delta.tool_calls or delta.citations or delta.finish_reason or delta.usage)


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
