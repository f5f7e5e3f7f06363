"""Candidates held against each other on the same examples: how far apart, by chance or not, and what would tell.

All is paired: of two candidates only the examples that both answered count, and of those their differences alone.

- **The difference** has the interval of Bonett and Price (2012, "Adjusted Wald confidence interval for a difference of
  binomial proportions based on paired data"), which adds one win for each side before it reckons. For graded scores
  the wins added are as large as the differences that were seen, drawn towards a whole one. Bootstraps (BCa and
  studentised) were tried in its place: where few examples differ they resample little but ties, and 95 % intervals held
  the truth in 10 to 90 % of simulated runs; these in 93.7 % or more, from five examples on, and they are no wider once
  differences are seen. `tests/unit/pipelines/evaluation/test_compare.py` simulates it. The BCa bootstrap (Efron, 1987)
  stands beside it, for comparison.
- **By chance or not** is told by an exact test: McNemar's for pass and fail, which is the sign-flip permutation test of
  the differences where those are 1 or -1; for graded or weighted ones that permutation test itself.
- **Several candidates** are several tests: p-values of all pairs under one metric are corrected together (Holm, 1979).
- **What would tell**: how many examples give four chances in five to see the difference (Connor, 1987), and the
  smallest difference that these would show.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.agreement import effective
from rungwise_server.judging.certificates.intervals import Interval, exact
from rungwise_server.judging.certificates.quality import Strata, dispersion_of, interval_of, posterior_of

Floats = NDArray[np.float64]

POWER = 0.8
"""The chance with which a difference that is there should be seen."""
_ENUMERATED = 12  # differences up to which all sign flips are looked at
_FLIPS = 20_000
_PIECE = 2_000_000
_RESAMPLES = 2_000
_SAME = 1e-12

Test = Literal["mcnemar", "sign-flip"]


class Power(Struct, frozen=True):
    """What it would take to tell two candidates apart, at the level corrected for the number of pairs."""

    detectable: float | None
    """The smallest difference that so many examples show four times in five; None where not even 1 is."""
    more: int | None
    """So many further examples would, if the difference is as large as it looks; None where none is seen."""
    at_least: int
    """... if it is as large as its interval allows."""
    at_most: int | None
    """... if it is as small as its interval allows; None where that holds 0: then no number may do."""


class Pair(Struct, frozen=True):
    """Two candidates under one metric."""

    first: str
    second: str
    wins: int
    """Examples on which `first` is better."""
    losses: int
    ties: int
    difference: Interval
    """Mean of `first` minus mean of `second`, on the examples that both answered. Not corrected for other pairs."""
    bootstrap: Interval
    """The same difference with the bootstrap's interval, for comparison: too narrow where few examples differ."""
    p: float
    """Of a difference this large, were both alike."""
    corrected: float
    """`p`, corrected for all pairs under this metric."""
    test: Test
    power: Power

    @property
    def told_apart(self) -> bool:
        """Whether the difference is more than chance, all pairs considered."""
        return self.corrected <= 1 - self.difference.level


