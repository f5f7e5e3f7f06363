"""Choosing the best of many variants in simulated worlds: how much better it looks than it is is told."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rungwise_pipelines.judges.choosing import By, choose

Floats = NDArray[np.float64]


def world(draw: np.random.Generator, count: int, right: list[float]) -> tuple[Floats, Floats]:
    """People's passes (60 %), and verdicts of variants that are right so often."""
    human = (draw.random(count) < 0.6).astype(float)
    return np.stack([np.where(draw.random(count) < r, human, 1 - human) for r in right], axis=1), human


def kappa(right: float) -> float:
    """Of a variant that is right so often, whatever the truth."""
    said = 0.6 * right + 0.4 * (1 - right)
    chance = 0.6 * said + 0.4 * (1 - said)
    return (right - chance) / (1 - chance)


@pytest.mark.parametrize(("by", "count"), [("agreement", 10), ("agreement", 30), ("kappa", 30)])
def test_eight_equal_variants(by: By, count: int) -> None:
    """The best of eight looks much better than it is; the nested score is right on the mean, its interval covers."""
    draw = np.random.default_rng(count)
    truth = 0.75 if by == "agreement" else kappa(0.75)
    looks, nested, covered = [], [], []
    for seed in range(20):
        verdicts, human = world(draw, count, [0.75] * 8)
        choice = choose(verdicts, human, np.arange(count), by=by, seed=seed)
        looks.append(choice.looks)
        nested.append(choice.nested)
        covered.append(choice.low <= truth <= choice.high)
        assert choice.optimism == pytest.approx(max(0.0, choice.looks - choice.nested))
    assert np.mean(looks) > truth + 0.08
    # Kappa itself is a little too low on a handful of answers.
    assert np.mean(nested) == pytest.approx(truth, abs=0.08 if by == "agreement" else 0.15)
    assert abs(np.mean(nested) - truth) < np.mean(looks) - truth
    assert np.mean(covered) >= 0.8


def test_a_better_variant_is_found_and_shown_to_be_better() -> None:
    draw = np.random.default_rng(1)
    verdicts, human = world(draw, 80, [0.6, 0.6, 0.95, 0.6])
    choice = choose(verdicts, human, np.arange(80))
    assert choice.best == 2
    assert choice.against_low > 0
    assert choice.variants[2].kappa is not None


def test_of_equals_the_first_is_taken() -> None:
    verdicts, human = world(np.random.default_rng(2), 20, [0.8])
    choice = choose(np.repeat(verdicts, 4, axis=1), human, np.arange(20))
    assert choice.best == 0
    assert choice.optimism == 0
    assert choice.against == 0


def test_a_variant_that_always_passes_is_worth_nothing() -> None:
    human = np.array([1.0] * 18 + [0.0] * 2)
    always, sees = np.ones(20), np.where(np.arange(20) % 7 == 0, 1 - human, human)
    choice = choose(np.stack([always, sees], axis=1), human, np.arange(20))
    assert choice.variants[0].score == 0
    assert choice.best == 1
    assert choose(np.stack([always, sees], axis=1), human, np.arange(20), by="agreement").best == 0


def test_what_a_variant_could_not_tell_counts_as_wrong() -> None:
    human = np.array([1.0, 0.0] * 10)
    silent = human.copy()
    silent[:5] = np.nan
    choice = choose(np.stack([human, silent], axis=1), human, np.arange(20), by="brier")
    assert choice.variants[1].silent == 5
    assert choice.variants[1].brier == pytest.approx(0.25)
    assert choice.best == 0


def test_answers_to_one_question_stay_together() -> None:
    """Verdicts copied within a group must not make the choice look surer than the groups are."""
    draw = np.random.default_rng(3)
    verdicts, human = world(draw, 10, [0.75] * 8)
    alone = choose(verdicts, human, np.arange(10), by="agreement")
    copied = choose(np.repeat(verdicts, 4, axis=0), np.repeat(human, 4), np.repeat(np.arange(10), 4), by="agreement")
    assert copied.looks == pytest.approx(alone.looks)
    assert copied.nested == pytest.approx(alone.nested, abs=0.1)
    assert copied.optimism > 0
