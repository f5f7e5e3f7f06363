"""Probabilities from scores: monotone whatever comes, true where there is enough to learn from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_pipelines.routing.calibrate import KNOTS, calibration, curve_of, isotonic


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 1)), min_size=10, max_size=80))
def test_curves_never_descend(rows: list[tuple[float, float]]) -> None:
    """By either method, and stay between 0 and 1."""
    scores, outcomes = (np.array(column) for column in zip(*rows, strict=True))
    for curve in (curve_of(scores, outcomes).curve, isotonic(scores, outcomes)):
        assert curve.scores.shape == curve.probabilities.shape == (KNOTS,)
        assert (np.diff(curve.scores) >= 0).all()
        assert (np.diff(curve.probabilities) >= -1e-9).all()
        assert curve.probabilities.min() >= 0
        assert curve.probabilities.max() <= 1


def test_scores_that_say_too_much_are_drawn_in() -> None:
    """Probabilities that are twice as far from a half as they should be."""
    draw = np.random.default_rng(0)
    true = draw.uniform(0.25, 0.75, 4000)
    outcomes = (draw.random(4000) < true).astype(float)
    said = 2 * true - 0.5
    found = calibration(curve_of(said, outcomes).left_out, outcomes)
    assert calibration(said, outcomes).ece > 0.1
    assert found.ece < 0.03


def test_steps_are_found_where_they_are() -> None:
    """A jump that no sigmoid makes takes the isotonic curve."""
    draw = np.random.default_rng(0)
    scores = draw.random(4000)
    outcomes = (draw.random(4000) < np.where(scores < 0.8, 0.3, np.where(scores < 0.9, 0.35, 0.95))).astype(float)
    assert curve_of(scores, outcomes).method == "isotonic"


def test_unknown_outcomes_teach_nothing() -> None:
    """NaN is left out, and the row still gets a probability."""
    draw = np.random.default_rng(0)
    scores = draw.random(100)
    outcomes = (draw.random(100) < scores).astype(float)
    outcomes[::3] = np.nan
    assert np.isfinite(curve_of(scores, outcomes).left_out).all()


def test_the_error_of_calibration_by_hand() -> None:
    """Thirty estimates of .2 of which half were good: .3 off, and what chance alone would show is less."""
    found = calibration(np.full(30, 0.2), np.array([0.0, 1.0] * 15))
    assert found.ece == pytest.approx(0.3)
    assert found.brier == pytest.approx((0.2**2 + 0.8**2) / 2)
    assert found.chance < 0.3
