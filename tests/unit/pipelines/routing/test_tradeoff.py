"""RouteLLM's measures, against cases worked out by hand and edges recorded from pandas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rungwise_pipelines.routing.tradeoff import curve, edges, tradeoff

Floats = NDArray[np.float64]


@pytest.mark.parametrize(
    ("values", "recorded"),
    [  # pandas.qcut(values, 10, retbins=True, duplicates="drop")[1]
        (list(range(11)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ([0.1, 0.1, 0.1, 0.9], [0.1, 0.18, 0.42, 0.66, 0.9]),
        ([1, 2, 3, 4], [1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8, 3.1, 3.4, 3.7, 4.0]),
        ([5, 5, 5], [5]),
    ],
)
def test_edges_are_those_of_pandas(values: list[float], recorded: list[float]) -> None:
    """Quantiles, interpolated; the same edge twice counts once."""
    assert edges(np.array(values, float)) == pytest.approx(recorded)


def test_edges_against_pandas_itself() -> None:
    """Where pandas is at hand: with ties, and without."""
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(0)
    for values in (draw.random(97), draw.integers(4, size=50).astype(float), draw.normal(size=11)):
        assert edges(values) == pytest.approx(pandas.qcut(values, 10, retbins=True, duplicates="drop")[1])


def test_the_oracle_by_hand() -> None:
    """Ten requests, the strong model needed on five: half the calls gain everything."""
    win = np.arange(10.0)
    weak = np.array([1.0] * 5 + [0.0] * 5)
    found = tradeoff(win, np.ones(10), weak)
    # Shares go down in steps of a tenth; from .5 up everything is gained, below it .2 of the gap a step.
    assert found.apgr == pytest.approx(0.75)
    assert found.cpt50 == pytest.approx(0.25)
    assert found.cpt80 == pytest.approx(0.40)


def test_chance_is_about_a_half() -> None:
    """Over many draws."""
    draw = np.random.default_rng(1)
    strong, weak = (draw.random(800) < 0.9).astype(float), (draw.random(800) < 0.6).astype(float)
    found = [tradeoff(draw.random(800), strong, weak) for _ in range(60)]
    assert np.mean([one.apgr for one in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([one.cpt50 for one in found]) == pytest.approx(0.5, abs=0.04)


def test_no_curve() -> None:
    """One model for all, and a strong model that is not better, have none."""
    better, worse = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    assert np.isnan(tradeoff(np.ones(3), better, worse).apgr)
    assert np.isnan(tradeoff(np.arange(3.0), worse, better).apgr)


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_curves_go_from_nearly_nothing_to_all(rows: list[tuple[float, bool, bool]]) -> None:
    """Shares ascend, and means lie between the worst and the best choice; only the order of win rates counts."""
    win, strong, weak = (np.array(column, float) for column in zip(*rows, strict=True))
    shares, means = curve(win, strong, weak)
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] in (0.0, 1.0)
    assert (means >= np.minimum(strong, weak).mean() - 1e-9).all()
    assert (means <= np.maximum(strong, weak).mean() + 1e-9).all()
