"""Telling a person how far a piece of work is: a bar on a terminal, plain lines elsewhere, nothing for programs.

with on_stderr() as shown:
    shown.begin("answers", len(examples))
    for done, example in enumerate(examples, 1):
        ...
        shown.advance(done, f"cost {cost:.4f}")
    shown.end()
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Protocol, Self

from rungwise_pipelines.commands.output import plain


class Shown(Protocol):
    """Where progress is told. Work of several parts begins and ends each of them in turn."""

    @property
    def wants_total(self) -> bool:
        """Whether finding out how much there is to do is worth its time."""

    def begin(self, unit: str, total: int | None, *, done: int = 0, label: str = "") -> None:
        """A part begins.

        Args:
            unit: what is counted, in the plural.
            total: how many there are; None where nobody can say.
            done: how many of them an earlier run has done.
            label: which part this is, where there are several.
        """

    def advance(self, done: int, text: str = "") -> None:
        """So many are done, earlier runs included; `text` says more."""

    def end(self) -> None:
        """The part is done."""


class Silent:
    """Says nothing."""

    wants_total = False

    def begin(self, unit: str, total: int | None, *, done: int = 0, label: str = "") -> None:
        """See Shown."""

    def advance(self, done: int, text: str = "") -> None:
        """See Shown."""

    def end(self) -> None:
        """See Shown."""


class Lines:
    """A line on standard error each ten seconds, for logs."""

    wants_total = True

    def __init__(self, out: IO[str] | None = None, every: float = 10.0) -> None:
        self._out = out or sys.stderr
        self._every = every
        self._unit = self._label = ""
        self._total: int | None = None
        self._before = 0
        self._begun = self._told = 0.0

    def begin(self, unit: str, total: int | None, *, done: int = 0, label: str = "") -> None:
        """See Shown."""
        self._unit, self._total, self._before = unit, total, done
        self._label = f"{label}: " if label else ""
        self._begun = self._told = time.monotonic()
        if done:
            are = "is" if done == 1 else "are"
            self._tell(f"going on: {self._counted(done)} {are} done")

    def advance(self, done: int, text: str = "") -> None:
        """See Shown."""
        now = time.monotonic()
        if now - self._told < self._every:
            return
        self._told = now
        self._tell(", ".join(filter(None, (self._counted(done), text, self._left(done, now - self._begun)))))

    def end(self) -> None:
        """See Shown."""

    def _counted(self, done: int) -> str:
        return f"{done:,} of {self._total:,} {self._unit}" if self._total else f"{done:,} {self._unit}"

    def _left(self, done: int, elapsed: float) -> str:
        new = done - self._before
        if not self._total or new <= 0 or done > self._total:
            return ""
        return f"{duration(elapsed * (self._total - done) / new)} left"

    def _tell(self, text: str) -> None:
        self._out.write(plain(self._label + text) + "\n")
        self._out.flush()


class Bar:
    """A line that is drawn anew, on a terminal. Use as a context manager: it gives the terminal back."""

    wants_total = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._rich = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._rich.add_task("", total=None, visible=False, text="")
        self._unit = ""
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def begin(self, unit: str, total: int | None, *, done: int = 0, label: str = "") -> None:
        """See Shown."""
        self._unit = unit
        self._rich.reset(self._task, total=total, completed=done, visible=True, description=plain(label), text=unit)

    def advance(self, done: int, text: str = "") -> None:
        """See Shown."""
        now = time.monotonic()
        if now - self._drawn < 0.1:
            return
        self._drawn = now
        self._rich.update(self._task, completed=done, text=plain(", ".join(filter(None, (self._unit, text)))))

    def end(self) -> None:
        """See Shown."""
        self._rich.update(self._task, visible=False)


@contextmanager
def on_stderr() -> Iterator[Shown]:
    """A bar where standard error is a terminal, else a line each ten seconds."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with Bar() as bar:
        yield bar


def duration(seconds: float) -> str:
    """For people: `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
