"""Cheaper candidates first, the strongest where their answers do not hold up."""

from collections.abc import Mapping, Sequence

from rungwise_server.types import Passage, Question, Route


class Cascade:
    """Names whom to ask, in order; asking and verifying is the engine's.

    Args:
        candidates: each name with what it can do; the first is the strongest, which answers in the end.
        drafting: who drafts, cheapest first. One that cannot do what is asked is passed over.
    """

    def __init__(self, candidates: Mapping[str, frozenset[str]], drafting: Sequence[str]) -> None:
        self._candidates = candidates
        self._drafting = drafting

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        able = [name for name, can in self._candidates.items() if question.asks <= can] or list(self._candidates)
        last = able[0]
        names = [*(name for name in self._drafting if name in able and name != last), last]
        reason = f"a cascade: {', then '.join(names)}" if len(names) > 1 else f"only {last} can do what is asked"
        chance = {name: float(name == names[0]) for name in self._candidates}
        return Route(names[0], reason, "cascade", chance, then=tuple(names[1:]))
