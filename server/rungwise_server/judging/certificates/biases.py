"""What besides quality moves a judge: the order it is shown answers in, their length, and its own authorship.

Length and authorship are measured against people on the same items: liking longer answers is no bias where people
like them as much.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.grades import Item
from rungwise_server.judging.certificates.intervals import Interval, exact
from rungwise_server.judging.certificates.quality import (
    Posterior,
    Strata,
    dispersion_of,
    ends_of,
    moments_of,
    posterior_of,
)

Floats = NDArray[np.float64]


class Biases(Struct, frozen=True):
    """None where the file has not the fields that would tell. 0 is no bias, but for `consistency`, where 1 is none."""

    consistency: Interval | None = None
    """Of pairs shown in both orders, the share with the same verdict."""
    position: Interval | None = None
    """How much more than half of the wins the answer shown first gets, over both orders."""
    length: Interval | None = None
    """Pairs: how much more of the wins the longer answer gets from the judge than from people. Single answers: how
    much higher the judge grades, against people, the longer half than the shorter one."""
    own: Interval | None = None
    """The same of the answers that the judge's own model wrote."""


def biases_of(items: Sequence[Item], level: float) -> Biases:
    """Every bias that the items can tell of."""
    straight = [item.judge if item.straight is None else item.straight for item in items]
    both = [
        (a, item.swapped) for a, item in zip(straight, items, strict=True) if a is not None and item.swapped is not None
    ]
    asked = [(item, item.judge, item.human) for item in items if item.judge is not None and item.human is not None]
    longer = [
        (judge - human) * (1 if item.lengths[0] > item.lengths[1] else -1)
        for item, judge, human in asked
        if item.lengths and item.lengths[0] != item.lengths[1]
    ]
    own = [
        (judge - human) * (1 if item.own_first else -1) for item, judge, human in asked if item.own_first is not None
    ]
    return Biases(
        consistency=exact(sum(a == b for a, b in both) / len(both), len(both), level, len(both)) if both else None,
        position=_mean_of([(a - b) / 2 for a, b in both], level, reach=0.5),
        length=_mean_of(longer, level) or _by_length(asked, level),
        own=_mean_of(own, level)
        or _between(
            [judge - human for item, judge, human in asked if item.own is True],
            [judge - human for item, judge, human in asked if item.own is False],
            level,
        ),
    )


def _by_length(asked: Sequence[tuple[Item, float, float]], level: float) -> Interval | None:
    known = [(item.length, judge - human) for item, judge, human in asked if item.length is not None]
    if not known:
        return None
    middle = float(np.median([length for length, _ in known]))
    longer = [apart for length, apart in known if length > middle]
    return _between(longer, [apart for length, apart in known if length <= middle], level)


def _mean_of(values: Sequence[float], level: float, *, reach: float = 1.0) -> Interval | None:
    """The mean of values between -reach and reach, with an interval made as that of a quality is."""
    if not values:
        return None
    mean, variance = _moments(values, reach)
    low, high = ends_of(mean, variance, level)
    known = float(np.mean(values))
    ends = (float(end) * 2 * reach - reach for end in (low, high))
    return Interval(known, *_around(known, *ends), level, "beta posterior", len(values))


def _between(some: Sequence[float], others: Sequence[float], level: float) -> Interval | None:
    """How much higher the mean of some is than that of others, all between -1 and 1 (as Agresti and Caffo, 2000)."""
    if len(some) < 2 or len(others) < 2:
        return None
    (mean, variance), (base, also) = _moments(some, 1.0), _moments(others, 1.0)
    centre = 2 * float(mean - base)
    reach = 2 * beta.normal_quantile((1 + level) / 2) * math.sqrt(float(variance + also))
    known = float(np.mean(some) - np.mean(others))
    ends = _around(known, max(-2.0, centre - reach), min(2.0, centre + reach))
    return Interval(known, *ends, level, "smoothed difference", len(some) + len(others))


def _around(known: float, low: float, high: float) -> tuple[float, float]:
    return min(low, known), max(high, known)


def _moments(values: Sequence[float], reach: float) -> tuple[Floats, Floats]:
    """Posterior mean and variance of the mean of values, brought from [-reach, reach] to [0, 1]."""
    scaled = (np.array(values) + reach) / (2 * reach)
    count, mean = np.array([float(scaled.size)]), np.array([float(scaled.mean())])
    strata = Strata(np.ones(1), np.full(1, np.inf), count, mean, np.full(1, np.nan))
    squares = np.array([float(((scaled - mean) ** 2).sum())])
    posterior: Posterior = posterior_of(strata, dispersion_of(squares, count, mean))
    return moments_of(strata, posterior, beyond=True)
