"""From which estimate on a cheaper candidate may answer, so that a promise about quality is kept.

A policy is one number: the cheapest candidate that clears the threshold answers, and where none does, the strongest.
Which threshold keeps the promise is told by held-out outcomes, whatever the estimates are worth: thresholds are tested
one after the other, from never leaving the strongest downwards, and the last one before the first failure is taken
(Learn then Test with fixed sequence testing; Angelopoulos et al., 2021). The probability that the chosen policy misses
the target is then at most 1 - confidence, for any distribution and any estimator, as long as the outcomes are of the
traffic that is routed and the estimator has not seen them.

Each test is exact: of right-or-wrong scores against an absolute target by the binomial distribution, of all else by
the fortune of bets against the claim that the target is missed (Waudby-Smith and Ramdas, 2024).
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from rungwise_server.judging.certificates import beta

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

NEVER = 2.0
"""A threshold that no estimate clears: everything goes to the strongest."""

_GRID = np.linspace(1.0, 0.0, 401)
_MOST = 0.75  # of the fortune that one bet may lose
_POWER = 0.84  # the normal quantile of four in five: `needed` outcomes are enough so often
_LEAST_SHARE = 0.05  # of requests that a policy must take from the strongest to be worth asking for
_TELLING = 30  # outcomes, from which on they say how many more are needed
_TARGET = "write a number from 0 to 1, or `0.95 of strongest`"

Rule = Literal["level", "regret"]
"""What is held against the threshold: P(good enough) itself, or one minus what it lacks to the strongest's."""


class Target(Struct, frozen=True):
    """The mean score that routed answers must have: `level`, or that share of the strongest candidate's."""

    level: float
    relative: bool = False

    @staticmethod
    def read(text: str) -> "Target":
        """`0.9`, or `0.95 of strongest`. Raises ValueError."""
        number, of, whom = text.strip().partition(" of ")
        try:
            level = float(number)
        except ValueError:
            raise ValueError(f"{text!r} is no target: {_TARGET}") from None
        if not 0 < level <= 1 or (of and whom.strip() != "strongest"):
            raise ValueError(f"{text!r} is no target: {_TARGET}")
        return Target(level, bool(of))

    def __str__(self) -> str:
        return f"{self.level:g} of strongest" if self.relative else f"{self.level:g}"


class Promise(Struct, frozen=True):
    """What held-out outcomes allow to promise. Qualities are mean scores, money is for one request."""

    threshold: float
    held: bool
    """Whether, at `confidence`, the policy of `threshold` reaches the target. False: nothing can be promised of any
    cheaper candidate, `threshold` is NEVER and the strongest answers everything."""
    target: Target
    confidence: float
    rule: Rule
    outcomes: int
    quality: float
    """Of the routed answers, on the held-out outcomes."""
    low: float
    """Its lower bound at `confidence`, of this policy looked at alone."""
    strongest: float
    """The strongest candidate's quality, on the same."""
    shares: tuple[float, ...]
    """Of the requests, for each candidate."""
    cost: float
    strongest_cost: float
    needed: int | None
    """How many more outcomes would likely be enough, where nothing could be promised; 0 where it could; None where
    no number would do: no cheaper policy looks good enough."""
    why: str


def clearance(estimates: ArrayLike, strongest: int, rule: Rule) -> Floats:
    """What is held against a threshold, from estimates of shape (requests, candidates)."""
    given = np.asarray(estimates, dtype=np.float64)
    return given if rule == "level" else np.minimum(1.0, 1.0 + given - given[:, strongest : strongest + 1])


def choose(clear: Floats, ladder: Sequence[int], strongest: int, threshold: float) -> Indices:
    """The first candidate of `ladder` (cheapest first) that clears the threshold, for each request; else the
    strongest. Those that stand after the strongest, and estimates that are no number, are never chosen.
    """
    chosen = np.full(len(clear), strongest, dtype=np.intp)
    climbing = list(ladder)
    for candidate in reversed(climbing[: climbing.index(strongest)]):
        chosen[clear[:, candidate] >= threshold] = candidate
    return chosen


