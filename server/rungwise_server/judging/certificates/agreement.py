"""How far two graders agree: shares, Cohen's kappa, and Krippendorff's alpha among people.

Grades are from 0 to 1. A grade passes at `threshold` or above.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.intervals import Interval, exact

Floats = NDArray[np.float64]

SMALL = 20
"""Below so many items, the interval of a graded kappa is made wide on purpose."""


class Agreement(Struct, frozen=True):
    """How a judge agrees with people, over the items that both graded. None where no item can tell."""

    agreement: Interval | None
    kappa: Interval | None
    weighted_kappa: Interval | None
    """Quadratic weights, on the grades themselves; None where all grades are 0 or 1: it is `kappa` then."""
    true_positive_rate: Interval | None
    """Of what people pass, the share that the judge passes."""
    true_negative_rate: Interval | None
    """Of what people fail, the share that the judge fails."""


def agreement_of(human: Floats, judge: Floats, weight: Floats, *, threshold: float, level: float) -> Agreement:
    """Agreement of two graders, item by item. Arrays are of one length, `weight` above 0."""
    passed, judged = human >= threshold, judge >= threshold
    binary = bool(np.isin(human, (0.0, 1.0)).all() and np.isin(judge, (0.0, 1.0)).all())
    return Agreement(
        _share(passed == judged, weight, level),
        kappa_of(passed.astype(np.float64), judged.astype(np.float64), weight, level),
        None if binary else kappa_of(human, judge, weight, level),
        _share(judged[passed], weight[passed], level),
        _share(~judged[~passed], weight[~passed], level),
    )


def effective(weight: Floats) -> float:
    """How many equal items the weighted ones are worth (Kish, 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if weight.size else 0.0


def _share(hits: NDArray[np.bool_], weight: Floats, level: float) -> Interval | None:
    if not hits.size:
        return None
    return exact(float(weight[hits].sum() / weight.sum()), effective(weight), level, hits.size)


def kappa_of(human: Floats, judge: Floats, weight: Floats, level: float) -> Interval | None:
    """Cohen's kappa with quadratic weights; of grades 0 and 1 this is the plain kappa. None where it has no value:
    without items, or where both graders gave all items one and the same grade.

    The interval is estimate ± z standard errors (delta method) of the kappa with four pseudo-items added, half an item
    each, in the corners of the table: simulation (tests) shows that it covers where the plain one does not, in small
    tables and near 1. Between graded judges, whose tables have no corners, those stand one standard deviation from
    the means, a quarter of an item each, and z is t, from `SMALL` items on.
    """
    if not human.size:
        return None
    value, _ = _kappa(human, judge, weight)
    if not math.isfinite(value):
        return None
    count = human.size
    binary = bool(np.isin(human, (0.0, 1.0)).all() and np.isin(judge, (0.0, 1.0)).all())
    if binary or count < SMALL:
        corners, mass = [(x, y) for x in (0.0, 1.0) for y in (0.0, 1.0)], 0.5
        deviations = beta.normal_quantile((1 + level) / 2)
    else:
        spread = math.sqrt((float(human.var()) + float(judge.var())) / 2)
        corners = [
            (float(human.mean()) + x * spread, float(judge.mean()) + y * spread) for x in (-1, 1) for y in (-1, 1)
        ]
        mass, deviations = 0.25, beta.t_quantile((1 + level) / 2, count - 1)
    worth = effective(weight)
    padded = np.concatenate([weight * worth / weight.sum(), np.full(4, mass)])
    centre, variance = _kappa(
        np.concatenate([human, [x for x, _ in corners]]), np.concatenate([judge, [y for _, y in corners]]), padded
    )
    reach = deviations * math.sqrt(variance / (worth + 4 * mass))
    return Interval(
        value,
        max(-1.0, min(centre - reach, value)),
        min(1.0, max(centre + reach, value)),
        level,
        "smoothed delta",
        count,
    )


def _kappa(human: Floats, judge: Floats, weight: Floats) -> tuple[float, float]:
    """1 - E(h - j)^2 / E(h - j')^2, with h and j' of different items, and the variance of its influence function."""
    share = weight / weight.sum()
    mean_human, mean_judge = float(share @ human), float(share @ judge)
    apart = (human - judge) ** 2
    chance = human**2 + judge**2 - 2 * mean_human * judge - 2 * mean_judge * human + 2 * mean_human * mean_judge
    observed, expected = float(share @ apart), float(share @ chance)
    if expected <= 1e-15:
        return math.nan, math.nan
    influence = -(apart - observed) / expected + observed / expected**2 * (chance - expected)
    return 1 - observed / expected, float(share @ influence**2)


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha for interval data, which for grades 0 and 1 is the nominal one. A unit is one item's grades.

    None where no item has two grades, or all grades are the same.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = np.array([grade for unit in pairable for grade in unit])
    if values.size < 2 or float(np.ptp(values)) == 0:
        return None
    within = sum(
        2 * len(unit) * float(((np.array(unit) - np.mean(unit)) ** 2).sum()) / (len(unit) - 1) for unit in pairable
    )
    overall = 2 * values.size * float(((values - values.mean()) ** 2).sum()) / (values.size - 1)
    return 1 - within / overall
