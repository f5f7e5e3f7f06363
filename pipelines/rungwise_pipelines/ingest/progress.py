"""Telling a person how far a run is: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import IO, Protocol, Self


class Progress(Protocol):
    """What the engine tells while it works."""

    @property
    def wants_total(self) -> bool:
        """Whether counting a source's documents first is worth its time."""

    def begin(self, source: str, total: int | None) -> None:
        """A source is being read; `total` of its documents will come, None where nobody can say."""

    def advance(self, *, documents: int = 0, passages: int = 0) -> None:
        """So many more documents are done, so many more passages embedded."""

    def end(self) -> None:
        """The source is done."""


class Silent:
    """Says nothing."""

    wants_total = False

    def begin(self, source: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, *, documents: int = 0, passages: int = 0) -> None:
        """See Progress."""

    def end(self) -> None:
        """See Progress."""


class Lines:
    """A line on standard error each ten seconds, for logs."""

    wants_total = True

    def __init__(self, out: IO[str] | None = None, every: float = 10.0) -> None:
        self._out = out or sys.stderr
        self._every = every
        self._source = ""
        self._total: int | None = None
        self._documents = self._passages = 0
        self._started = self._told = 0.0

    def begin(self, source: str, total: int | None) -> None:
        """See Progress."""
        self._source, self._total = source, total
        self._documents = self._passages = 0
        self._started = self._told = time.monotonic()

    def advance(self, *, documents: int = 0, passages: int = 0) -> None:
        """See Progress."""
        self._documents += documents
        self._passages += passages
        now = time.monotonic()
        if now - self._told < self._every:
            return
        self._told = now
        elapsed = now - self._started
        of = f" of {self._total:,}" if self._total else ""
        rate = f"{self._passages / elapsed:.1f} passages/s"
        left = ""
        if self._total and 0 < self._documents <= self._total:
            left = f", {_duration(elapsed * (self._total / self._documents - 1))} left"
        print(
            f"{self._source}: {self._documents:,}{of} documents, {self._passages:,} passages, {rate}{left}",
            file=self._out,
            flush=True,
        )

    def end(self) -> None:
        """See Progress."""


class Bar:
    """A line that is drawn anew, on a terminal. Use as a context manager: it gives the terminal back."""

    wants_total = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("documents, {task.fields[passages]:,} passages, {task.fields[rate]:.1f}/s", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._rich.add_task("", total=None, visible=False, passages=0, rate=0.0)
        self._passages = 0
        self._started = 0.0

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def begin(self, source: str, total: int | None) -> None:
        """See Progress."""
        self._rich.reset(self._task, description=source, total=total, visible=True, passages=0, rate=0.0)
        self._passages = 0
        self._started = time.monotonic()

    def advance(self, *, documents: int = 0, passages: int = 0) -> None:
        """See Progress."""
        self._passages += passages
        rate = self._passages / max(time.monotonic() - self._started, 1e-3)
        self._rich.update(self._task, advance=documents, passages=self._passages, rate=rate)

    def end(self) -> None:
        """See Progress."""
        self._rich.update(self._task, visible=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
