"""Sums that show their working."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.ledger.assumptions import Assumption
from rungwise_server.ledger.sheet import Sheet, around, assumed, configured, matters_most, seeded, shares

NUMBERS = st.floats(0.01, 1e6)


@given(low=NUMBERS, up=NUMBERS, further=NUMBERS)
def test_half_of_the_draws_are_on_each_side(low: float, up: float, further: float) -> None:
    middle, high = low + up, low + up + further
    draws = around("x", low, middle, high)
    assert draws.min() >= low
    assert draws.max() <= high
    assert 0.45 < float((draws < middle).mean()) < 0.55


def test_draws_hang_on_the_name_alone() -> None:
    assert np.array_equal(around("a", 0, 1, 2), around("a", 0, 1, 2))
    assert not np.array_equal(around("a", 0, 1, 2), around("b", 0, 1, 2))
    assert seeded("a").random() == seeded("a").random()


def test_shares_are_as_wide_as_their_interval() -> None:
    draws = shares("q", 0.8, 0.7, 0.9)
    low, high = np.quantile(draws, (0.025, 0.975))
    assert abs(float(low) - 0.7) < 0.03
    assert abs(float(high) - 0.9) < 0.03
    assert np.all((shares("q", 1.0, 0.6, 1.0) <= 1) & (shares("q", 0.0, 0.0, 0.5) >= 0))
    assert np.all(shares("q", 0.5, 0.5, 0.5) == 0.5)


def test_a_sum_has_its_value_its_range_and_what_it_is_of() -> None:
    sheet = Sheet("support")
    price = sheet.given("price", "A price", "as configured", 2.0, "money", configured("ledger.gpu_hour"))
    hours = sheet.given("hours", "Hours", "assumed", 10.0, "hours", assumed("so"), low=5.0, high=20.0)
    cost = sheet.reckon("cost", "Cost", "hours × price", "money", lambda h, p: h * p, hours, price)
    assert cost.line.value == 20.0
    assert cost.line.low is not None
    assert cost.line.high is not None
    assert 10.0 < cost.line.low < 20.0 < cost.line.high < 40.0
    assert cost.line.source.lines == ("support/hours", "support/price")
    assert price.line.low == price.line.high == 2.0
    assert sheet["hours"] is hours
    assert matters_most(cost, [price, hours]) is hours
    assert matters_most(price, [hours]) is None


def test_what_may_be_infinite_has_a_range_without_a_nan() -> None:
    sheet = Sheet("w")
    saving = sheet.assume("saving", "Saving", Assumption((-1.0, 0.5, 1.0), "so"))
    back = sheet.reckon(
        "payback", "", "", "months", lambda s: np.where(s > 0, 1 / np.where(s > 0, s, 1.0), np.inf), saving
    )
    assert back.line.value == 2.0
    assert back.line.high == math.inf
    assert back.line.low is not None
    assert math.isfinite(back.line.low)


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_a_total_is_the_sum(values: list[float]) -> None:
    sheet = Sheet("w")
    figures = [sheet.given(f"x{i}", "", "", value, "money", assumed("")) for i, value in enumerate(values)]
    total = sheet.total("total", "", "", "money", *figures).line
    assert total.value == sum(values, 0.0)
    assert total.low == total.high == total.value
