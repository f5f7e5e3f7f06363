"""Makes one ranking of several: weighted reciprocal rank fusion, the same on every index."""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from rungwise_server.protocols import Retriever
from rungwise_server.types import Caller, Passage

K = 60
"""How flat the ranks count (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion …", SIGIR 2009)."""

_DIGITS = 4


def ranked(passages: Sequence[Passage]) -> list[Passage]:
    """Best first by score. What differs only in the last digits, in which two indexes never agree, goes by id."""
    return sorted(passages, key=lambda passage: (-round(passage.score, _DIGITS), passage.id))


def fuse(rankings: Sequence[Sequence[Passage]], weights: Sequence[float], limit: int) -> list[Passage]:
    """The best `limit` passages of all rankings (each best first), without those whose text is there already.

    A passage's `score` becomes the sum of weight / (K + rank) over the rankings that hold it, as a share of what the
    first of every ranking would have: 1 means first everywhere, one half first in one of two equal rankings.
    """
    best = sum(weights) / (K + 1)
    scores: dict[str, float] = {}
    found: dict[str, Passage] = {}
    for weight, ranking in zip(weights, rankings, strict=True):
        for rank, passage in enumerate(ranking, start=1):
            scores[passage.id] = scores.get(passage.id, 0.0) + weight / (K + rank)
            found.setdefault(passage.id, passage)
    fused = ranked([structs.replace(found[key], score=score / best) for key, score in scores.items() if score > 0])
    first: dict[str, Passage] = {}
    for passage in fused:
        first.setdefault(passage.text.strip(), passage)
    return list(first.values())[:limit]


class Fusion:
    """Several retrievers as one: each is asked at once, and what they find is fused."""

    def __init__(self, retrievers: Sequence[Retriever], weights: Sequence[float] = ()) -> None:
        self._retrievers = tuple(retrievers)
        self._weights = tuple(weights) or (1.0,) * len(self._retrievers)

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """Best first; raises what any of the retrievers raises."""
        found = await asyncio.gather(*(retriever.retrieve(query, caller, limit) for retriever in self._retrievers))
        return fuse(found, self._weights, limit)
