"""What a report says in sentences."""

import numpy as np

from rungwise_pipelines.evaluation.compare import pair_of
from rungwise_pipelines.evaluation.words import sentence_of


def said(wins: int, losses: int, ties: int) -> str:
    differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)
    return sentence_of(pair_of("a", "b", differences, np.ones(differences.size), 0.95))


def test_who_is_better_is_named_first() -> None:
    assert said(10, 0, 10).startswith("a is better than b by 50.0 (")
    assert said(0, 10, 10).startswith("b is better than a by 50.0 (")
    assert "a is better on 0, worse on 10, alike on 10; p = 0.002" in said(0, 10, 10)


def test_what_would_tell_is_said_with_its_own_doubt() -> None:
    text = said(6, 3, 11)
    assert "cannot be told apart: 15.0 (" in text
    assert "If it is as large as it looks, 159 more examples would tell" in text
    assert "at the least; no number would, if they are alike" in text
    assert "These examples tell differences from 44 points on." in text


def test_where_nothing_differs_no_number_is_promised() -> None:
    assert "more examples" not in said(0, 0, 20)
    assert "So few examples tell no difference at all." in said(0, 0, 3)
