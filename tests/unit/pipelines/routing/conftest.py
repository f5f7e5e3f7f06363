"""Outcomes of a world that is known: what a router should find in it can be said."""

from collections.abc import Callable

import numpy as np
import pytest
from msgspec import Raw

from rungwise_pipelines.routing.outcomes import Outcomes
from rungwise_server.routing.features import features
from rungwise_server.types import Caller, Message, Question

TOPICS = ("prove the theorem about prime numbers", "name the capital city of a country")


def outcomes_of(count: int, *, seed: int = 0, right: tuple[float, float] = (1.0, 0.0)) -> Outcomes:
    """Requests of two kinds: the strong candidate is right on `right[0]` of both, the weak one on all easy ones, and
    on `right[1]` of the hard ones. The strong one costs ten times as much.
    """
    draw = np.random.default_rng(seed)
    hard = draw.random(count) < 0.5
    texts = [f"Please {TOPICS[0 if one else 1]}, number {draw.integers(99)}." for one in hard]
    centres = np.random.default_rng(77).normal(size=(2, 16))
    vectors = centres[hard.astype(int)] + 0.3 * draw.normal(size=(count, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = [
        features(Question("", Caller(), (Message("user", text, Raw(b"{}")),), text), None, vector.astype(np.float32))
        for text, vector in zip(texts, vectors, strict=True)
    ]
    strong = draw.random(count) < right[0]
    weak = ~hard | (draw.random(count) < right[1])
    return Outcomes(
        ("large", "small"),
        found,
        np.stack([strong, weak], axis=1).astype(float),
        np.tile([10.0, 1.0], (count, 1)),
        texts,
        [""] * count,
    )


@pytest.fixture(scope="session")
def world() -> Callable[..., Outcomes]:
    """Makes outcomes."""
    return outcomes_of
