"""A share of callers, or of conversations, gets a candidate that is on trial."""

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from rungwise_server.protocols import Router
from rungwise_server.routing.conversation import caller, conversation, uniform
from rungwise_server.types import Passage, Question, Route


class Canary:
    """Wraps `router`: `candidate` answers the share of callers (or conversations) whose hash falls into it, always the
    same ones, and the others as before. A larger share keeps those who had it. What `candidate` cannot do (`able`), it
    is not asked.

    Nobody chooses their hash, so the share is the probability with which each request could have had the candidate.
    """

    def __init__(
        self,
        router: Router,
        candidate: str,
        share: float,
        able: frozenset[str],
        by: Literal["caller", "conversation"] = "caller",
    ) -> None:
        self._router = router
        self._candidate = candidate
        self._share = share
        self._able = able
        self._by = by

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        route = await self._router.route(question, passages)
        if question.housekeeping or not question.asks <= self._able:
            return route
        name, share = self._candidate, self._share
        usual = route.propensities or {route.candidate: 1.0}
        whole = {other: (1 - share) * usual.get(other, 0.0) for other in {**usual, name: 0.0}}
        whole[name] += share
        key = (caller if self._by == "caller" else conversation)(question)
        if uniform(f"canary {name}", key) >= share:
            return replace(route, propensities=whole)
        reason = f"canary: {name} answers {share:.3g} of all {self._by}s; else: {route.reason}"
        return replace(route, candidate=name, reason=reason, policy="canary", propensities=whole, then=())
