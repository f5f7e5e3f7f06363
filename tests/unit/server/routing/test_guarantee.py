"""The promise is kept as often as it says, and is not dearer than it must be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rungwise_server.routing.guarantee import (
    NEVER,
    Promise,
    Rule,
    Target,
    choose,
    clearance,
    fortune,
    ladder_of,
    lower_bound,
    threshold_of,
)

Floats = NDArray[np.float64]
COSTS = np.array([0.1, 0.3, 1.0])
STRONGEST = 2


def world(count: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Estimates, scores and the true P(good) of three candidates on questions of which half the difficulty is seen."""
    rng = np.random.default_rng(seed)
    hardness, unseen = rng.normal(size=count), rng.normal(size=count)

    def good(seen: Floats) -> Floats:
        logits = np.stack([1.6 - 1.2 * seen, 2.2 - seen, 3.0 - 0.8 * seen], axis=1)
        return np.asarray(1 / (1 + np.exp(-logits)))

    truth = good(hardness)
    return good(0.6 * (hardness + 0.8 * unseen)), (rng.random(truth.shape) < truth).astype(np.float64), truth


def served(promise: Promise, estimates: Floats, truth: Floats) -> tuple[float, float]:
    """Quality and cost of the promise's policy on all traffic."""
    clear = clearance(estimates, STRONGEST, promise.rule)
    chosen = choose(clear, ladder_of(COSTS), STRONGEST, promise.threshold)
    return float(truth[np.arange(len(chosen)), chosen].mean()), float(COSTS[chosen].mean())


@pytest.mark.parametrize(
    ("target", "rule"), [(Target(0.95, True), "regret"), (Target(0.95, True), "level"), (Target(0.88), "level")]
)
def test_kept_in_ninety_of_a_hundred_splits_and_not_absurdly_dear(target: Target, rule: Rule) -> None:
    estimates, _, truth = world(100_000, 9)
    strongest = float(truth[:, STRONGEST].mean())
    goal = target.level * (strongest if target.relative else 1.0)
    kept, costs = 0, []
    for split in range(100):
        guessed, scores, _ = world(600, 1_000 + split)
        promise = threshold_of(guessed, scores, COSTS, STRONGEST, target, rule=rule)
        quality, cost = served(promise, estimates, truth)
        kept += quality >= goal
        costs.append(cost)
    assert kept >= 90
    # The cheapest threshold that reaches the goal, with all traffic's outcomes known, costs .37 to .47.
    assert np.mean(costs) < 0.65


def test_what_nobody_can_promise_is_kept_by_nobody_more_often_than_said() -> None:
    """The cheap one is just below the target whatever it is asked: to promise it would be a mistake each time."""
    wrong = 0
    for split in range(200):
        rng = np.random.default_rng(split)
        scores = np.stack([rng.random(400) < 0.795, rng.random(400) < 0.95], axis=1).astype(np.float64)
        promise = threshold_of(np.ones((400, 2)), scores, [1.0, 2.0], 1, Target(0.8), confidence=0.9)
        wrong += promise.held
    assert wrong <= 30  # of 200, a tenth allowed: 20, and chance


def test_too_few_outcomes_say_how_many_more_and_route_to_the_strongest() -> None:
    estimates, scores, _ = world(30, 3)
    promise = threshold_of(estimates, scores, COSTS, STRONGEST, Target(0.98, True))
    assert not promise.held
    assert promise.threshold == NEVER
    assert promise.shares == (0.0, 0.0, 1.0)
    assert promise.cost == promise.strongest_cost == 1.0
    assert promise.needed is not None
    assert promise.needed > 0
    assert f"{promise.needed:,} more" in promise.why
    more = threshold_of(*world(30 + 2 * promise.needed, 3)[:2], COSTS, STRONGEST, Target(0.98, True))
    assert more.held


def test_none_at_all() -> None:
    promise = threshold_of(np.empty((0, 2)), np.empty((0, 2)), [1.0, 2.0], 1, Target(0.9, True))
    assert not promise.held
    assert promise.needed is not None
    assert promise.needed > 10
    assert promise.strongest_cost == promise.cost == 2.0


def test_where_no_number_would_help_it_says_so() -> None:
    rng = np.random.default_rng(1)
    scores = np.stack([rng.random(500) < 0.3, rng.random(500) < 0.9], axis=1).astype(np.float64)
    promise = threshold_of(rng.random((500, 2)), scores, [1.0, 2.0], 1, Target(0.99, True))
    assert not promise.held
    assert promise.needed is None
    assert "more would not help" in promise.why


def test_a_target_above_the_strongest_is_not_promised() -> None:
    promise = threshold_of(*world(1_000, 5)[:2], COSTS, STRONGEST, Target(0.999))
    assert not promise.held
    assert "not even of the strongest" in promise.why


def test_a_dearer_candidate_than_the_strongest_and_one_without_a_price_are_never_chosen() -> None:
    assert ladder_of([2.0, math.nan, 1.0]) == [2, 0, 1]
    clear = np.ones((4, 3))
    assert set(choose(clear, [2, 0, 1], 0, 0.5)) == {2}
    assert set(choose(clear, [0, 1, 2], 0, 0.5)) == {0}
    clear[:, 2] = math.nan
    assert set(choose(clear, [2, 0, 1], 0, 0.5)) == {0}


@pytest.mark.parametrize(
    ("text", "target"), [("0.9", Target(0.9)), ("0.95 of strongest", Target(0.95, True)), ("1", Target(1.0))]
)
def test_targets_are_read_and_written(text: str, target: Target) -> None:
    assert Target.read(text) == target
    assert Target.read(str(target)) == target


@pytest.mark.parametrize("text", ["", "high", "0", "1.1", "0.9 of weakest", "of strongest", "nan"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a number"):
        Target.read(text)


def test_shapes_and_scores_are_checked() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        threshold_of(np.ones((3, 2)), np.ones((3, 2)), [1.0], 0, Target(0.9))
    with pytest.raises(ValueError, match="missing, or not from 0 to 1"):
        threshold_of(np.ones((3, 2)), np.full((3, 2), 1.5), [1.0, 2.0], 0, Target(0.9))


def test_bounds_cover_as_often_as_they_say() -> None:
    for make in (
        lambda rng: (rng.random(200) < 0.9).astype(np.float64),
        lambda rng: rng.beta(9, 1, 200),
        lambda rng: np.where(rng.random(200) < 0.02, 0.0, 0.918),
    ):
        mean = float(np.mean([make(np.random.default_rng(i)).mean() for i in range(2_000)]))
        misses = sum(lower_bound(make(np.random.default_rng(5_000 + i)), 0.9) > mean for i in range(300))
        assert misses <= 45  # 30 allowed, and chance
    assert lower_bound(np.array([]), 0.9) == 0.0
    assert 0.9 < lower_bound(np.ones(200), 0.9) < 1.0


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 0.99), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_fortune_is_a_number_and_is_smaller_against_a_truer_claim(
    values: list[float], claimed: float, confidence: float
) -> None:
    given_values = np.asarray(values)
    against = fortune(given_values, claimed, confidence)
    assert 0 <= against < math.inf
    assert fortune(given_values, 1.0, confidence) == 0.0