def mean_of(values: Floats, weight: Floats, level: float = 0.95) -> Interval | None:
    """A candidate's mean under a metric from 0 to 1, nan where there is no value; None where there is none at all.

    The interval is of examples like these: of pass and fail the exact one, of other grades the beta posterior that
    judges' certificates use (see `rungwise_server.judging.certificates.quality`).
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    values, weight = values[known], weight[known]
    mean = float(np.average(values, weights=weight))
    worth = effective(weight)
    if np.isin(values, (0.0, 1.0)).all():
        return exact(mean, worth, level, values.size)
    one = np.ones(1)
    strata = Strata(one, np.full(1, np.inf), one * worth, one * mean, np.full(1, np.nan))
    squares = one * worth * float(np.average((values - mean) ** 2, weights=weight))
    dispersion = dispersion_of(squares, one * worth, one * mean)
    _, low, high = (float(end) for end in interval_of(strata, posterior_of(strata, dispersion), level, beyond=True))
    return Interval(mean, min(low, mean), max(high, mean), level, "beta posterior", values.size)


def compare(scores: Mapping[str, Floats], weight: Floats, level: float = 0.95) -> tuple[Pair, ...]:
    """All pairs of candidates, p-values corrected.

    Args:
        scores: by candidate, one value an example, all in the order of the same examples; nan where there is none.
        weight: of the examples, above 0.
    """
    names = list(scores)
    known = [
        (a, b, both) for a, b in combinations(names, 2) if (both := ~np.isnan(scores[a]) & ~np.isnan(scores[b])).any()
    ]
    # Drawn once for all pairs of as many examples: the drawing takes longer than all the rest.
    resamples = {size: resampled(size) for size in {int(both.sum()) for _, _, both in known}}
    pairs = [
        pair_of(
            a,
            b,
            scores[a][both] - scores[b][both],
            weight[both],
            level,
            tests=len(known),
            resamples=resamples[int(both.sum())],
        )
        for a, b, both in known
    ]
    corrected = holm([pair.p for pair in pairs])
    return tuple(replace(pair, corrected=p) for pair, p in zip(pairs, corrected, strict=True))


def pair_of(
    first: str,
    second: str,
    differences: Floats,
    weight: Floats,
    level: float,
    *,
    tests: int = 1,
    resamples: Floats | None = None,
) -> Pair:
    """Two candidates from their differences, one an example, each from -1 to 1. `tests` are all that are made."""
    p, test = chance(differences, weight)
    difference = difference_of(differences, weight, level)
    return Pair(
        first=first,
        second=second,
        wins=int((differences > _SAME).sum()),
        losses=int((differences < -_SAME).sum()),
        ties=int((np.abs(differences) <= _SAME).sum()),
        difference=difference,
        bootstrap=bootstrapped(differences, weight, level, resamples),
        p=p,
        corrected=min(1.0, p * tests),
        test=test,
        power=power_of(difference, *_moments(differences, weight), level=1 - (1 - level) / tests),
    )


def difference_of(differences: Floats, weight: Floats, level: float) -> Interval:
    """The mean difference with its interval, in the manner of Bonett and Price."""
    worth, square = _moments(differences, weight)
    mean = float(np.average(differences, weights=weight))
    middle = mean * worth / (worth + 2)
    half = beta.normal_quantile((1 + level) / 2) * math.sqrt(max(square - middle**2, 0.0) / (worth + 2))
    low, high = max(-1.0, min(mean, middle - half)), min(1.0, max(mean, middle + half))
    return Interval(mean, low, high, level, "bonett-price", differences.size)


def resampled(size: int) -> Floats:
    """How often each of `size` examples is drawn, in many draws of as many: shape (draws, size), always the same."""
    return np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), _RESAMPLES).astype(np.float64)


def bootstrapped(differences: Floats, weight: Floats, level: float, resamples: Floats | None = None) -> Interval:
    """The mean difference with the bias-corrected and accelerated bootstrap's interval; the same one each time."""
    size = differences.size
    mean = float(np.average(differences, weights=weight))
    whole = Interval(mean, mean, mean, level, "bca-bootstrap", size)
    if size < 2 or np.ptp(differences) <= _SAME:
        return whole
    counts = resampled(size) if resamples is None else resamples
    means = np.sort(counts @ (differences * weight) / (counts @ weight))
    below = (np.searchsorted(means, mean, "left") + np.searchsorted(means, mean, "right")) / (2 * means.size)
    bias = beta.normal_quantile(min(max(float(below), 1 / means.size), 1 - 1 / means.size))
    total, pulled = float(weight.sum()), float(differences @ weight)
    without = (pulled - differences * weight) / (total - weight)
    spread = without.mean() - without
    acceleration = float((spread**3).sum() / (6 * max((spread**2).sum(), 1e-300) ** 1.5))
    ends = []
    for z in (beta.normal_quantile((1 - level) / 2), beta.normal_quantile((1 + level) / 2)):
        moved = bias + (bias + z) / (1 - acceleration * (bias + z))
        ends.append(float(np.quantile(means, 0.5 * (1 + math.erf(moved / math.sqrt(2))))))
    return replace(whole, low=min(ends[0], mean), high=max(ends[1], mean))


