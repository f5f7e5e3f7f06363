"""Sums that show their working: each figure with its range, its formula in words and where it is from.

A figure is a value and, beside it, `DRAWS` draws of what it may be in truth. What is given has a range (the truth is as
likely above its value as below) or draws of its own; what is reckoned is reckoned from the values and, draw by draw,
from the draws: uncertainty propagates by Monte Carlo. The range that is told holds nine tenths of the draws.

Draws depend on the figure's name and nothing else, so that the same question has the same answer, and so that two
worlds (today's volume, ten times it) differ by what is different in them alone.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from rungwise_server.ledger.assumptions import Assumption
from rungwise_server.records import FeedbackKind, LogQuery

Floats = NDArray[np.float64]

DRAWS = 2000
INSIDE = 0.9
"""The share of the draws that a told range holds."""

Unit = Literal["money", "money/year", "requests/day", "requests", "share", "months", "hours", "tokens", "count", ""]


class Rows(Struct, frozen=True):
    """Rows of the log: what a query finds, narrowed by what no query can ask for."""

    query: LogQuery
    count: int
    candidate: str = ""
    kinds: tuple[FeedbackKind, ...] = ()
    """Of feedback: of one of these kinds."""
    above: float | None = None
    """Of ratings and grades: with a value above this."""
    people: bool = False
    """Of grades: given by people."""
    rubric: str = ""
    """Of grades: under this one."""
    only_housekeeping: bool = False
    only_own: bool = False
    """Of answers: those that our own programs asked for, and no others."""


class Source(Struct, frozen=True):
    """Where a figure is from: rows of the log, a key of the configuration, an assumption that is ours (or a
    publication's, which `told` names), or other lines.
    """

    kind: Literal["log", "config", "assumption", "lines", "kept"]
    told: str
    rows: tuple[Rows, ...] = ()
    lines: tuple[str, ...] = ()
    """Names of the lines that it is reckoned from."""


class Line(Struct, frozen=True):
    """One figure. `value` is None where nobody knows; a payback that never comes is infinite."""

    name: str
    """`support/finetuned/training`: what `--trace` takes."""
    label: str
    formula: str
    value: float | None
    low: float | None
    high: float | None
    unit: Unit
    source: Source


@dataclass(frozen=True, eq=False)
class Figure:
    """A line, with the draws behind its range."""

    line: Line
    value: float
    draws: Floats

    @property
    def name(self) -> str:
        """The line's."""
        return self.line.name


class Sheet:
    """Figures under one heading, in the order in which they were put down. A `certain` one reckons with values alone,
    which takes a tenth of the time: its ranges say nothing.
    """

    def __init__(self, heading: str, *, certain: bool = False) -> None:
        self._heading = heading
        self.certain = certain
        self.figures: list[Figure] = []

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown of it."""
        return tuple(figure.line for figure in self.figures)

    def __getitem__(self, name: str) -> Figure:
        """The figure of that name, put down before."""
        return next(figure for figure in self.figures if figure.name == f"{self._heading}/{name}")

    def given(
        self,
        name: str,
        label: str,
        formula: str,
        value: float,
        unit: Unit,
        source: Source,
        *,
        low: float | None = None,
        high: float | None = None,
        draws: Floats | None = None,
    ) -> Figure:
        """A figure that is known from elsewhere: exactly, between `low` and `high`, or as `draws` say."""
        if self.certain:
            draws = np.full(1, value)
        elif draws is None:
            draws = around(name, value if low is None else low, value, value if high is None else high)
        return self._put(name, label, formula, value, unit, source, draws)

    def reckon(
        self, name: str, label: str, formula: str, unit: Unit, make: Callable[..., Floats], *of: Figure
    ) -> Figure:
        """A figure that `make` makes of others: of numbers, and of arrays of draws."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = float(make(*(np.float64(figure.value) for figure in of)))
            draws = np.full(1, value)
            if not self.certain:
                draws = np.broadcast_to(np.asarray(make(*(figure.draws for figure in of)), dtype=np.float64), (DRAWS,))
        source = Source("lines", "", lines=tuple(figure.name for figure in of))
        return self._put(name, label, formula, value, unit, source, draws)

    def total(self, name: str, label: str, formula: str, unit: Unit, *of: Figure) -> Figure:
        """The sum of others."""
        return self.reckon(name, label, formula, unit, lambda *values: np.asarray(sum(values, np.float64(0.0))), *of)

    def assume(self, name: str, label: str, assumption: Assumption) -> Figure:
        """An assumption."""
        low, mode, high = assumption.range
        return self.given(name, label, "assumed", mode, "", Source("assumption", assumption.told), low=low, high=high)

    def not_known(self, figure: Figure) -> Figure:
        """The same line without its figure: what it is reckoned from is not known."""
        line = replace(figure.line, value=None, low=None, high=None)
        without = Figure(line, figure.value, figure.draws)
        self.figures[self.figures.index(figure)] = without
        return without

    def _put(
        self, name: str, label: str, formula: str, value: float, unit: Unit, source: Source, draws: Floats
    ) -> Figure:
        low, high = (value, value) if self.certain else range_of(draws, value)
        full = f"{self._heading}/{name}"
        figure = Figure(Line(full, label, formula, value, low, high, unit, source), value, draws)
        self.figures.append(figure)
        return figure


def range_of(draws: Floats, value: float) -> tuple[float, float]:
    """The ends between which `INSIDE` of the draws lie, widened to hold `value`."""
    tail = (1 - INSIDE) / 2
    # An interpolated quantile beside an infinite draw would be no number.
    low, high = np.quantile(draws, (tail, 1 - tail), method="inverted_cdf")
    return min(float(low), value), max(float(high), value)


def around(name: str, low: float, middle: float, high: float) -> Floats:
    """Draws between `low` and `high`, half of them on each side of `middle`, on either side fewer the further away."""
    if not low < high:
        return np.full(DRAWS, middle)
    chance = seeded(name)
    distance = 1 - np.sqrt(chance.random(DRAWS))
    above = chance.random(DRAWS) < 0.5
    return np.asarray(np.where(above, middle + (high - middle) * distance, middle - (middle - low) * distance))


def shares(name: str, mean: float, low: float, high: float) -> Floats:
    """Draws of a share with a 95 % interval: of the beta distribution of that mean and nearly that width."""
    if not low < high:
        return np.full(DRAWS, mean)
    inner = min(max(mean, 0.005), 0.995)
    worth = max(inner * (1 - inner) / ((high - low) / 3.92) ** 2 - 1, 1.0)
    return np.asarray(seeded(name).beta(inner * worth, (1 - inner) * worth, DRAWS))


def seeded(name: str) -> np.random.Generator:
    """The source of chance of everything called `name`, the same in every run."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def assumed(told: str) -> Source:
    """An assumption, and who makes it."""
    return Source("assumption", told)


def configured(key: str) -> Source:
    """A key of the configuration."""
    return Source("config", key)


def priced_by(where: str) -> Source:
    """A price: of the configuration, or of a table that others keep."""
    return configured(where) if where.startswith("candidates.") else assumed(where)


def logged(told: str, *rows: Rows) -> Source:
    """Rows of the log."""
    return Source("log", told, rows=rows)


def matters_most(outcome: Figure, inputs: Sequence[Figure]) -> Figure | None:
    """The input whose draws go along most with those of `outcome` (Spearman's rank correlation); None where nothing
    varies.
    """
    ranks = _ranks(outcome.draws)
    best, found = 0.0, None
    for figure in inputs:
        strength = abs(_correlation(_ranks(figure.draws), ranks))
        if strength > best + 1e-9:
            best, found = strength, figure
    return found


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[inverse], dtype=np.float64)


def _correlation(a: Floats, b: Floats) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0
