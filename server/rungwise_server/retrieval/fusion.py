"""Makes one ranking of several, the same on every index."""

import asyncio
from collections.abc import Sequence

from msgspec import structs

from rungwise_server.protocols import Retriever
from rungwise_server.types import Caller, Passage

K = 60
"""How flat the ranks count (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion …", SIGIR 2009)."""

FLAT = 0.25
"""A spread of cosines below which a ranking by meaning tells less than its best place suggests."""

_DIGITS = 4


def ranked(passages: Sequence[Passage]) -> list[Passage]:
    """Best first by score. What differs only in the last digits, in which two indexes never agree, goes by id."""
    return sorted(passages, key=lambda passage: (-round(passage.score, _DIGITS), passage.id))


def blend(dense: Sequence[Passage], sparse: Sequence[Passage], weight: float, limit: int) -> list[Passage]:
    """The best `limit` of a ranking by cosine and one by BM25, as a weighted sum; `weight`, 0 to 1, is the cosine's.

    A convex combination (Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023).
    BM25 counts as a share of its best. The cosine counts from the last of its ranking, since what is not in it may be
    as near as that; and as a share of its spread, or of `FLAT` where it is smaller: an embedder that does not know the
    query's words finds everything alike near, and then its order should not count.

    A passage's `score` becomes that sum: 1 is the best by both, in a ranking that tells them well apart. `similarity`
    becomes its cosine, from 0 to 1, where `dense` has it.
    """
    far = min((passage.score for passage in dense), default=0.0)
    spread = max([FLAT, *(passage.score - far for passage in dense)])
    most = max((passage.score for passage in sparse), default=0.0) or 1.0
    scores = {passage.id: weight * (passage.score - far) / spread for passage in dense}
    for passage in sparse:
        scores[passage.id] = scores.get(passage.id, 0.0) + (1 - weight) * passage.score / most
    near = [structs.replace(passage, similarity=min(max(passage.score, 0.0), 1.0)) for passage in dense]
    return _best({passage.id: passage for passage in (*sparse, *near)}, scores, limit)


def fuse(rankings: Sequence[Sequence[Passage]], weights: Sequence[float], limit: int) -> list[Passage]:
    """The best `limit` of rankings whose scores cannot be compared, by weighted reciprocal ranks.

    A passage's `score` becomes the sum of weight / (K + rank) over the rankings that hold it, as a share of what the
    first of every ranking would have. `similarity` is the largest that a ranking knows.
    """
    best = sum(weights) / (K + 1)
    scores: dict[str, float] = {}
    for weight, ranking in zip(weights, rankings, strict=True):
        for rank, passage in enumerate(ranking, start=1):
            scores[passage.id] = scores.get(passage.id, 0.0) + weight / (K + rank) / best
    found = sorted((passage for ranking in rankings for passage in ranking), key=lambda passage: passage.similarity)
    return _best({passage.id: passage for passage in found}, scores, limit)


def _best(found: dict[str, Passage], scores: dict[str, float], limit: int) -> list[Passage]:
    """By score, without passages whose text a better one has."""
    first: dict[str, Passage] = {}
    for passage in ranked([structs.replace(passage, score=scores[key]) for key, passage in found.items()]):
        first.setdefault(passage.text.strip(), passage)
    return list(first.values())[:limit]


class Fusion:
    """Several retrievers as one: all are asked at once, and what they find is fused by rank."""

    def __init__(self, retrievers: Sequence[Retriever], weights: Sequence[float] = ()) -> None:
        self._retrievers = tuple(retrievers)
        self._weights = tuple(weights) or (1.0,) * len(self._retrievers)

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """Best first; raises what any of the retrievers raises."""
        found = await asyncio.gather(*(retriever.retrieve(query, caller, limit) for retriever in self._retrievers))
        return fuse(found, self._weights, limit)