def _moments(differences: Floats, weight: Floats) -> tuple[float, float]:
    """How many equal examples these are worth, and their mean square difference, a win for each side added."""
    worth = effective(weight)
    share = weight * (worth / weight.sum())
    total = float(share @ differences**2)
    differing = float(share[np.abs(differences) > _SAME].sum())
    added = (total + 1) / (differing + 1)
    return worth, (total + 2 * added) / (worth + 2)


def chance(differences: Floats, weight: Floats) -> tuple[float, Test]:
    """The two-sided p-value of "both are alike", and the test that gave it."""
    moved = np.abs(differences) > _SAME
    pull = (differences * weight)[moved]
    size = np.abs(pull)
    if not pull.size or np.ptp(size) <= _SAME * size.max():
        return _binomial(int((pull > 0).sum()), pull.size), "mcnemar"
    observed = abs(pull.sum()) - 1e-9 * size.sum()
    if pull.size <= _ENUMERATED:
        bits = (np.arange(2**pull.size)[:, None] >> np.arange(pull.size)) & 1
        return float((np.abs((2 * bits - 1) @ size) >= observed).mean()), "sign-flip"
    rng = np.random.default_rng(0)  # the same answers have the same p-value
    extreme, left = 0, _FLIPS
    while left:
        flips = min(left, max(1, _PIECE // pull.size))
        signs = rng.integers(0, 2, (flips, pull.size), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ size) >= observed).sum())
        left -= flips
    return (extreme + 1) / (_FLIPS + 1), "sign-flip"


def _binomial(wins: int, of: int) -> float:
    fewer = min(wins, of - wins)
    if 2 * fewer >= of:
        return 1.0
    # P(X <= fewer) of a fair coin is the beta distribution's P(Y > 1/2).
    return min(1.0, 2 * (1 - float(beta.cdf(0.5, fewer + 1, of - fewer))))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for being several (Holm, 1979), in the order in which they came."""
    corrected = [0.0] * len(p)
    highest = 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = highest
    return corrected


def power_of(difference: Interval, worth: float, square: float, *, level: float) -> Power:
    """What it would take, from what was seen: the difference, and the mean square difference of an example."""

    def more(apart: float) -> int | None:
        needed = needed_of(apart, square, level)
        return None if needed is None else max(0, math.ceil((needed / worth - 1) * difference.count - 1e-9))

    ends = sorted((abs(difference.low), abs(difference.high)))
    crosses = difference.low <= 0 <= difference.high
    return Power(
        detectable=_detectable(worth, square, level),
        more=more(abs(difference.estimate)),
        at_least=more(ends[1]) or 0,
        at_most=None if crosses else more(ends[0]),
    )


def needed_of(apart: float, square: float, level: float) -> float | None:
    """So many examples show a difference of `apart` four times in five (Connor, 1987, of paired proportions; `square`
    is the share that differs, and for grades the mean square difference). None for no difference.

    The test being exact, it takes a little more than the normal approximation says: 1 / `apart` is added, with which 77
    to 89 % of simulated comparisons told.
    """
    if apart <= 1e-6:
        return None
    square = max(square, apart**2)
    z, power = beta.normal_quantile((1 + level) / 2), beta.normal_quantile(POWER)
    plain = (z * math.sqrt(square) + power * math.sqrt(max(0.0, square - apart**2))) ** 2 / apart**2
    # Fewer differences than this are no evidence, even if all point one way.
    fewest = math.log2(2 / (1 - level)) / square
    return max(plain + 1 / apart, fewest)


def _detectable(worth: float, square: float, level: float) -> float | None:
    """The smallest difference that `worth` examples show."""
    if (needed_of(1.0, square, level) or math.inf) > worth:
        return None
    low, high = 1e-6, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = (needed_of(middle, square, level) or math.inf) <= worth
        low, high = (low, middle) if enough else (middle, high)
    return high
