"""Items put into strata by the judge's grade: within one, the judge says nothing that it does not say of all.

The cuts depend on the judge's grades and on how many items people graded, never on what people said: first pass or
fail, then the median of each side again and again, as long as both halves keep `ENOUGH` graded items. More grades
only cut finer, so grades asked for stratum by stratum stay fair within each.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]

ENOUGH = 8
"""Graded items that a half must keep. Fewer make the prior weigh too much; chosen by simulation."""


def strata_of(judge: Floats, graded: NDArray[np.bool_], threshold: float) -> list[Indexes]:
    """The items of each stratum, lowest grades first. `judge` is nan where it gave none: those come last, as one."""
    known = ~np.isnan(judge)
    everyone = np.arange(judge.size)
    sides = (everyone[known & (judge < threshold)], everyone[known & (judge >= threshold)])
    cut = [part for side in sides if side.size for part in _halved(side, judge, graded)]
    return cut + ([everyone[~known]] if not known.all() else [])


def _halved(side: Indexes, judge: Floats, graded: NDArray[np.bool_]) -> Sequence[Indexes]:
    middle = np.median(judge[side])
    halves = [(side[low], side[~low]) for low in (judge[side] < middle, judge[side] <= middle)]
    able = [pair for pair in halves if all(part.size and graded[part].sum() >= ENOUGH for part in pair)]
    if not able:
        return [side]
    below, above = max(able, key=lambda pair: min(part.size for part in pair))
    return [*_halved(below, judge, graded), *_halved(above, judge, graded)]
