"""Comparisons: by hand, against published figures, and in simulation: intervals cover, tests hold their level, and so
many examples as are asked for do tell.
"""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from rungwise_pipelines.evaluation.compare import (
    bootstrapped,
    chance,
    compare,
    difference_of,
    holm,
    mean_of,
    needed_of,
    pair_of,
    power_of,
)

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def differences(wins: int, losses: int, ties: int) -> Floats:
    return np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)


def test_the_interval_of_bonett_and_price() -> None:
    """With 1 added to each count of those that differ: (b - c) / (n + 2), and its Wald interval."""
    wins, losses, ties = 9, 3, 38
    found = difference_of(differences(wins, losses, ties), np.ones(50), 0.95)
    p, q = (wins + 1) / 52, (losses + 1) / 52
    half = 1.959964 * math.sqrt((p + q - (p - q) ** 2) / 52)
    assert found.estimate == pytest.approx(6 / 50)
    assert [found.low, found.high] == pytest.approx([p - q - half, p - q + half], abs=1e-6)


def test_where_nothing_differs_the_interval_is_no_point() -> None:
    found = difference_of(np.zeros(5), np.ones(5), 0.95)
    assert found.low < -0.3
    assert found.high > 0.3


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (5, 0, 2 / 32), (6, 0, 2 / 64), (8, 1, 2 * 10 / 512), (21, 9, 0.0427739)],
)
def test_mcnemar_is_the_binomial_test_of_those_that_differ(wins: int, losses: int, p: float) -> None:
    found, test = chance(differences(wins, losses, 7), np.ones(wins + losses + 7))
    assert found == pytest.approx(p, rel=1e-5)
    assert test == "mcnemar"


def test_graded_differences_are_flipped_in_every_way() -> None:
    graded = np.array([0.5, 0.25, -0.25, 0.75, 0.0, 1.0])
    found, test = chance(graded, np.ones(6))
    moved = graded[graded != 0]
    sums = [abs(np.dot(signs, np.abs(moved))) for signs in product((-1, 1), repeat=moved.size)]
    assert found == pytest.approx(np.mean([one >= abs(moved.sum()) - 1e-9 for one in sums]))
    assert test == "sign-flip"


def test_many_graded_differences_are_flipped_by_chance_and_always_alike() -> None:
    graded = np.random.default_rng(5).normal(0.1, 0.4, 60).clip(-1, 1)
    found, _ = chance(graded, np.ones(60))
    normal = math.erfc(abs(graded.sum()) / math.sqrt(2 * (graded**2).sum()))
    assert found == pytest.approx(normal, abs=0.02)
    assert chance(graded, np.ones(60))[0] == found


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_only_examples_that_both_answered_count() -> None:
    nan = math.nan
    scores = {"a": np.array([1, 1, nan, 0]), "b": np.array([0, nan, 1, 0]), "c": np.array([nan, nan, 1.0, nan])}
    pairs = compare(scores, np.ones(4))
    assert [(p.first, p.second, p.wins, p.losses, p.ties) for p in pairs] == [("a", "b", 1, 0, 1), ("b", "c", 0, 0, 1)]


def test_weights_count() -> None:
    values, weight = np.array([1.0, 0.0, 0.0, 1.0]), np.array([3.0, 1.0, 1.0, 3.0])
    found = mean_of(values, weight)
    assert found
    assert found.estimate == pytest.approx(0.75)
    pair = pair_of("a", "b", values - 0.0, weight, 0.95)
    assert pair.difference.estimate == pytest.approx(0.75)
    twice = pair_of("a", "b", values - 0.0, 2 * weight, 0.95)
    assert twice.difference.high == pytest.approx(pair.difference.high)


def test_a_mean_of_nothing() -> None:
    assert mean_of(np.full(3, np.nan), np.ones(3)) is None


@pytest.mark.parametrize(("apart", "differing"), [(0.2, 0.3), (0.1, 0.2), (0.2, 0.6)])
def test_so_many_examples_as_are_asked_for_tell(apart: float, differing: float) -> None:
    """Four times in five, by the exact test, all outcomes drawn."""
    needed = needed_of(apart, differing, 0.95)
    assert needed
    rng = np.random.default_rng(int(100 * apart))
    size = math.ceil(needed)
    told = 0
    for wins, losses, ties in rng.multinomial(
        size, [(differing + apart) / 2, (differing - apart) / 2, 1 - differing], 1_000
    ):
        told += chance(differences(wins, losses, ties), np.ones(size))[0] <= 0.05
    assert 0.75 <= told / 1_000 <= 0.87


def test_what_would_tell() -> None:
    some = differences(6, 3, 11)
    pair = pair_of("a", "b", some, np.ones(20), 0.95)
    assert pair.power.more
    assert pair.power.detectable
    assert pair.power.at_least < pair.power.more
    assert pair.power.at_most is None, "the interval holds 0"
    # The smallest difference that these examples show takes just these examples.
    worth, square = 20.0, (9 + 2) / 22
    assert needed_of(pair.power.detectable, square, 0.95) == pytest.approx(worth, rel=1e-3)
    assert power_of(difference_of(np.zeros(20), np.ones(20), 0.95), 20.0, 2 / 22, level=0.95).more is None
    assert pair_of("a", "b", np.zeros(3), np.ones(3), 0.95).power.detectable is None


