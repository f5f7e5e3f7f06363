"""How far the people who graded agree among each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct

from rungwise_server.judging.certificates.agreement import kappa_of, krippendorff_alpha
from rungwise_server.judging.certificates.intervals import Interval, exact


class AmongPeople(Struct, frozen=True):
    """Agreement on things that two or more people graded. None where nothing tells."""

    graders: Mapping[str, int]
    """How many grades with a value each person gave."""
    things: int
    """So many have grades of two people or more."""
    agreement: Interval | None
    """The share of pairs of people who both pass or both fail a thing, mean over things; of pairs of answers, who
    prefer the same one.
    """
    kappa: Interval | None
    """Cohen's, on the grades as they are (quadratic weights where they are graded): of exactly two people."""
    alpha: float | None
    """Krippendorff's, of however many."""


def among_people(values: Sequence[Mapping[str, float]], level: float) -> AmongPeople:
    """`values` has, for each thing, what each person said of it, from 0 to 1."""
    graders = Counter(who for by in values for who in by)
    several = [by for by in values if len(by) > 1]
    shares = [_share([_side(value) for value in by.values()]) for by in several]
    kappa = None
    if len({who for by in several for who in by}) == 2:
        first, second = (
            np.array(side) for side in zip(*([v for _, v in sorted(by.items())] for by in several), strict=True)
        )
        kappa = kappa_of(first, second, np.ones(first.size), level)
    return AmongPeople(
        dict(sorted(graders.items())),
        len(several),
        exact(sum(shares) / len(shares), len(shares), level, len(shares)) if shares else None,
        kappa,
        krippendorff_alpha([list(by.values()) for by in several]),
    )


def _side(value: float) -> int:
    """Bad, good, or just between: a tie, or a three of five."""
    return (value > 0.5) - (value < 0.5)


def _share(sides: Sequence[int]) -> float:
    both = [a == b for a, b in combinations(sides, 2)]
    return sum(both) / len(both)
