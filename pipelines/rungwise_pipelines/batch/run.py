"""Lines through the engine, many at once, each tried until it is answered or cannot be.

A line is tried again, whole, only after what another attempt can mend: a limit, a timeout, a part that is away, a model
that failed. While hardly any line gets an answer the upstream is taken to be down: nobody's attempts are used up by
that, and after `patience` the run ends, to be taken up again.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from msgspec import Struct

from rungwise_pipelines.batch.ask import Answered
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.pace import Pace
from rungwise_server.errors import RungwiseError, SetupError, UpstreamLimited, UpstreamTimeout

logger = logging.getLogger(__name__)

End = Literal["done", "budget", "unpriced", "upstream", "stopped"]
"""Why a run ended: every line has its result; the next line might exceed the budget; a budget of money cannot be kept,
for a model's price is not known; the upstream stayed away; `stop` was called."""

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_DOWN = 5
"""Lines that fail one after the other, none being answered, from which the upstream is taken to be down."""


class Asking(Protocol):
    """Answers a line."""

    async def __call__(self, line: Line) -> Answered:
        """The answer. Raises RungwiseError."""


class Sink(Protocol):
    """Where results go. Each line comes once."""

    def answered(self, line: Line, answer: Answered) -> None:
        """It was answered."""

    def failed(self, line: Line, error: Exception) -> None:
        """It cannot be answered."""


class Budget(Struct, frozen=True):
    """What all lines together may use; None: no limit. `cost` in the configuration's currency."""

    cost: float | None = None
    tokens: int | None = None


class Tally(Struct):
    """How far a batch is. `trouble` is the last reason for which something had to be tried again; it is empty while
    all goes well.
    """

    answered: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    retries: int = 0
    running: int = 0
    limit: int = 0
    trouble: str = ""

    @property
    def done(self) -> int:
        """Lines that have their result."""
        return self.answered + self.failed

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    def add(self, answer: Answered) -> None:
        """Count an answer."""
        self.answered += 1
        if answer.usage is not None:
            self.input_tokens += answer.usage.input_tokens
            self.output_tokens += answer.usage.output_tokens
            self.cached_tokens += answer.usage.cached_tokens
        self.cost += answer.cost or 0.0


class Runner:
    """Runs lines. `tally` may have been counted up by an earlier run: the budget is for both together.

    Args:
        most: how many lines run at once at most.
        timeout: seconds for one attempt at a line.
        attempts: how often a line is tried.
        patience: seconds without an answer after which the upstream is given up.
    """

    def __init__(
        self,
        ask: Asking,
        sink: Sink,
        tally: Tally,
        *,
        most: int = 256,
        budget: Budget | None = None,
        timeout: float = 600.0,
        attempts: int = 6,
        patience: float = 600.0,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._ask, self._sink, self._tally = ask, sink, tally
        self._budget, self._timeout, self._attempts, self._patience = budget or Budget(), timeout, attempts, patience
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(2 * most)
        self._failing: set[int] = set()
        self._answered_at = self._loop.time()
        self._end: End = "done"
        self._over = asyncio.Event()
        self._crash: BaseException | None = None

    async def run(self, lines: Iterator[Line]) -> End:
        """Take all lines, or as many as may be. Cancelling it cancels those that are running.

        Raises:
            SetupError: a person must mend something before it can go on.
        """
        feeding = asyncio.ensure_future(self._feed(lines))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({feeding, over}, return_when=asyncio.FIRST_COMPLETED)
            if not feeding.done():
                feeding.cancel()
            await asyncio.wait({feeding})
            if not feeding.cancelled():
                feeding.result()
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in (feeding, over, *self._tasks):
                task.cancel()
            await asyncio.gather(feeding, over, *self._tasks, return_exceptions=True)
        if self._crash is not None:
            raise self._crash
        return self._end

    def stop(self, end: End = "stopped", *, at_once: bool = False) -> None:
        """Begin no more lines; with `at_once`, leave those that are running."""
        if self._end == "done":
            self._end = end
        self._over.set()
        for task in self._tasks:
            if at_once or task.get_name() == "waiting":
                task.cancel()

    async def _feed(self, lines: Iterator[Line]) -> None:
        for line in lines:
            if self._room.locked():
                self._pace.idle()
            await self._room.acquire()
            entered = await self._pace.enter()
            if self._end == "done" and not self._affordable():
                self.stop("budget")
            if self._end != "done":
                self._pace.left()
                return
            task = asyncio.create_task(self._one(line, entered))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        self._pace.idle()

    def _affordable(self) -> bool:
        """Whether one more line, at the mean so far, stays within the budget together with those that run."""
        tally, budget = self._tally, self._budget
        more = self._pace.running / max(tally.answered, 1)
        return (budget.cost is None or tally.cost * (1 + more) <= budget.cost) and (
            budget.tokens is None or tally.tokens * (1 + more) <= budget.tokens
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash = self._crash or error
            self.stop("stopped", at_once=True)
        self._tell()

    def _tell(self) -> None:
        self._tally.running, self._tally.limit = self._pace.running, int(self._pace.limit)
        self._told()

    async def _one(self, line: Line, entered: int) -> None:
        """A line to its result."""
        first = self._loop.time()
        attempt = 0
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                attempt += 1
                error = await self._attempt(line, entered)
                if error is None:
                    return
                self._failing.add(line.number)
                if self._given_up(error, attempt, first):
                    self._tally.failed += 1
                    self._sink.failed(line, error)
                    return
                self._tally.retries += 1
                self._tally.trouble = str(error)
                if self._end != "done":
                    return
                if self._loop.time() - max(self._answered_at, first) > self._patience:
                    self.stop("upstream")
                    return
                task.set_name("waiting")
                await asyncio.sleep(_wait(attempt, error))
                entered = await self._pace.enter()
                task.set_name("running")
        finally:
            self._failing.discard(line.number)

    async def _attempt(self, line: Line, entered: int) -> Exception | None:
        """What went wrong; None where the line has its answer."""
        pace = self._pace
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask(line)
        except TimeoutError:
            error: Exception = UpstreamTimeout(f"not answered within {self._timeout:g} s", code="request_timeout")
            pace.refused(entered)
            return error
        except SetupError:
            pace.left()
            raise
        except RungwiseError as raised:
            if _retryable(raised):
                pace.refused(entered, raised.retry_after)
            else:
                self._answered_at = self._loop.time()
                pace.left()
            return raised
        except Exception as raised:
            pace.left()
            logger.error("line %d failed unexpectedly", line.number, exc_info=raised)
            return raised
        except BaseException:
            pace.left()
            raise
        self._answered_at = self._loop.time()
        self._tally.trouble = ""
        self._tally.add(answer)
        pace.answered()
        self._sink.answered(line, answer)
        if self._budget.cost is not None and answer.cost is None:
            self.stop("unpriced")
        return None

    def _given_up(self, error: Exception, attempt: int, first: float) -> bool:
        if not isinstance(error, RungwiseError) or not _retryable(error):
            return True
        down = len(self._failing) >= _DOWN and self._answered_at < first
        return attempt >= self._attempts and not down


def _retryable(error: RungwiseError) -> bool:
    """Whether another attempt can mend it."""
    return error.status >= 500 or error.status == 408 or isinstance(error, UpstreamLimited)


def _wait(attempt: int, error: Exception) -> float:
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
    return max(wait, getattr(error, "retry_after", None) or 0.0)
