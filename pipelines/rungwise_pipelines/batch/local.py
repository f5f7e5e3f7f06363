"""A batch file through the engine of this process: what `rungwise batch` does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from rungwise_pipelines.batch.ask import Asker
from rungwise_pipelines.batch.lines import Fault, Limits, Line
from rungwise_pipelines.batch.output import Mark, Output, open_output
from rungwise_pipelines.batch.plan import Plan, read_plan
from rungwise_pipelines.batch.progress import Progress
from rungwise_pipelines.batch.run import Budget, End, Runner, Sink, Tally
from rungwise_pipelines.batch.settled import Settled
from rungwise_server.errors import BadRequest
from rungwise_server.types import Caller

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings

_MARKED = 2_000


class Faulty(BadRequest):
    """The input has lines that are none; nothing was asked."""

    def __init__(self, path: Path, faults: list[Fault], count: int) -> None:
        shown = [f"{path}:{f.line}: {f.message}" if f.line else f"{path}: {f.message}" for f in faults]
        if count > len(faults):
            shown.append(f"and {count - len(faults):,} more")
        super().__init__("\n".join([*shown, "Nothing was asked. Mend the input and run the same command again."]))
        self.faults = faults
        self.count = count


class Task(Struct, frozen=True, kw_only=True):
    """What is to be done. `limit`: only the first so many lines of the input; 0: all."""

    input: Path
    output: Path
    errors: Path
    caller: Caller
    most: int = 256
    budget: Budget = Budget()
    timeout: float = 600.0
    limit: int = 0
    retry_failed: bool = False
    together: bool = True
    limits: Limits = Limits()


def sources_url(settings: "Settings") -> str:
    """The URL before a passage's id, in the citations of answers that no server gave."""
    return f"{settings.server.public_url.rstrip('/') or 'http://localhost'}/v1/sources/"


class Crew(Protocol):
    """Who answers the lines of a batch."""

    def error(self, line: Line, error: Exception) -> bytes:
        """The body of an error as the clients of the line's surface know it."""

    async def run(
        self, lines: Iterator[Line], count: int, task: Task, files: Sink, tally: Tally, told: Callable[[], None]
    ) -> End:
        """Answer `count` lines into `files`, counted in `tally`; `told` is called as they come. Raises SetupError."""


class Here:
    """A Crew of this process alone."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def error(self, line: Line, error: Exception) -> bytes:
        """See Crew."""
        return self._asker.error(line, error)

    async def run(
        self, lines: Iterator[Line], count: int, task: Task, files: Sink, tally: Tally, told: Callable[[], None]
    ) -> End:
        """See Crew."""
        async with Settled(files, self._asker.settle) as results:
            runner = Runner(
                self._asker, results, tally, most=task.most, budget=task.budget, timeout=task.timeout, told=told
            )
            return await runner.run(lines)


class BatchReport(Struct):
    """What a run did. `tally` counts earlier runs of the same batch too; `left` are lines without a result."""

    end: End
    lines: int
    left: int
    before: int
    """Results that earlier runs had."""
    seconds: float
    tally: Tally


async def run_batch(
    task: Task, opened: Callable[[], contextlib.AbstractAsyncContextManager[Crew]], progress: Progress
) -> BatchReport:
    """Do what is left to do of a batch. `opened` gives what answers; it is called once there is something to ask.

    Raises:
        Faulty: the input has lines that are no requests. Nothing was asked, and no file written.
        SetupError: a file cannot be read or written, or belongs to another batch; or the house cannot be opened.
        Conflict: another process works on the same output.
    """
    started = time.monotonic()
    crew: Crew | None = None
    progress.reading(0)
    async with read_plan(task.input, task.limits, told=progress.reading) as plan:
        if plan.faults:
            raise Faulty(task.input, plan.faults, plan.fault_count)
        mark = Mark(plan.fingerprint, ", ".join(sorted(task.caller.principals)), str(task.input))
        with open_output(
            task.output, task.errors, mark, lambda line, error: crew.error(line, error) if crew else b"null"
        ) as files:
            tally = Tally()
            await _recover(files, plan, tally, task.retry_failed)
            before, left = tally.done, plan.left(task.limit)
            end: End = "done"
            if left:
                async with opened() as crew:
                    end = await _run(task, plan, files, tally, crew, progress, left)
            return BatchReport(end, plan.lines, left - (tally.done - before), before, time.monotonic() - started, tally)


async def _run(task: Task, plan: Plan, files: Output, tally: Tally, crew: Crew, progress: Progress, left: int) -> End:
    progress.begin(tally, left)
    try:
        lines = plan.rest(task.limit, together=task.together)
        return await crew.run(lines, left, task, files, tally, lambda: progress.advance(tally))
    finally:
        progress.end()


async def _recover(files: Output, plan: Plan, tally: Tally, retry_failed: bool) -> None:
    async for ids in _pages(files.recover(tally, retry_failed=retry_failed)):
        await asyncio.to_thread(plan.mark, ids)


async def _pages(ids: Iterator[str]) -> AsyncIterator[list[str]]:
    while page := await asyncio.to_thread(list, islice(ids, _MARKED)):
        yield page
