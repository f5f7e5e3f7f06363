"""Telling a person how far a batch is: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import IO, Protocol, Self

from rungwise_pipelines.batch.run import Tally
from rungwise_pipelines.commands.output import plain


class Progress(Protocol):
    """What a batch tells while it works."""

    def reading(self, lines: int) -> None:
        """So many lines of the input are checked."""

    def begin(self, tally: Tally, left: int) -> None:
        """`left` lines are to be done, beside those that `tally` has from earlier runs."""

    def advance(self, tally: Tally) -> None:
        """Something has changed."""

    def end(self) -> None:
        """The run is over."""


class Silent:
    """Says nothing."""

    def reading(self, lines: int) -> None:
        """See Progress."""

    def begin(self, tally: Tally, left: int) -> None:
        """See Progress."""

    def advance(self, tally: Tally) -> None:
        """See Progress."""

    def end(self) -> None:
        """See Progress."""


class Lines:
    """A line on standard error each ten seconds, for logs."""

    def __init__(self, out: IO[str] | None = None, every: float = 10.0) -> None:
        self._out = out or sys.stderr
        self._every = every
        self._begun = self._told = time.monotonic()
        self._before = self._total = 0

    def reading(self, lines: int) -> None:
        """See Progress."""
        if time.monotonic() - self._told >= self._every:
            self._tell(f"{lines:,} lines checked")

    def begin(self, tally: Tally, left: int) -> None:
        """See Progress."""
        self._before, self._total = tally.done, tally.done + left
        self._begun = self._told = time.monotonic()
        if self._before:
            self._tell(f"going on: {self._before:,} of {self._total:,} lines are done")

    def advance(self, tally: Tally) -> None:
        """See Progress."""
        now = time.monotonic()
        if now - self._told < self._every:
            return
        done = tally.done - self._before
        rate = done / (now - self._begun)
        left = f", {duration((self._total - tally.done) / rate)} left" if done else ""
        self._tell(f"{tally.done:,} of {self._total:,} lines, {told(tally)}, {rate:.1f}/s{left}")

    def end(self) -> None:
        """See Progress."""

    def _tell(self, text: str) -> None:
        self._told = time.monotonic()
        self._out.write(plain(text) + "\n")
        self._out.flush()


class Bar:
    """A line that is drawn anew, on a terminal. Use as a context manager: it gives the terminal back."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._rich.add_task("", total=None)
        self._begun = self._drawn = time.monotonic()
        self._before = 0

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def reading(self, lines: int) -> None:
        """See Progress."""
        self._rich.update(self._task, description="lines checked", completed=lines)

    def begin(self, tally: Tally, left: int) -> None:
        """See Progress."""
        self._before, self._begun = tally.done, time.monotonic()
        self._rich.reset(self._task, total=tally.done + left, completed=tally.done, description="")

    def advance(self, tally: Tally) -> None:
        """See Progress."""
        now = time.monotonic()
        if now - self._drawn < 0.1:
            return
        self._drawn = now
        rate = (tally.done - self._before) / max(now - self._begun, 1e-3)
        text = f"lines, {rate:.1f}/s, {told(tally)}"
        self._rich.update(self._task, completed=tally.done, description=plain(text))

    def end(self) -> None:
        """See Progress."""
        self._rich.update(self._task, visible=False)


def told(tally: Tally) -> str:
    """What was used so far, how many run at once, and what is wrong."""
    parts = [f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens"]
    if tally.cost:
        parts.append(f"cost {tally.cost:,.4f}")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.running:
        parts.append(f"{tally.running} at once")
    if tally.trouble:
        parts.append(f"retrying: {tally.trouble[:120]}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """For people: `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
