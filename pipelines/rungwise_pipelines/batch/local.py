"""A batch file through the engine of this process: what `rungwise batch` does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct

from rungwise_pipelines.batch.ask import Asker
from rungwise_pipelines.batch.lines import Fault, Limits
from rungwise_pipelines.batch.output import Mark, Output, open_output
from rungwise_pipelines.batch.plan import Plan, read_plan
from rungwise_pipelines.batch.progress import Progress
from rungwise_pipelines.batch.run import Budget, End, Runner, Tally
from rungwise_pipelines.batch.settled import Settled
from rungwise_server.errors import BadRequest
from rungwise_server.types import Caller

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
    task: Task, opened: Callable[[], contextlib.AbstractAsyncContextManager[Asker]], progress: Progress
) -> BatchReport:
    """Do what is left to do of a batch. `opened` gives what answers; it is called once there is something to ask.

    Raises:
        Faulty: the input has lines that are no requests. Nothing was asked, and no file written.
        SetupError: a file cannot be read or written, or belongs to another batch; or the house cannot be opened.
        Conflict: another process works on the same output.
    """
    started = time.monotonic()
    asker: Asker | None = None
    progress.reading(0)
    async with read_plan(task.input, task.limits, told=progress.reading) as plan:
        if plan.faults:
            raise Faulty(task.input, plan.faults, plan.fault_count)
        mark = Mark(plan.fingerprint, ", ".join(sorted(task.caller.principals)), str(task.input))
        with open_output(
            task.output, task.errors, mark, lambda line, error: asker.error(line, error) if asker else b"null"
        ) as files:
            tally = Tally()
            await _recover(files, plan, tally, task.retry_failed)
            before, left = tally.done, plan.left(task.limit)
            end: End = "done"
            if left:
                async with opened() as asker:
                    end = await _run(task, plan, files, tally, asker, progress, left)
            return BatchReport(end, plan.lines, left - (tally.done - before), before, time.monotonic() - started, tally)


async def _run(task: Task, plan: Plan, files: Output, tally: Tally, asker: Asker, progress: Progress, left: int) -> End:
    progress.begin(tally, left)
    try:
        async with Settled(files, asker.settle) as results:
            runner = Runner(
                asker,
                results,
                tally,
                most=task.most,
                budget=task.budget,
                timeout=task.timeout,
                told=lambda: progress.advance(tally),
            )
            return await runner.run(plan.rest(task.limit, together=task.together))
    finally:
        progress.end()


async def _recover(files: Output, plan: Plan, tally: Tally, retry_failed: bool) -> None:
    async for ids in _pages(files.recover(tally, retry_failed=retry_failed)):
        await asyncio.to_thread(plan.mark, ids)


async def _pages(ids: Iterator[str]) -> AsyncIterator[list[str]]:
    while page := await asyncio.to_thread(list, islice(ids, _MARKED)):
        yield page