def ladder_of(costs: ArrayLike) -> list[int]:
    """Candidates by their cost, cheapest first; those whose cost is not known last."""
    given = np.asarray(costs, dtype=np.float64)
    return [int(at) for at in np.argsort(np.where(np.isnan(given), np.inf, given), kind="stable")]


def threshold_of(
    estimates: ArrayLike,
    scores: ArrayLike,
    costs: ArrayLike,
    strongest: int,
    target: Target,
    *,
    confidence: float = 0.9,
    rule: Rule = "regret",
) -> Promise:
    """The cheapest policy that reaches `target` with `confidence`.

    Args:
        estimates: P(good enough), shape (outcomes, candidates), of outcomes that the estimator has not seen.
        scores: how good each answer was, from 0 to 1, of the same shape.
        costs: money for a request, of each candidate.
        strongest: the candidate that answers where none clears; chosen before these outcomes were looked at.

    Raises:
        ValueError: shapes do not fit together, or a score is not from 0 to 1.
    """
    scored = np.asarray(scores, dtype=np.float64)
    money = np.asarray(costs, dtype=np.float64)
    guessed = np.asarray(estimates, dtype=np.float64).reshape(scored.shape)
    if scored.ndim != 2 or money.shape != scored.shape[1:]:
        raise ValueError(f"estimates, scores and costs do not fit together: {scored.shape} and {money.shape}")
    if not np.all((scored >= 0) & (scored <= 1)):
        raise ValueError("a score is missing, or not from 0 to 1: leave incomplete outcomes out")
    # Bets are placed in order, and an order that means something (by subject, by day) would place them badly.
    mixed = np.random.default_rng(0).permutation(len(scored))
    data = _Held(clearance(guessed[mixed], strongest, rule), scored[mixed], ladder_of(money), strongest)
    test = _Test(target, confidence, data)
    best, failing = _descend(data, test)
    held = best is not None
    chosen = data.choose(NEVER if best is None else best)
    routed = data.of(chosen)
    needed: int | None = 0
    if held:
        why = f"holds at {confidence:.0%} confidence on {len(scored):,} outcomes"
    else:
        needed = _needed(data, test)
        why = _refusal(needed, len(scored), failing)
    shares = np.bincount(chosen, minlength=scored.shape[1]) / max(1, len(scored))
    return Promise(
        NEVER if best is None else best,
        held,
        target,
        confidence,
        rule,
        len(scored),
        _mean(routed),
        lower_bound(routed, confidence),
        _mean(scored[:, strongest]),
        tuple(float(share) for share in shares),
        float(np.sum(shares * np.where(shares > 0, money, 0.0))) if len(scored) else float(money[strongest]),
        float(money[strongest]),
        needed,
        why,
    )


def lower_bound(values: ArrayLike, confidence: float) -> float:
    """The largest mean that `values` (from 0 to 1) show to be exceeded, at `confidence`."""
    given = np.asarray(values, dtype=np.float64)
    low, high = 0.0, _mean(given)
    for _ in range(30):
        middle = (low + high) / 2
        if fortune(given, middle, confidence) >= -math.log(1 - confidence):
            low = middle
        else:
            high = middle
    return low


def fortune(values: Floats, claimed: float, confidence: float) -> float:
    """The logarithm of the largest fortune, from one, of betting against "the mean of `values` (from 0 to 1) is at
    most `claimed`". Where that is true it ever exceeds log(1 / p) with a probability of at most p.
    """
    count = len(values)
    if not count or claimed <= 0:
        return 0.0 if claimed > 0 or not count or _mean(values) <= 0 else math.inf
    before = np.arange(1, count + 1)
    sums = np.concatenate([[0.5], 0.5 + np.cumsum(values)])
    means = sums[1:] / (before + 1)
    spread = np.concatenate([[0.25], 0.25 + np.cumsum((values - means) ** 2)])[:-1] / before
    stakes = np.minimum(np.sqrt(-2 * math.log(1 - confidence) / (count * spread)), _MOST / claimed)
    return max(0.0, float(np.max(np.cumsum(np.log1p(stakes * (values - claimed))))))


