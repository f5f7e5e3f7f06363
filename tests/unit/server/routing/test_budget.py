import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.routing.budget import Budget, best_worth, rate_for

COSTS = {"small": 0.001, "middle": 0.01, "large": 0.05}
DAY = 86400.0


def estimates(rng: np.random.Generator) -> dict[str, float]:
    hard = rng.random()
    return {"small": 0.95 - 0.7 * hard, "middle": 0.95 - 0.4 * hard, "large": 0.95 - 0.1 * hard}


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=40),
    st.floats(0.0005, 0.06),
)
def test_the_rate_keeps_the_allowance_and_is_the_smallest(rows: list[tuple[float, ...]], allowance: float) -> None:
    costs = np.asarray(list(COSTS.values()))
    rate = rate_for(rows, costs, allowance)
    spent = costs[best_worth(rows, costs, rate)].mean()
    if math.isinf(rate):
        assert allowance < 0.001 * (1 + 1e-9)
    else:
        assert spent <= allowance * (1 + 1e-9)
    if 0 < rate < math.inf:
        assert costs[best_worth(rows, costs, rate * 0.999 - 1e-9)].mean() >= spent


def test_one_rate_beats_chance_at_the_same_money() -> None:
    rng = np.random.default_rng(0)
    rows = np.asarray([list(estimates(rng).values()) for _ in range(2_000)])
    costs = np.asarray(list(COSTS.values()))
    chosen = best_worth(rows, costs, rate_for(rows, costs, 0.02))
    spent = costs[chosen].mean()
    quality = rows[np.arange(len(rows)), chosen].mean()
    share = (spent - 0.001) / (0.05 - 0.001)
    assert quality > (1 - share) * rows[:, 0].mean() + share * rows[:, 2].mean() + 0.02


@pytest.mark.parametrize("busy", ["evenly", "in the afternoon"])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_days_money_is_kept_and_used(busy: str, factor: float) -> None:
    """Answers cost `factor` times what was expected; the third day is looked at."""
    now = 0.0
    budget = Budget(20.0, COSTS, clock=lambda: now)
    rng = np.random.default_rng(4)
    spent: dict[int, float] = {}
    for day in range(3):
        # The budget has the whole day's money, however the requests are spread.
        moments = np.sort(rng.random(1_500) if busy == "evenly" else rng.beta(6, 4, 1_500))
        for moment in moments:
            now = (day + float(moment)) * DAY
            bought = budget.choose(estimates(rng))
            budget.settle(bought.expected, bought.expected * factor)
            spent[day] = budget.spent
            assert bought.reason
    assert spent[2] <= 20.0 + 0.05 * factor + 1_500 * 0.001 * factor * 0.1
    assert spent[2] >= 0.8 * 20.0


def test_when_the_money_is_gone_the_cheapest_answers_until_midnight() -> None:
    now = 1_000.0
    budget = Budget(0.2, COSTS, clock=lambda: now)
    sure = {"small": 0.1, "middle": 0.2, "large": 0.99}
    budget.settle(0.0, 0.3)
    bought = budget.choose(sure)
    assert bought.candidate == "small"
    assert "0 of today's 0.2 is left" in bought.reason
    now = DAY + 1.0
    assert budget.choose(sure).candidate != "small"
    assert budget.left > 0


def test_a_candidate_that_costs_more_than_is_left_is_not_chosen() -> None:
    budget = Budget(0.02, COSTS, clock=lambda: DAY - 10.0)
    assert budget.choose({"small": 0.1, "middle": 0.6, "large": 0.7}).candidate == "middle"
    budget.settle(0.01, None)
    assert budget.left == pytest.approx(0.01)
