"""The beta distribution: against closed forms, against the binomial, and against itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.judging.certificates import beta

shapes = st.floats(0.05, 5000)


@settings(deadline=None)
@given(st.floats(0.001, 0.999), shapes)
def test_closed_forms(x: float, a: float) -> None:
    assert float(beta.cdf(x, a, 1)) == pytest.approx(x**a, rel=1e-9, abs=1e-300)
    assert float(beta.cdf(x, 1, a)) == pytest.approx(-math.expm1(a * math.log1p(-x)), rel=1e-9)


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_binomial_tail(n: int, data: st.DataObject) -> None:
    k, p = data.draw(st.integers(1, n)), data.draw(st.floats(0.01, 0.99))
    tail = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    assert float(beta.cdf(p, k, n - k + 1)) == pytest.approx(tail, rel=1e-9)


@settings(deadline=None)
@given(st.floats(1e-4, 1 - 1e-4), shapes, shapes)
def test_the_quantile_turns_it_round(p: float, a: float, b: float) -> None:
    x = float(beta.quantile(p, a, b))
    assert 0 <= x <= 1
    # Where the density is so steep that neighbouring floats lie on both sides, that is as near as one can get.
    below, above = float(beta.cdf(x * (1 - 1e-9), a, b)), float(beta.cdf(min(1.0, x + (1 - x) * 1e-9 + x * 1e-9), a, b))
    assert below - 1e-8 <= p <= above + 1e-8


@pytest.mark.parametrize(
    ("p", "freedom", "value"),
    [(0.975, 1, 12.706204736), (0.975, 4, 2.776445105), (0.95, 10, 1.812461123), (0.995, 120, 2.617421145)],
)
def test_student(p: float, freedom: float, value: float) -> None:
    assert beta.t_quantile(p, freedom) == pytest.approx(value, rel=1e-8)


def test_ends_and_arrays() -> None:
    assert beta.quantile([0, 1], 2, 3).tolist() == [0, 1]
    assert beta.cdf([0, 1], 2, 3).tolist() == [0, 1]
    table = beta.quantile(np.array([[0.025], [0.975]]), [0.4, 5.4, 400.4], [0.4, 0.4, 600.4])
    assert table.shape == (2, 3)
    assert (table[0] < table[1]).all()
