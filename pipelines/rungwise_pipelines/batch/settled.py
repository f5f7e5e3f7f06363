"""Results on their way to the files: held until the log has their rows, so that each answer written can be rated."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from rungwise_pipelines.batch.ask import Answered
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.run import Sink

_GATHERED = 0.1  # seconds between two writes: the log takes many rows for the price of a few


class Settled:
    """A Sink before another, `into`. `settle` returns once what was logged before is safe.

    Use it as an async context manager: when the block ends, also by an error, all results are written.
    """

    def __init__(self, into: Sink, settle: Callable[[], Awaitable[None]]) -> None:
        self._into, self._settle = into, settle
        self._held: list[Callable[[], None]] = []
        self._writing: asyncio.Task[None] | None = None

    def answered(self, line: Line, answer: Answered) -> None:
        """See Sink. Raises what an earlier write failed with."""
        self._hold(lambda: self._into.answered(line, answer))

    def failed(self, line: Line, error: Exception) -> None:
        """See Sink. Raises what an earlier write failed with."""
        self._hold(lambda: self._into.failed(line, error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing})
            if error is None:
                self._writing.result()
        await self._write()

    def _hold(self, write: Callable[[], None]) -> None:
        writing = self._writing
        if writing is not None and writing.done():
            writing.result()
        if writing is None or writing.done():
            self._writing = asyncio.create_task(self._soon())
        self._held.append(write)

    async def _soon(self) -> None:
        await asyncio.sleep(_GATHERED)
        await self._write()

    async def _write(self) -> None:
        held, self._held = self._held, []
        if held:
            await self._settle()
        for write in held:
            write()
