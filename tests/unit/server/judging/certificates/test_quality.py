"""The quality and its interval: how often it holds, how near it is, and what must not change it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rungwise_server.judging.certificates.grades import Item
from rungwise_server.judging.certificates.sums import Estimates, columns_of, estimates_of
from rungwise_server.judging.certificates.testing import covered, quality_of, studied

Floats = NDArray[np.float64]
ITEMS = 400
ROUNDS = 600
JUDGES = ((0.95, 0.95), (0.9, 0.6), (0.5, 0.99), (0.5, 0.5), (0.8, 0.8))
WORLDS = [(accuracy, *judge) for accuracy in (0.5, 0.75, 0.9) for judge in JUDGES]


def world(rng: np.random.Generator, accuracy: float, positive: float, negative: float) -> tuple[Floats, Floats]:
    human = np.array(rng.random((ROUNDS, ITEMS)) < accuracy, dtype=np.float64)
    judge = np.array(rng.random(human.shape) < np.where(human > 0, positive, 1 - negative), dtype=np.float64)
    return human, judge


@pytest.mark.parametrize(("grades", "mean", "least"), [(5, 0.94, 0.85), (20, 0.94, 0.89), (80, 0.94, 0.91)])
def test_the_interval_covers(grades: int, mean: float, least: float) -> None:
    """Nominal on the mean of the worlds at every count. With 5 grades there are few possible intervals, and no method
    that is not wastefully wide on the mean keeps the level at each single truth.
    """
    rng = np.random.default_rng(grades)
    shares = []
    for accuracy, positive, negative in WORLDS:
        human, judge = world(rng, accuracy, positive, negative)
        _, low, high = quality_of(studied(human, judge, grades), beyond=True)
        shares.append(covered(low, high, accuracy))
    assert mean <= np.mean(shares) <= 0.98
    assert min(shares) >= least


@pytest.mark.parametrize("grades", [20, 80, 300])
def test_the_interval_of_just_these_items_covers_their_own_mean(grades: int) -> None:
    rng = np.random.default_rng(grades)
    shares = []
    for accuracy, positive, negative in WORLDS:
        human, judge = world(rng, accuracy, positive, negative)
        _, low, high = quality_of(studied(human, judge, grades), beyond=False)
        shares.append(covered(low, high, human.mean(1)))
    assert 0.93 <= np.mean(shares) <= 0.975
    assert min(shares) >= 0.88


@pytest.mark.parametrize(("grades", "most"), [(5, 1.25), (20, 1.1), (80, 1.05)])
def test_it_is_never_much_worse_than_people_alone_and_better_with_a_good_judge(grades: int, most: float) -> None:
    rng = np.random.default_rng(grades)
    for accuracy, positive, negative in WORLDS:
        human, judge = world(rng, accuracy, positive, negative)
        estimate, _, _ = quality_of(studied(human, judge, grades), beyond=True)
        mine = np.abs(estimate - accuracy).mean()
        people = np.abs(human[:, :grades].mean(1) - accuracy).mean()
        assert mine <= most * people
        if positive == negative == 0.95:
            assert mine <= 0.85 * people


def test_grading_more_where_the_judge_fails_bends_nothing() -> None:
    """What `grade_next` asks for: strata of the judge graded at different rates, chance within each."""
    rng = np.random.default_rng(7)
    human, judge = world(rng, 0.8, 0.8, 0.8)
    order = np.argsort(judge + 1e-3 * rng.random(judge.shape), axis=1)  # those that the judge fails come first ...
    few = np.concatenate([order[:, :30], order[:, -10:]], axis=1)
    rest = order[:, 30:-10]
    drawn = np.concatenate([few, rest], axis=1)
    rows = np.arange(ROUNDS)[:, None]
    human, judge = human[rows, drawn], judge[rows, drawn]
    estimate, low, high = quality_of(studied(human, judge, 40), beyond=True)
    assert abs(estimate.mean() - 0.8) < 0.02
    assert covered(low, high, 0.8) >= 0.93
    assert human[:, :40].mean() < 0.65  # ... and people alone would be far off


def graded_world(kind: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    z = rng.normal(size=ITEMS)
    if kind == "five grades":
        human = np.clip(np.round(2.6 + 1.1 * z), 0, 4) / 4
        return human, np.clip(np.round(2.2 + 0.9 * z + 0.6 * rng.normal(size=ITEMS)), 0, 4) / 4
    if kind == "continuous":
        return 1 / (1 + np.exp(-(1 + z))), 1 / (1 + np.exp(-(0.3 + z + 0.5 * rng.normal(size=ITEMS))))
    if kind == "a probability of passing":
        chance = 1 / (1 + np.exp(-(1 + 2 * z)))
        return np.array(rng.random(ITEMS) < chance, dtype=np.float64), 1 / (1 + np.exp(-(0.2 + 2 * z)))
    return np.clip(np.round(2.6 + 1.1 * z), 0, 4) / 4, rng.random(ITEMS)


def told(human: Floats, judge: Floats, grades: int) -> Estimates:
    items = [Item(f"{i:04}", float(judge[i]), float(human[i]) if i < grades else None) for i in range(len(human))]
    return estimates_of(columns_of(items), threshold=0.5, level=0.95)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["five grades", "continuous", "a probability of passing", "a judge that guesses"])
@pytest.mark.parametrize("grades", [8, 40])
def test_graded_judges_and_people(kind: str, grades: int) -> None:
    rng = np.random.default_rng(11)
    truth = float(np.mean([graded_world(kind, rng)[0].mean() for _ in range(500)]))
    found = [told(*graded_world(kind, rng), grades) for _ in range(60)]
    holds = [one.quality.low <= truth <= one.quality.high for one in found]
    assert np.mean(holds) >= 0.88
    off = np.mean([abs(one.quality.estimate - truth) for one in found])
    alone = np.mean([abs(one.humans_alone.estimate - truth) for one in found if one.humans_alone])
    assert off <= 1.1 * alone
    assert np.mean([one.quality.half_width for one in found]) < 0.35


def test_the_bias_of_a_judge_is_covered() -> None:
    rng = np.random.default_rng(3)
    held = []
    for _ in range(80):
        human = np.array(rng.random(ITEMS) < 0.7, dtype=np.float64)
        judge = np.array(rng.random(ITEMS) < np.where(human > 0, 0.7, 0.1), dtype=np.float64)
        bias = told(human, judge, 30).bias
        assert bias
        held.append(bias.low <= 0.7 * 0.7 + 0.3 * 0.1 - 0.7 <= bias.high)
    assert np.mean(held) >= 0.9


def test_what_everyone_agreed_on_does_not_rule_out_better() -> None:
    all_good = told(np.ones(5), np.ones(5), 5)
    assert all_good.quality.estimate == pytest.approx(1)
    assert all_good.quality.high == 1
    assert 0.4 < all_good.quality.low < 0.8
    assert all_good.quality_of_these.low == pytest.approx(1)
    all_bad = told(np.zeros(5), np.ones(5), 5)
    assert (all_bad.quality.estimate, all_bad.quality.low) == (0, 0)


def test_with_all_items_graded_the_estimate_is_their_mean() -> None:
    rng = np.random.default_rng(5)
    human, judge = graded_world("five grades", rng)
    found = told(human, judge, ITEMS)
    assert found.quality.estimate == pytest.approx(human.mean())
    assert found.humans_alone
    assert found.humans_alone.estimate == pytest.approx(human.mean())
    assert found.quality.low < human.mean() < found.quality.high


def test_without_people_nothing_is_known() -> None:
    found = told(np.ones(50), np.ones(50), 0)
    assert found.quality.estimate == 1  # the judge's word, with all doubt
    assert (found.quality.low, found.quality.high) == (0, 1)
    assert found.humans_alone is None
    assert found.bias is None
