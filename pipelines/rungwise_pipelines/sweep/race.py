"""Which settings stay in the race, and which one to take: successive halving that drops only what is shown to be worse.

Settings answer a random part of the examples, then more; after each round some are dropped. Two rules, both at the
race's `level` (alpha is one minus it), with the evidence of `betting`, which may be looked at after every round:

- A setting is *not the best* once the fortunes of all bets that another one is better are 1/alpha on average. (If it
  is the best, each bet is fair or worse, and so is their average: the chance to exclude it is alpha at most. What is
  left is a confidence set of the best: a multiple comparison with the best that needs no correction for each pair.)
- A setting is *dropped* once the same holds with the bets of those alone that cost no more than it does, the others
  counting as lost: it is neither the best nor on the frontier of cost and quality. What is worse but cheaper stays.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_pipelines.sweep.betting import Floats, at_most, fortune, needed

FIRST = 8
GROWTH = 1.5
SAME_COST = 1.05
"""Costs within this factor count as the same: nobody changes a setting to save so little."""


class Drop(Struct, frozen=True):
    """Why a setting left the race."""

    setting: int
    by: int
    """The setting that it lost most to."""
    round: int
    examples: int
    """How many it had answered."""


class Choice(Struct, frozen=True):
    """What a race came to; settings by number."""

    best: int
    """The highest mean."""
    cheapest: int
    """Of those not shown to be worse than the best, the cheapest; among equally cheap ones the better."""
    contenders: tuple[int, ...]
    """Not shown to be worse than the best."""
    frontier: tuple[int, ...]
    """Each better, by its mean, than all that cost less; by cost."""
    worse_by: float
    """The cheapest one's mean is lower than any other's by this at most, at the race's level."""
    needed: int | None
    """About how many examples would tell the best from the cheapest; None where that cannot be said."""


def rounds(total: int) -> list[int]:
    """How many examples each setting has answered after each round."""
    sizes = [min(FIRST, total)]
    while sizes[-1] < total:
        grown = round(sizes[-1] * GROWTH)
        sizes.append(total if grown * GROWTH > total * 1.2 or grown > total else grown)
    return sizes


def order(strata: Sequence[str], seed: int) -> list[int]:
    """A random order of examples of which each beginning has its share of every stratum."""
    random = np.random.default_rng(seed)
    place = np.empty(len(strata))
    of = np.array(strata)
    for stratum in sorted(set(strata)):
        at = np.flatnonzero(of == stratum)
        place[random.permutation(at)] = (np.arange(at.size) + random.random()) / at.size
    return [int(i) for i in np.argsort(place, kind="stable")]


class Race:
    """`values` and `costs` have shape (settings, examples): from 0 (bad) to 1 (good), and money; NaN where there is
    none. `weight` has shape (examples,). The caller fills them; `look` reads them.
    """

    def __init__(self, settings: int, weight: Floats, level: float = 0.95) -> None:
        self.values: Floats = np.full((settings, weight.size), np.nan)
        self.costs: Floats = np.full((settings, weight.size), np.nan)
        self.weight = weight
        self.level = level
        self.round = 0
        self.dropped: dict[int, Drop] = {}
        self.excluded: set[int] = set()
        self._evidence = np.zeros((settings, settings))
        """[i, j]: the logarithm of the fortune of the bet that j is better than i."""

    @property
    def alive(self) -> list[int]:
        """Who is still in the race."""
        return [i for i in range(len(self.values)) if i not in self.dropped]

    @property
    def means(self) -> Floats:
        """Of each setting's values."""
        return _means(self.values, self.weight)

    @property
    def prices(self) -> Floats:
        """What an answer of each setting costs on average; infinite where that of one is not known."""
        return self._prices(range(len(self.values)))

    def look(self) -> list[Drop]:
        """Take stock after a round. Those dropped now have no further cells to be filled."""
        self.round += 1
        alive = self.alive
        for i in alive:
            for j in alive:
                if i != j:
                    self._evidence[i, j] = fortune(*self._differences(j, i))
        if len(self.values) < 2:
            return []
        held = np.exp(np.minimum(self._evidence, 600.0))
        np.fill_diagonal(held, 0.0)
        enough = (len(self.values) - 1) / (1 - self.level)
        self.excluded |= {i for i in alive if held[i].sum() >= enough}
        prices = self._prices(alive)
        no_dearer = prices[None, :] <= prices[:, None] * SAME_COST
        found = []
        for i in alive:
            against = np.where(no_dearer[i], held[i], 0.0)
            if against.sum() >= enough:
                asked = int(np.isfinite(self.values[i]).sum())
                found.append(Drop(i, int(against.argmax()), self.round, asked))
        self.dropped |= {drop.setting: drop for drop in found}
        return found

    def choice(self) -> Choice:
        """What there is to say now. At least one setting must have a value."""
        means, prices = self.means, self.prices
        known = [i for i in range(len(means)) if np.isfinite(means[i])]
        running = [i for i in known if i not in self.dropped] or known
        best = max(running, key=lambda i: (means[i], -prices[i]))
        contenders = [i for i in running if i not in self.excluded] or [best]
        least = min(prices[i] for i in contenders)
        cheapest = max((i for i in contenders if prices[i] <= least * SAME_COST), key=lambda i: (means[i], -prices[i]))
        frontier: list[int] = []
        for i in sorted(running, key=lambda i: (prices[i], -means[i])):
            if not frontier or means[i] > means[frontier[-1]]:
                frontier.append(i)
        alpha = (1 - self.level) / max(len(self.values) - 1, 1)
        others = [j for j in known if j != cheapest]
        worse_by = max((at_most(*self._differences(j, cheapest), alpha) for j in others), default=0.0)
        short = needed(*self._differences(best, cheapest), alpha) if best != cheapest else None
        return Choice(best, cheapest, tuple(contenders), tuple(frontier), max(0.0, worse_by), short)

    def _differences(self, better: int, worse: int) -> tuple[Floats, Floats]:
        both = np.isfinite(self.values[better]) & np.isfinite(self.values[worse])
        return self.values[better, both] - self.values[worse, both], self.weight[both]

    def _prices(self, among: Sequence[int]) -> Floats:
        """Over the examples that those of `among` have answered."""
        columns: NDArray[np.bool_] = np.any(np.isfinite(self.values[list(among)]), axis=0, keepdims=False)
        costs = self.costs[:, columns]
        unknown = np.any(np.isfinite(self.values[:, columns]) & ~np.isfinite(costs), axis=1)
        means = _means(costs, self.weight[columns])
        return np.where(unknown | ~np.isfinite(means), np.inf, means)


def _means(table: Floats, weight: Floats) -> Floats:
    """The weighted mean of each row's known values; NaN for a row without any."""
    known = np.isfinite(table)
    total = (known * weight).sum(axis=1)
    sums = (np.where(known, table, 0.0) * weight).sum(axis=1)
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)