@pytest.mark.parametrize("size", [1, 3, 5])
def test_what_no_outcome_could_show_is_not_promised(size: int) -> None:
    """Five examples out of five are no evidence at 5 %; six are."""
    assert chance(np.ones(size), np.ones(size))[0] > 0.05
    assert pair_of("a", "b", np.ones(size), np.ones(size), 0.95).power.detectable is None
    assert chance(np.ones(6), np.ones(6))[0] < 0.05
    assert pair_of("a", "b", np.ones(6), np.ones(6), 0.95).power.detectable


def test_more_pairs_need_more() -> None:
    alone, of_ten = (pair_of("a", "b", differences(6, 3, 11), np.ones(20), 0.95, tests=n) for n in (1, 10))
    assert alone.power.more
    assert of_ten.power.more
    assert of_ten.power.more > 1.3 * alone.power.more
    assert of_ten.corrected > alone.corrected


def _passes(wins: float, losses: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> Floats:
        drawn = rng.random(n)
        return np.where(drawn < wins, 1.0, np.where(drawn < wins + losses, -1.0, 0.0))

    return draw


def _five(lift: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> Floats:
        how_hard = rng.integers(0, 5, n)
        a, b = (np.clip(how_hard + rng.integers(-1, 2, n) + (rng.random(n) < p), 0, 4) for p in (lift, 0.0))
        return np.asarray(a - b, np.float64) / 4

    return draw


def _few_differ(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < 0.3, 2 * rng.random(n) - 0.7, 0.0)


def _words(rng: np.random.Generator, n: int) -> Floats:
    def one(lift: float) -> Floats:
        score = np.clip(rng.beta(2, 2, n) * 0.6 + 0.4 * how_hard + lift, 0, 1)
        score[rng.random(n) < 0.2] = 0.0
        score[rng.random(n) < 0.15] = 1.0
        return score

    how_hard = rng.random(n)
    return one(0.2) - one(0.0)


@pytest.mark.parametrize("size", [5, 20, 60])
@pytest.mark.parametrize(
    "draw",
    [_passes(0.2, 0.1), _passes(0.4, 0.02), _passes(0.02, 0.0), _five(0.3), _few_differ, _words],
    ids=["passes", "one-sided", "rare", "five", "few-differ", "words"],
)
def test_intervals_of_differences_cover(draw: Draw, size: int) -> None:
    rng = np.random.default_rng(size)
    truth = float(draw(rng, 400_000).mean())
    held = 0
    for _ in range(600):
        found = difference_of(draw(rng, size), np.ones(size), 0.95)
        held += found.low <= truth <= found.high
    assert held / 600 >= 0.915, "95 %, less what chance takes away in 600 runs"


@pytest.mark.parametrize("draw", [_passes(0.15, 0.15), _five(0.0)], ids=["passes", "five"])
def test_of_candidates_that_are_alike_few_are_told_apart(draw: Draw) -> None:
    rng = np.random.default_rng(7)
    told = sum(chance(draw(rng, 30), np.ones(30))[0] <= 0.05 for _ in range(400))
    assert told / 400 <= 0.07


def test_of_four_that_are_alike_no_pair_is_told_apart() -> None:
    """Six pairs tested at once: some pair is told apart by mistake in 5 % of runs at most."""
    rng = np.random.default_rng(11)
    mistakes = 0
    for _ in range(150):
        hard = rng.random(40)
        scores = {name: (rng.random(40) < hard).astype(float) for name in "abcd"}
        mistakes += any(pair.told_apart for pair in compare(scores, np.ones(40)))
    assert mistakes / 150 <= 0.09


@pytest.mark.parametrize("size", [5, 20, 60])
def test_intervals_of_graded_means_cover(size: int) -> None:
    rng = np.random.default_rng(size)
    held = 0
    for _ in range(200):
        found = mean_of(rng.choice([0, 0.25, 0.5, 0.75, 1], size, p=[0.05, 0.1, 0.2, 0.35, 0.3]), np.ones(size))
        assert found
        held += found.low <= 0.6875 <= found.high
    assert held / 200 >= 0.9


def test_the_interval_of_passes_is_exact() -> None:
    found = mean_of(np.array([1.0] * 9 + [0.0]), np.ones(10))
    assert found
    assert [found.low, found.high] == pytest.approx([0.5550, 0.9975], abs=1e-4)


def test_the_bootstrap_covers_where_many_examples_differ() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        found = bootstrapped(rng.choice([1.0, 0.0, -1.0], 80, p=[0.35, 0.4, 0.25]), np.ones(80), 0.95)
        held += found.low <= 0.1 <= found.high
    assert 0.91 <= held / 300 <= 0.985


def test_the_bootstrap_of_alike_answers_is_a_point_and_of_weighted_ones_follows_them() -> None:
    alike = bootstrapped(np.zeros(9), np.ones(9), 0.95)
    assert (alike.low, alike.high) == (0, 0)
    seen = differences(20, 10, 30)
    heavy = np.where(seen > 0, 3.0, 1.0)
    found = bootstrapped(seen, heavy, 0.95)
    assert found.estimate == pytest.approx(50 / 100)
    assert found == bootstrapped(seen, heavy, 0.95)
    assert bootstrapped(seen, np.ones(60), 0.95).estimate == pytest.approx(10 / 60)
