"""The contract suite of `Router`, and a router that does as it is told."""

from collections.abc import Sequence

import pytest

from rungwise_server.prompt import text_message
from rungwise_server.protocols import Router
from rungwise_server.types import Caller, Passage, Question, Route

PASSAGE = Passage("p", "d", "c", "some evidence", frozenset({"everyone"}))


def question(text: str = "hello", *, groups: tuple[str, ...] = (), asks: tuple[str, ...] = ()) -> Question:
    """A question of one user message."""
    return Question("w", Caller("ana", frozenset(groups)), (text_message("user", text),), text, frozenset(asks))


class FixedRouter:
    """A `Router` that gives the route it was made with, and remembers what it was asked."""

    def __init__(self, route: Route) -> None:
        self.chosen = route
        self.asked: list[tuple[Question, tuple[Passage, ...]]] = []

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """The route."""
        self.asked.append((question, tuple(passages)))
        return self.chosen


class RouterContract:
    """Subclass it, override the fixtures, and the router is held to what `Router` promises."""

    @pytest.fixture
    def router(self) -> Router:
        """The router under test."""
        raise NotImplementedError

    @pytest.fixture
    def candidates(self) -> frozenset[str]:
        """All that it may choose from."""
        raise NotImplementedError

    @pytest.mark.parametrize("text", ["hi", "a " * 5000, "", "日本語の質問"])
    @pytest.mark.parametrize("passages", [[], [PASSAGE]])
    @pytest.mark.parametrize("asks", [(), ("tools", "json")])
    async def test_a_route_is_a_candidate_with_a_reason_and_a_distribution(
        self, router: Router, candidates: frozenset[str], text: str, passages: list[Passage], asks: tuple[str, ...]
    ) -> None:
        """Whatever the question, the choice is explained and its propensities are probabilities."""
        route = await router.route(question(text, asks=asks), passages)
        assert route.candidate in candidates
        assert route.reason
        assert route.policy
        assert set(route.propensities) <= candidates
        assert sum(route.propensities.values()) == pytest.approx(1)
        assert route.propensities[route.candidate] > 0
        assert set(route.estimates) <= candidates
        assert all(0 <= estimate <= 1 for estimate in route.estimates.values())
