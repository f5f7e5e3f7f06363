"""How well passages support an answer, sentence by sentence, without any language model.

Each sentence is held against the passages by words (`evidence`) and, where words leave it open, by meaning (the
embedder). It is a measure of support, not of truth: what is right and stands in no passage is not grounded.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from rungwise_server.judging.claims import claims
from rungwise_server.judging.evidence import Evidence, Words
from rungwise_server.protocols import Embedder
from rungwise_server.types import Passage

_BIAS = -4.5
_WEIGHTS = {"all": 2.5, "window": 2.0, "order": 2.5, "numbers": 2.0, "negated": -1.0, "meaning": 2.5}


class Support(Struct, frozen=True):
    """How far the passages support one sentence, which stands from `start` to `end` in the answer.

    `value` is from 0 to 1, `passage` the index of the passage that supports it best, -1 where none does. One that is
    not `checkable` claims nothing (a greeting, "I do not know"); its value is 1 and counts for nothing.
    """

    start: int
    end: int
    text: str
    value: float
    passage: int
    checkable: bool


class Grounding(Struct, frozen=True):
    """How far the passages support an answer: the mean of its sentences' values by their length, from 0 to 1.

    An answer that claims nothing is grounded: 1.
    """

    value: float
    sentences: tuple[Support, ...]


class Groundedness:
    """Measures answers against passages. Meaning is compared by `embedder`, all sentences in one batch."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def measure(self, answer: str, passages: Sequence[str | Passage]) -> Grounding:
        """How far `passages` support `answer`. Raises UpstreamError where the embedder cannot be reached."""
        said = claims(answer)
        checked = [claim for claim in said if claim.checkable]
        evidence = Evidence([p if isinstance(p, str) else f"{p.title}\n\n{p.text}" for p in passages])
        found = [evidence.of(claim.text) for claim in checked]
        meaning = await self._meaning([claim.text for claim in checked], found)
        values = iter(
            zip(found, (_value(words, near) for words, near in zip(found, meaning, strict=True)), strict=True)
        )
        sentences = []
        for claim in said:
            words, value = next(values) if claim.checkable else (None, 1.0)
            passage = words.passage if words else -1
            sentences.append(Support(claim.start, claim.end, claim.text, value, passage, claim.checkable))
        lengths = [len(s.text) for s in sentences if s.checkable]
        value = float(np.average([s.value for s in sentences if s.checkable], weights=lengths)) if lengths else 1.0
        return Grounding(value, tuple(sentences))

    async def _meaning(self, texts: Sequence[str], found: Sequence[Words]) -> list[float]:
        """The cosine of each sentence with its best window."""
        open_ = [i for i, words in enumerate(found) if words.text]
        pairs = [texts[i] for i in open_] + [found[i].text for i in open_]
        vectors = await self._embedder.embed(list(pairs), "passage")
        near = [0.0] * len(texts)
        for row, i in enumerate(open_):
            near[i] = max(0.0, float(vectors[row] @ vectors[len(open_) + row]))
        return near


def _value(words: Words, meaning: float) -> float:
    if not words.text:
        return 0.0
    total = _BIAS + _WEIGHTS["meaning"] * meaning
    for name in ("all", "window", "order", "numbers", "negated"):
        total += _WEIGHTS[name] * float(getattr(words, name))
    return float(1 / (1 + np.exp(-total)))
