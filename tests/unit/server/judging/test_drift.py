"""Drift, in simulated traffic: the same one rarely counts as changed, another one does."""

import numpy as np
import pytest

from rungwise_server.judging.drift import Traffic, centres_of, drift_of, traffic_of, traffic_of_set
from rungwise_server.types import Vector

TOPICS, WIDTH = 6, 32


def questions(draw: np.random.Generator, centres: Vector, count: int, topics: slice = slice(None)) -> Vector:
    """Questions around topics of unequal size."""
    size = np.arange(1, TOPICS + 1)[topics]
    topic = draw.choice(np.arange(TOPICS)[topics], count, p=size / size.sum())
    made = centres[topic] + draw.normal(0, 0.12, (count, WIDTH))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def world(draw: np.random.Generator) -> Vector:
    made = draw.normal(size=(TOPICS, WIDTH))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def certified(draw: np.random.Generator, centres: Vector, then: int, size: int = 40) -> Traffic:
    """What a certificate keeps, of a set of `size` examples and `then` questions before it."""
    examples = questions(draw, centres, size)
    topic = np.unique((examples @ centres.T).argmax(axis=1), return_inverse=True)[1].astype(np.intp)
    found = centres_of(examples, topic)
    if then:
        return traffic_of("e", found, questions(draw, centres, then))
    return traffic_of_set("e", found, examples, topic, np.ones(size))


@pytest.mark.parametrize(("then", "now"), [(60, 60), (60, 300), (300, 60), (300, 300), (0, 100), (0, 300)])
def test_the_same_traffic_rarely_counts_as_changed(then: int, now: int) -> None:
    draw = np.random.default_rng(then + now)
    changed = 0
    for _ in range(200):
        centres = world(draw)
        drift = drift_of(certified(draw, centres, then), questions(draw, centres, now))
        assert drift is not None
        changed += drift.changed
    assert changed / 200 < 0.05


@pytest.mark.parametrize(("then", "now"), [(60, 100), (300, 100), (300, 300), (0, 200)])
@pytest.mark.parametrize("how", ["other topics", "new topics"])
def test_another_traffic_counts_as_changed(then: int, now: int, how: str) -> None:
    draw = np.random.default_rng(then + now)
    changed = 0
    for _ in range(60):
        centres = world(draw)
        traffic = certified(draw, centres, then)
        later = (
            questions(draw, centres, now, slice(0, 3)) if how == "other topics" else questions(draw, world(draw), now)
        )
        drift = drift_of(traffic, later)
        assert drift is not None
        changed += drift.changed
    assert changed / 60 > 0.95


def test_few_questions_tell_nothing() -> None:
    draw = np.random.default_rng(0)
    centres = world(draw)
    assert drift_of(certified(draw, centres, 100), questions(draw, centres, 49)) is None


def test_one_example_is_enough_to_begin_with() -> None:
    draw = np.random.default_rng(0)
    centres = world(draw)
    one = questions(draw, centres, 1)
    traffic = traffic_of_set("e", one, one, np.zeros(1, dtype=np.intp), np.ones(1))
    assert drift_of(traffic, questions(draw, centres, 60)) is not None
    assert sum(traffic.shares) == pytest.approx(1)
