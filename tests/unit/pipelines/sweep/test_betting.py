"""Evidence by betting: its error at any time, and what its bounds hold."""

import math

import numpy as np
import pytest

from rungwise_pipelines.sweep.betting import Floats, at_least, at_most, fortune, needed

ALPHA = 0.05
LOOKS = (5, 8, 12, 18, 27, 40, 60)


def _draw(random: np.random.Generator, kind: str, mean: float, n: int) -> Floats:
    if kind == "pass":  # differences of grades of 0 and 1
        share = 0.6
        return random.choice([1.0, 0.0, -1.0], size=n, p=[(share + mean) / 2, 1 - share, (share - mean) / 2])
    if kind == "rare":  # nearly always a little, sometimes a disaster: where normal theory fails
        return np.where(random.random(n) < 0.05, -1.0, (mean + 0.05) / 0.95)
    return np.clip(random.normal(mean, 0.3, size=n), -1, 1)


@pytest.mark.parametrize("kind", ["pass", "rare", "graded"])
def test_where_there_is_nothing_looking_often_finds_it_seldom(kind: str) -> None:
    """The chance that any of the looks, stopped at the first success, says "better" of a mean of zero."""
    random = np.random.default_rng(3)
    runs, found = 600, 0
    for _ in range(runs):
        drawn = _draw(random, kind, 0.0, LOOKS[-1])
        found += any(fortune(drawn[:n], np.ones(n)) >= -math.log(ALPHA) for n in LOOKS)
    assert found / runs <= ALPHA


@pytest.mark.parametrize(("mean", "n", "power"), [(0.4, 40, 0.5), (0.4, 60, 0.85), (0.55, 40, 0.95)])
def test_what_is_there_is_found(mean: float, n: int, power: float) -> None:
    random = np.random.default_rng(4)
    found = [fortune(_draw(random, "pass", mean, n), np.ones(n)) >= -math.log(ALPHA) for _ in range(300)]
    assert np.mean(found) >= power


@pytest.mark.parametrize("kind", ["pass", "rare", "graded"])
@pytest.mark.parametrize("mean", [-0.1, 0.2])
def test_bounds_hold_the_mean_at_every_look(kind: str, mean: float) -> None:
    random = np.random.default_rng(5)
    runs, missed = 120, 0
    for _ in range(runs):
        drawn = _draw(random, kind, mean, 60)
        bounds = [(at_least(drawn[:n], np.ones(n), ALPHA), at_most(drawn[:n], np.ones(n), ALPHA)) for n in (10, 25, 60)]
        missed += any(not low <= mean + 1e-6 or not mean - 1e-6 <= high for low, high in bounds)
    # Two bounds of ALPHA each; clipping moves the mean of the graded ones by less than the bounds' own slack.
    assert missed / runs <= 2 * ALPHA


def test_the_bound_and_the_test_say_the_same() -> None:
    random = np.random.default_rng(6)
    for mean in (0.0, 0.2, 0.4):
        drawn = _draw(random, "pass", mean, 50)
        found = fortune(drawn, np.ones(50)) >= -math.log(ALPHA)
        assert (at_least(drawn, np.ones(50), ALPHA) > -1e-5) == found


def test_weights_change_what_is_bet_on() -> None:
    differences = np.array([1.0] * 20 + [-1.0] * 20)
    even, heavy = np.ones(40), np.array([1.0] * 20 + [0.1] * 20)
    assert fortune(differences, even) < 0
    assert fortune(differences, heavy) > -math.log(ALPHA)
    assert fortune(differences, heavy) == pytest.approx(fortune(differences, 7 * heavy))


def test_extremes() -> None:
    nothing = np.array([])
    assert fortune(nothing, nothing) == 0.0
    assert at_least(nothing, nothing, ALPHA) == pytest.approx(-1, abs=1e-5)
    assert at_most(nothing, nothing, ALPHA) == pytest.approx(1, abs=1e-5)
    ones = np.ones(30)
    assert 0.7 < at_least(ones, ones, ALPHA) < 1
    assert at_most(ones, ones, ALPHA) == pytest.approx(1, abs=1e-5)
    assert needed(nothing, nothing, ALPHA) is None
    assert needed(-ones, ones, ALPHA) is None


def test_what_would_be_needed_is_about_what_is() -> None:
    random = np.random.default_rng(7)
    told = needed(_draw(random, "pass", 0.3, 4000), np.ones(4000), ALPHA)
    assert told is not None
    found = [fortune(_draw(random, "pass", 0.3, told), np.ones(told)) >= -math.log(ALPHA) for _ in range(200)]
    assert 0.25 < np.mean(found) < 0.85