class _Held:
    """The held-out outcomes, in mixed order."""

    def __init__(self, clear: Floats, scores: Floats, ladder: list[int], strongest: int) -> None:
        self.clear, self.scores, self.ladder, self.strongest = clear, scores, ladder, strongest

    def choose(self, threshold: float) -> Indices:
        return choose(self.clear, self.ladder, self.strongest, threshold)

    def of(self, chosen: Indices) -> Floats:
        return self.scores[np.arange(len(chosen)), chosen]


class _Test:
    """Whether outcomes show that a policy reaches the target."""

    def __init__(self, target: Target, confidence: float, data: _Held) -> None:
        self.confidence = confidence
        self.level = target.level
        self.relative = target.relative
        self._best = data.scores[:, data.strongest]
        self._exact = not target.relative and bool(np.all((data.scores == 0) | (data.scores == 1)))

    @property
    def null(self) -> float:
        """What the mean of `margins` must exceed."""
        return self.level / (1 + self.level) if self.relative else self.level

    def margins(self, routed: Floats) -> Floats:
        """From 0 to 1."""
        return (routed - self.level * self._best + self.level) / (1 + self.level) if self.relative else routed

    def passes(self, routed: Floats) -> bool:
        if self._exact:
            good, count = float(np.sum(routed)), len(routed)
            # P(X >= good) of X ~ Binomial(count, level)
            return good > 0 and float(beta.cdf(self.level, good, count - good + 1)) <= 1 - self.confidence
        return fortune(self.margins(routed), self.null, self.confidence) >= -math.log(1 - self.confidence)


def _descend(data: _Held, test: _Test) -> tuple[float | None, bool]:
    """The threshold of the last policy before the first that fails, None where that is no cheaper one at all; and
    whether the strongest alone fails.
    """
    best: float | None = None
    before = data.choose(NEVER)
    # Of a relative target the strongest is no question: it has all of its own quality.
    if not test.relative and not test.passes(data.of(before)):
        return None, True
    for threshold in _GRID:
        chosen = data.choose(float(threshold))
        if np.array_equal(chosen, before):
            continue
        if not test.passes(data.of(chosen)):
            break
        best, before = float(threshold), chosen
    return best, False


def _needed(data: _Held, test: _Test) -> int | None:
    """How many more outcomes like these let the first policy pass that takes something from the strongest."""
    logs = -math.log(1 - test.confidence)

    def enough(ahead: float, spread: float) -> float:
        by_spread = (math.sqrt(2 * logs) + _POWER) ** 2 * spread / ahead**2
        return max(by_spread, logs / math.log1p(_MOST / test.null * ahead))

    fewest = math.inf
    for threshold in _GRID[::4]:
        chosen = data.choose(float(threshold))
        margins = test.margins(data.of(chosen))
        ahead = _mean(margins) - test.null
        if ahead > 0 and np.mean(chosen != data.strongest) >= _LEAST_SHARE:
            fewest = min(fewest, enough(ahead, float(np.var(margins))))
    if len(data.scores) < _TELLING:
        # So few tell nothing: then what right-or-wrong scores need that lie halfway between the target and all.
        lacking = (1 - test.level) or 1e-3
        unit = 1 + test.level if test.relative else 1.0
        usual = enough(lacking / 2 / unit, lacking * (1 - lacking) / unit**2)
        fewest = usual if math.isinf(fewest) else max(fewest, usual)
    return None if math.isinf(fewest) else max(1, math.ceil(fewest) - len(data.scores))


def _refusal(needed: int | None, outcomes: int, failing: bool) -> str:
    so = "so the strongest answers everything"
    if failing:
        so = f"not even of the strongest, {so}"
    if needed is None:
        return f"on {outcomes:,} outcomes no cheaper policy looks good enough: more would not help, {so}"
    return f"{outcomes:,} outcomes are too few to promise it; about {needed:,} more may be enough, {so}"


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else 0.0
