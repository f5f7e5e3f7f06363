"""Systems put in order by their quality, with the places that each may really have."""

import math
from collections.abc import Sequence

from msgspec import Struct

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.intervals import Interval


class Rank(Struct, frozen=True):
    """A system's place by estimate; `best` and `worst` are the places that the evidence leaves open."""

    system: str
    quality: Interval
    place: int
    best: int
    worst: int


def ranking_of(systems: Sequence[tuple[str, Interval]], level: float) -> tuple[Rank, ...]:
    """Best first. Two systems are told apart where their difference, with the standard errors that their intervals
    show, is not 0 at `level`, shared out over all pairs (Bonferroni): all places hold together.
    """
    ordered = sorted(systems, key=lambda one: (-one[1].estimate, one[0]))
    pairs = max(1, len(ordered) * (len(ordered) - 1) // 2)
    deviations = beta.normal_quantile(1 - (1 - level) / (2 * pairs))
    one = beta.normal_quantile((1 + level) / 2)

    def better(a: Interval, b: Interval) -> bool:
        """Whether a is surely above b: the ends that face each other decide, for intervals need not be symmetric."""
        apart = a.estimate - b.estimate
        error = math.hypot(a.estimate - a.low, b.high - b.estimate) / one
        return apart > 0 and apart > deviations * error

    ranks = []
    for place, (name, quality) in enumerate(ordered, start=1):
        above = sum(better(other, quality) for _, other in ordered)
        below = sum(better(quality, other) for _, other in ordered)
        ranks.append(Rank(name, quality, place, 1 + above, len(ordered) - below))
    return tuple(ranks)
