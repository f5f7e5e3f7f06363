"""Agreement, kappa and alpha: published examples, exact coverage, simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.judging.certificates.agreement import agreement_of, kappa_of, krippendorff_alpha
from rungwise_server.judging.certificates.intervals import clopper_pearson


def table(both: int, human: int, judge: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    cells = [(1.0, 1.0)] * both + [(1.0, 0.0)] * human + [(0.0, 1.0)] * judge + [(0.0, 0.0)] * none
    people, judged = np.array(cells).reshape(-1, 2).T
    return people, judged


def test_a_table_by_hand() -> None:
    human, judge = table(20, 5, 10, 15)
    found = agreement_of(human, judge, np.ones(50), threshold=0.5, level=0.95)
    assert found.agreement
    assert found.kappa
    assert found.true_positive_rate
    assert found.true_negative_rate
    assert found.agreement.estimate == pytest.approx(0.7)
    assert found.kappa.estimate == pytest.approx(0.4)  # chance: .5 * .6 + .5 * .4
    assert (found.true_positive_rate.estimate, found.true_positive_rate.count) == (0.8, 25)
    assert found.true_negative_rate.estimate == pytest.approx(0.6)
    assert found.weighted_kappa is None


def test_weighted_kappa_is_one_minus_squares_over_chance() -> None:
    human, judge = np.array([0, 0.25, 0.5, 1.0]), np.array([0.25, 0.25, 0.5, 0.75])
    chance = np.mean([(h - j) ** 2 for h in human for j in judge])
    found = kappa_of(human, judge, np.ones(4), 0.95)
    assert found
    assert found.estimate == pytest.approx(1 - np.mean((human - judge) ** 2) / chance)


@pytest.mark.parametrize("cells", [(0, 0, 0, 0), (5, 0, 0, 0), (0, 0, 0, 5)])
def test_where_kappa_has_no_value(cells: tuple[int, int, int, int]) -> None:
    human, judge = table(*cells)
    assert kappa_of(human, judge, np.ones(human.size), 0.95) is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 25), st.floats(0.01, 0.99), st.sampled_from([0.8, 0.95]))
def test_rates_have_exact_intervals(n: int, p: float, level: float) -> None:
    """Coverage summed over all outcomes, not simulated."""
    ends = [clopper_pearson(k / n, n, level) for k in range(n + 1)]
    chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert sum(c for c, (low, high) in zip(chance, ends, strict=True) if low <= p <= high) >= level - 1e-9


@pytest.mark.parametrize("count", [10, 40])
def test_the_interval_of_kappa_covers(count: int) -> None:
    rng = np.random.default_rng(count)
    shares = []
    for rate, positive, negative in [(0.5, 0.9, 0.9), (0.75, 0.95, 0.7), (0.75, 0.6, 0.6), (0.9, 0.95, 0.8)]:
        human, judge = table(*(round(1e4 * cell) for cell in cells_of(rate, positive, negative)))
        truth = kappa_of(human, judge, np.ones(human.size), 0.95)
        assert truth
        held = []
        for _ in range(250):
            human = np.array(rng.random(count) < rate, dtype=np.float64)
            judge = np.array(rng.random(count) < np.where(human > 0, positive, 1 - negative), dtype=np.float64)
            found = kappa_of(human, judge, np.ones(count), 0.95)
            held.append(found is None or found.low <= truth.estimate <= found.high)
        shares.append(np.mean(held))
    assert 0.93 <= np.mean(shares) <= 0.99
    assert min(shares) >= 0.89


def cells_of(rate: float, positive: float, negative: float) -> tuple[float, float, float, float]:
    return rate * positive, rate * (1 - positive), (1 - rate) * (1 - negative), (1 - rate) * negative


@pytest.mark.parametrize("count", [10, 40])
def test_the_interval_of_a_graded_kappa_covers(count: int) -> None:
    rng = np.random.default_rng(count)

    def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
        z = rng.normal(size=size)
        judge = np.clip(np.round(2.2 + 0.9 * z + 0.6 * rng.normal(size=size)), 0, 4) / 4
        return np.clip(np.round(2.6 + 1.1 * z), 0, 4) / 4, judge

    truth = kappa_of(*draw(200_000), np.ones(200_000), 0.95)
    assert truth
    found = [kappa_of(*draw(count), np.ones(count), 0.95) for _ in range(300)]
    assert np.mean([one is not None and one.low <= truth.estimate <= one.high for one in found]) >= 0.92


def test_krippendorff() -> None:
    """The nominal example of Krippendorff (2011), two observers, ten units: alpha .095."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    alpha = krippendorff_alpha([(a, b) for a, b in zip(first, second, strict=True)])
    assert alpha == pytest.approx(0.095, abs=5e-4)
    assert krippendorff_alpha([(1.0,), (0.0,)]) is None
    assert krippendorff_alpha([(1.0, 1.0), (0.0, 0.0, 0.0), (1.0,)]) == pytest.approx(1)
