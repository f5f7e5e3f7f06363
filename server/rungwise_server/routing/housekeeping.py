"""Sends chat clients' own calls (titles, tags, follow-ups) to the cheapest candidate, whatever the policy says."""

from collections.abc import Sequence

from rungwise_server.protocols import Router
from rungwise_server.types import Passage, Question, Route


class Housekeeping:
    """Wraps `router`, which never sees a housekeeping call."""

    def __init__(self, router: Router, cheapest: str) -> None:
        self._router = router
        self._route = Route(
            cheapest, "a chat client's own call (title, tags): the cheapest candidate", "housekeeping", {cheapest: 1.0}
        )

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        return self._route if question.housekeeping else await self._router.route(question, passages)
