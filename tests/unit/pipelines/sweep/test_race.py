"""The race: whom it drops, what it costs, what it says to take. Simulated, the promises of its docstring held."""

from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from rungwise_pipelines.sweep.betting import Floats
from rungwise_pipelines.sweep.race import FIRST, Race, order, rounds

LEVEL = 0.95


def _cells(random: np.random.Generator, quality: Floats, n: int, *, shared: float, graded: bool) -> Floats:
    """Grades of settings that find the same questions hard, to the degree `shared`."""
    width = np.sqrt(1 + shared**2)
    strength = np.array([NormalDist().inv_cdf(q) for q in quality])[:, None] * width
    felt = strength + shared * random.normal(size=n) + random.normal(size=(quality.size, n))
    cells: Floats = 1 / (1 + np.exp(-2 * felt)) if graded else (felt > 0).astype(float)
    return cells


def _run(values: Floats, costs: Floats) -> tuple[Race, float]:
    """A race to its end, and the money that it cost as a share of the whole grid's."""
    race, spent = Race(len(values), np.ones(values.shape[1]), LEVEL), 0.0
    for n in rounds(values.shape[1]):
        for i in race.alive:
            spent += float(costs[i, :n][~np.isfinite(race.values[i, :n])].sum())
            race.values[i, :n], race.costs[i, :n] = values[i, :n], costs[i, :n]
        race.look()
    return race, spent / float(costs.sum())


@pytest.mark.parametrize(
    ("settings", "examples", "shared", "graded"),
    [(6, 40, 1.0, False), (12, 90, 1.0, False), (12, 90, 0.0, False), (8, 60, 1.0, True)],
)
def test_the_best_is_seldom_dropped_or_excluded(settings: int, examples: int, shared: float, graded: bool) -> None:
    """The worst case there is: all are equally good, so that each is the best and every drop is wrong of one of them.
    The chance for a given one is promised.
    """
    random = np.random.default_rng(11)
    runs, dropped, excluded = 60, 0, 0
    for _ in range(runs):
        values = _cells(random, np.full(settings, 0.6), examples, shared=shared, graded=graded)
        costs = 10 ** random.uniform(-4, -2, size=(settings, 1)) * random.uniform(0.7, 1.3, size=values.shape)
        race, _ = _run(values, costs)
        dropped += 0 in race.dropped
        excluded += 0 in race.excluded
    assert dropped / runs < 0.05
    assert excluded / runs < 0.05


def test_it_spares_money_and_keeps_the_best() -> None:
    random = np.random.default_rng(12)
    runs, lost, within, spent = 40, 0, 0, []
    for _ in range(runs):
        quality = random.uniform(0.3, 0.92, size=12)
        costs = 10 ** random.uniform(-4, -2, size=(12, 1)) * random.uniform(0.7, 1.3, size=(12, 120))
        race, share = _run(_cells(random, quality, 120, shared=1.0, graded=False), costs)
        choice = race.choice()
        spent.append(share)
        lost += int(quality.argmax()) in race.dropped
        within += quality.max() - quality[choice.cheapest] <= choice.worse_by + 1e-6
    assert lost / runs < 0.05
    assert within / runs >= LEVEL
    assert np.mean(spent) < 0.75, "of what the whole grid costs"


def test_what_is_worse_but_cheaper_stays() -> None:
    values = np.array([[1.0] * 60, [0.0] * 60, [0.0] * 60])
    race, _ = _run(values, np.repeat([[2.0], [1.0], [3.0]], 60, axis=1))
    assert list(race.dropped) == [2]
    assert race.dropped[2].by == 0
    assert race.excluded == {1, 2}
    choice = race.choice()
    assert (choice.best, choice.cheapest, choice.contenders, choice.frontier) == (0, 0, (0,), (1, 0))


def test_a_saving_that_small_decides_nothing() -> None:
    random = np.random.default_rng(1)
    values = _cells(random, np.array([0.55, 0.75]), 12, shared=0.0, graded=False)
    race, _ = _run(values, np.repeat([[1.0], [1.04]], 12, axis=1))
    choice = race.choice()
    assert choice.contenders == (0, 1)
    assert choice.cheapest == int(race.means.argmax())


def test_thin_evidence_is_told() -> None:
    values = np.array([[1.0, 1, 1, 1, 0], [1.0, 1, 0, 0, 0]])
    race, _ = _run(values, np.repeat([[9.0], [1.0]], 5, axis=1))
    choice = race.choice()
    assert (choice.best, choice.cheapest) == (0, 1)
    assert choice.worse_by > 0.5
    assert choice.needed is not None
    assert 5 < choice.needed < 60


def test_prices_that_are_not_known_are_dear() -> None:
    values = np.array([[1.0] * 40, [0.0] * 40, [1.0] * 40])
    costs = np.array([[np.nan] * 40, [1.0] * 40, [5.0] * 40])
    race, _ = _run(values, costs)
    assert race.choice().cheapest == 2
    assert not np.isfinite(race.prices[0])
    unknown, _ = _run(values, np.full((3, 40), np.nan))
    assert list(unknown.dropped) == [1], "without any price quality alone decides"


def test_gaps_are_left_out_of_pairs() -> None:
    values = np.array([[1.0] * 30, [np.nan] * 15 + [1.0] * 15, [np.nan] * 30])
    race = Race(3, np.ones(30))
    race.values[:], race.costs[:] = values, np.where(np.isfinite(values), 1.0, np.nan)
    race.look()
    assert not race.dropped
    assert race.choice().best in (0, 1)


def test_one_setting_is_a_race_too() -> None:
    race, _ = _run(np.ones((1, 10)), np.ones((1, 10)))
    choice = race.choice()
    assert (choice.best, choice.cheapest, choice.worse_by) == (0, 0, 0.0)


@pytest.mark.parametrize("total", [1, 5, 8, 9, 13, 30, 100, 1000])
def test_rounds_grow_to_the_whole(total: int) -> None:
    sizes = rounds(total)
    assert sizes[0] == min(FIRST, total)
    assert sizes[-1] == total
    assert all(small < large for small, large in pairwise(sizes))


def test_each_beginning_has_its_share_of_every_stratum() -> None:
    strata = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    shuffled = order(strata, seed=4)
    assert sorted(shuffled) == list(range(100))
    for n in (10, 20, 50):
        first = [strata[i] for i in shuffled[:n]]
        for stratum, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
            assert abs(first.count(stratum) - share * n) <= 1.5
    assert shuffled == order(strata, seed=4)
    assert shuffled != order(strata, seed=5)
