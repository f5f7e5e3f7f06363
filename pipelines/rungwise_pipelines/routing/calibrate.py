"""From scores to probabilities: a monotone curve, found on predictions of rows that were left out, and its error.

Two curves are tried: Platt's sigmoid (Platt, 1999), which needs few outcomes, and isotonic regression (Zadrozny and
Elkan, 2002), which takes any shape. Which one is kept is decided by cross-validation.
"""

from typing import Literal

import numpy as np
from msgspec import Struct

from rungwise_pipelines.routing.outcomes import Floats

Method = Literal["platt", "isotonic"]

KNOTS = 64
_FOLDS = 5
_STEPS = 50
_BINS = 15


class Curve(Struct, frozen=True):
    """`scores`, ascending, and the probability at each, never descending; both of shape (KNOTS,)."""

    scores: Floats
    probabilities: Floats

    def of(self, scores: Floats) -> Floats:
        """The probabilities at `scores`."""
        return np.interp(scores, self.scores, self.probabilities)


class Calibrated(Struct, frozen=True):
    """A curve, how it was found, and `left_out`: each row's probability by a curve that did not know its outcome."""

    curve: Curve
    method: Method
    left_out: Floats


def curve_of(scores: Floats, outcomes: Floats, seed: int = 0) -> Calibrated:
    """Calibrate `scores` to `outcomes` (0 to 1, NaN where unknown), both of shape (n,)."""
    known = np.flatnonzero(np.isfinite(outcomes))
    fold = np.random.default_rng(seed).permutation(len(scores)) % _FOLDS
    tried: dict[Method, Floats] = {"platt": np.empty(len(scores)), "isotonic": np.empty(len(scores))}
    for part in range(_FOLDS):
        train = known[fold[known] != part]
        for method, left_out in tried.items():
            left_out[fold == part] = _curve(method, scores[train], outcomes[train]).of(scores[fold == part])
    # The smooth curve keeps the order of near estimates, so steps must be better by more than chance.
    gain = (tried["platt"][known] - outcomes[known]) ** 2 - (tried["isotonic"][known] - outcomes[known]) ** 2
    best: Method = "isotonic" if gain.mean() > gain.std() / len(gain) ** 0.5 else "platt"
    return Calibrated(_curve(best, scores[known], outcomes[known]), best, tried[best])


def _curve(method: Method, scores: Floats, outcomes: Floats) -> Curve:
    ends = np.quantile(scores, [0.0, 1.0])
    margin = 0.25 * max(float(ends[1] - ends[0]), 1e-3)
    if method == "platt":
        at = np.linspace(ends[0] - margin, ends[1] + margin, KNOTS)
        return Curve(at, platt(scores, outcomes, at))
    return isotonic(scores, outcomes)


def platt(scores: Floats, outcomes: Floats, at: Floats) -> Floats:
    """The logistic regression of `outcomes` on `scores`, at other scores; by Newton's method, a little held back, and
    never descending.
    """
    middle, spread = scores.mean(), max(float(scores.std()), 1e-6)
    x = np.stack([np.ones(len(scores)), (scores - middle) / spread], axis=1)
    slope = np.zeros(2)
    held = np.diag([1e-3, 1.0])
    for _ in range(_STEPS):
        likely = _sigmoid(x @ slope)
        step = np.linalg.solve(
            (x.T * (likely * (1 - likely))) @ x + held + 1e-9 * np.eye(2), x.T @ (outcomes - likely) - held @ slope
        )
        slope += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-8:
            break
    found: Floats = _sigmoid(slope[0] + max(slope[1], 0.0) * (at - middle) / spread)
    return found


def isotonic(scores: Floats, outcomes: Floats) -> Curve:
    """The best curve that never descends (pool adjacent violators), through the middles of its steps.

    Each end step is drawn towards the mean by one outcome, so that nothing is ever certain.
    """
    order = np.argsort(scores, kind="stable")
    pooled: list[tuple[float, float, float]] = []  # the sums of outcomes, of scores, and how many
    for score, outcome in zip(scores[order], outcomes[order], strict=True):
        pooled.append((float(outcome), float(score), 1.0))
        while len(pooled) > 1 and pooled[-2][0] * pooled[-1][2] >= pooled[-1][0] * pooled[-2][2]:
            last, before = pooled.pop(), pooled.pop()
            pooled.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    sums, places, counts = (np.array(part) for part in zip(*pooled, strict=True))
    mean = outcomes.mean()
    steps = np.maximum.accumulate((sums + mean) / (counts + 1))
    middles = places / counts
    at = np.linspace(middles[0], middles[-1] + 1e-6, KNOTS)
    return Curve(at, np.interp(at, middles, steps))


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))
    return found


class Bin(Struct, frozen=True):
    """Estimates of about the same size: their mean, the mean outcome, and how many."""

    said: float
    was: float
    count: int


class Calibration(Struct, frozen=True):
    """How true probabilities are: the mean distance between what was said and what was, in bins of equal mass (ECE;
    `chance` is what a perfect estimator would show on so few outcomes), and the mean squared error (Brier).
    """

    ece: float
    chance: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(said: Floats, was: Floats, seed: int = 0) -> Calibration:
    """Of probabilities `said` and outcomes, both of shape (n,); NaN outcomes are left out."""
    known = np.isfinite(was)
    said, was = said[known], was[known]
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    bins = tuple(Bin(float(said[part].mean()), float(was[part].mean()), len(part)) for part in parts)
    draw = np.random.default_rng(seed)
    perfect = [_distance((draw.random(len(said)) < said).astype(float), said, parts) for _ in range(100)]
    return Calibration(_distance(was, said, parts), float(np.mean(perfect)), float(((said - was) ** 2).mean()), bins)


def _distance(was: Floats, said: Floats, parts: list[np.ndarray]) -> float:
    return sum(abs(float(was[part].mean() - said[part].mean())) * len(part) for part in parts) / len(said)
