"""A conversation stays with its model, so that prompt caches live and its tone does not change in mid-talk."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rungwise_server.protocols import Router
from rungwise_server.routing.conversation import conversation
from rungwise_server.types import Passage, Question, Route


class _Held(NamedTuple):
    candidate: str
    until: float


class Sticky:
    """Wraps `router`, whose choice counts for the first turn of a conversation. A later one stays with it, unless the
    model cannot do what is asked now, or the router's estimate of another one is higher by `gain` at least.

    What is remembered is a hash and a name for each conversation, `size` of them, each for `seconds` after its last
    turn; in this process alone. A conversation that is not remembered is routed like a new one.

    Args:
        candidates: each name with what it can do.
    """

    def __init__(
        self,
        router: Router,
        candidates: Mapping[str, frozenset[str]],
        *,
        gain: float = 0.1,
        seconds: float = 3600.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._router = router
        self._candidates = candidates
        self._gain = gain
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._held: OrderedDict[bytes, _Held] = OrderedDict()

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        route = await self._router.route(question, passages)
        if question.housekeeping:
            return route
        key = conversation(question)
        stays = self._known(key)
        if stays and question.asks <= self._candidates.get(stays, frozenset()):
            route = self._stay(stays, route)
        elif stays and stays != route.candidate:
            wanted = ", ".join(sorted(question.asks))
            route = replace(route, reason=f"left {stays}, which cannot do what is asked ({wanted}): {route.reason}")
        self._keep(key, route.candidate)
        return route

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._held)

    def _stay(self, stays: str, route: Route) -> Route:
        """The route of a later turn. What the router draws by chance, it draws still: each candidate that is worth
        leaving for keeps its probability, and all other probability is that of staying.
        """
        usual = route.propensities or {route.candidate: 1.0}
        leaving = {name: share for name, share in usual.items() if name != stays and self._worth(stays, name, route)}
        whole = {**dict.fromkeys(usual, 0.0), stays: 1.0 - sum(leaving.values()), **leaving}
        if route.candidate == stays:
            return replace(route, propensities=whole)
        if route.candidate in leaving:
            more = route.estimates[route.candidate] - route.estimates[stays]
            reason = f"left {stays}: {route.candidate} is likelier to be good enough, by {more:.2f}; {route.reason}"
            return replace(route, reason=reason, propensities=whole)
        reason = f"the conversation stays with {stays}; a new one: {route.reason}"
        return replace(route, candidate=stays, reason=reason, policy="sticky", propensities=whole, then=())

    def _worth(self, stays: str, other: str, route: Route) -> bool:
        there = route.estimates
        return stays in there and other in there and there[other] - there[stays] >= self._gain

    def _known(self, key: bytes) -> str:
        now = self._clock()
        held = self._held.get(key)
        return held.candidate if held is not None and held.until > now else ""

    def _keep(self, key: bytes, candidate: str) -> None:
        now = self._clock()
        self._held.pop(key, None)
        self._held[key] = _Held(candidate, now + self._seconds)
        while self._held and (len(self._held) > self._size or next(iter(self._held.values())).until <= now):
            self._held.popitem(last=False)
