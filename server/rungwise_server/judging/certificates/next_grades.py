"""Which items people should grade next: as many of each stratum as narrow the interval most (Neyman, 1934).

Within a stratum the choice is by the hash of the id, as good as chance and always the same: choosing the items that
look doubtful would bend the estimate that the grades are for.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.quality import Posterior, Strata, moments_of
from rungwise_server.judging.certificates.strata import Indexes
from rungwise_server.judging.certificates.sums import Columns

Floats = NDArray[np.float64]


class Advice(Struct, frozen=True):
    """`ids` are the items to grade next, the most urgent first, and `half_width` what the interval is then about.

    `needed` is how many grades would bring the half-width to the margin; None where even all items of the file do not:
    then it takes more items, not more grades.
    """

    ids: tuple[str, ...]
    half_width: float
    needed: int | None


def advice_of(
    columns: Columns,
    parts: Sequence[Indexes],
    strata: Strata,
    posterior: Posterior,
    *,
    most: int,
    margin: float,
    level: float,
) -> Advice:
    """The next `most` items to grade, and how many it takes for a half-width of `margin`."""
    left = [_shuffled(columns, part) for part in parts]
    order = _order(strata, posterior, [len(ids) for ids in left])
    deviations = beta.normal_quantile((1 + level) / 2)
    widths = deviations * np.sqrt(_variances(strata, posterior, order))
    enough = np.flatnonzero(widths <= margin)
    waiting = [iter(names) for names in left]
    ids = tuple(next(waiting[s]) for s in order[:most])
    return Advice(ids, float(widths[min(most, len(order))]), int(enough[0]) if enough.size else None)


def _shuffled(columns: Columns, part: Indexes) -> list[str]:
    names = [columns.items[i].id for i in part if columns.items[i].human is None]
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def _spread(strata: Strata, posterior: Posterior) -> Floats:
    """The variance that one grade brings to the quality, by stratum."""
    rate = posterior.passed / (posterior.passed + posterior.failed)
    return np.asarray(strata.share**2 * rate * (1 - rate) * posterior.dispersion)


def _worth(strata: Strata, posterior: Posterior) -> Floats:
    """What the spread is divided by, grade by grade: the variance of a stratum's beta posterior, written out."""
    return np.asarray(strata.graded + 2 * posterior.dispersion, dtype=np.float64)


def _order(strata: Strata, posterior: Posterior, left: Sequence[int]) -> list[int]:
    """The strata in which the next grades help most, one by one: each takes the most off the variance."""
    spread, worth = _spread(strata, posterior), _worth(strata, posterior)
    gains = [
        (float(spread[s] / ((worth[s] + k) * (worth[s] + k + 1))), s) for s, n in enumerate(left) for k in range(n)
    ]
    return [s for _, s in sorted(gains, key=lambda gain: (-gain[0], gain[1]))]


def _variances(strata: Strata, posterior: Posterior, order: Sequence[int]) -> Floats:
    """The variance of the quality after 0, 1, 2 ... more grades in that order."""
    spread, worth = _spread(strata, posterior), _worth(strata, posterior)
    total = float(moments_of(strata, posterior, beyond=True)[1])
    variances = [total]
    for s in order:
        total -= float(spread[s] / (worth[s] * (worth[s] + 1)))
        worth[s] += 1
        variances.append(total)
    return np.asarray(np.maximum(variances, 0.0), dtype=np.float64)
