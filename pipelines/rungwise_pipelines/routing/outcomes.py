"""What is learned from: requests in numbers, and what each candidate scored on them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct

from rungwise_pipelines.progress import Shown
from rungwise_pipelines.routing.examples import Example, Examples
from rungwise_server.errors import NotFound
from rungwise_server.protocols import Embedder
from rungwise_server.question import search_query
from rungwise_server.routing.features import Features, features
from rungwise_server.types import Caller, Message, Passage, Question

_BATCH = 64

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class Outcomes(Struct, frozen=True):
    """One row a request, one column a candidate. `scores` are from 0 to 1, NaN where a candidate was not tried;
    `costs` are money, NaN where unknown. `categories` and `texts` are for baselines alone.
    """

    candidates: tuple[str, ...]
    features: Sequence[Features]
    scores: Floats
    costs: Floats
    texts: Sequence[str]
    categories: Sequence[str]

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: Rows) -> "Outcomes":
        """Only these requests, in this order."""
        return Outcomes(
            self.candidates,
            [self.features[row] for row in chosen],
            self.scores[chosen],
            self.costs[chosen],
            [self.texts[row] for row in chosen],
            [self.categories[row] for row in chosen],
        )

    def only(self, names: Sequence[str]) -> "Outcomes":
        """Only these candidates, in this order."""
        columns = [self.candidates.index(name) for name in names]
        return Outcomes(
            tuple(names),
            self.features,
            self.scores[:, columns],
            self.costs[:, columns],
            self.texts,
            self.categories,
        )


async def outcomes_of(
    examples: Examples, embedder: Embedder, shown: Shown, only: Sequence[str] | None = None
) -> Outcomes:
    """Examples in numbers, of all candidates or of those named, in that order.

    Raises:
        NotFound: no example has a candidate that is asked for.
        UpstreamError: the embedder cannot be asked.
    """
    names = tuple(only or examples.candidates)
    if missing := [name for name in names if name not in examples.candidates]:
        known = ", ".join(examples.candidates)
        raise NotFound(f"No example has {missing[0]!r}; candidates in the examples: {known}.", param="candidate")
    items = [item for item in examples.items if any(name in item.models for name in names)]
    found: list[Features] = []
    shown.begin("examples", len(items))
    for start in range(0, len(items), _BATCH):
        found += await _features(items[start : start + _BATCH], embedder)
        shown.advance(len(found))
    shown.end()
    tried = [[item.models.get(name) for name in names] for item in items]
    return Outcomes(
        names,
        found,
        np.array([[np.nan if one is None else float(one.score) for one in row] for row in tried]),
        np.array([[np.nan if one is None or one.cost is None else one.cost for one in row] for row in tried]),
        [item.prompt for item in items],
        [item.category or "" for item in items],
    )


async def _features(items: Sequence[Example], embedder: Embedder) -> list[Features]:
    """A batch at once: what the engine would give the router for each."""
    messages = [(Message("user", item.prompt, Raw(b"{}")),) for item in items]
    queries = [search_query(one) for one in messages]
    contexts = [[item.context] if isinstance(item.context, str) else item.context or [] for item in items]
    texts = [text for context in contexts for text in context]
    vectors = await embedder.embed(queries, "query")
    beside = await embedder.embed(texts, "passage") if texts else np.zeros((0, vectors.shape[1]), np.float32)
    found, at = [], 0
    for item, message, query, vector, context in zip(items, messages, queries, vectors, contexts, strict=True):
        passages: list[Passage] | None = None
        if item.context is not None:
            near = np.clip(beside[at : at + len(context)] @ vector, 0.0, 1.0)
            at += len(context)
            passages = [
                Passage(str(i), str(i), "", text, frozenset(), similarity=float(similarity))
                for i, (text, similarity) in enumerate(zip(context, near, strict=True))
            ]
        found.append(features(Question("", Caller(), message, query), passages, vector))
    return found
