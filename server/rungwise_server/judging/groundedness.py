"""How well passages support an answer, sentence by sentence, without any language model.

A sentence's value is the mean of three signals: how many of its words the passages have together in few places, how
many of its runs of characters they have anywhere, and how near it is in meaning to the sentence that has most of its
words. A number or a name that no passage has takes from it, and so does a no where the passage says yes. Nothing of
this is fitted: weights that were learned from people's grades did no better on grades that they had not seen.

It measures support, not truth, and by what is written: what follows from the passages only by thought, or is said in
another language than theirs, is not seen to be supported.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from rungwise_server.judging.claims import Claim, claims
from rungwise_server.judging.evidence import Evidence, Words
from rungwise_server.protocols import Embedder
from rungwise_server.text.overlap import likely_language
from rungwise_server.text.sentences import unspaced
from rungwise_server.types import Passage

SUPPORTED = 0.45
"""A sentence below this is to be marked as unsupported."""
NOTHING_CLAIMED = 0.5
"""The value of an answer that claims nothing. People's grades of such answers are as far apart as they can be."""

_OPEN = (0.2, 0.85)  # a sentence with more or less of its words is decided by them: embedding is what takes the time
_EMBEDDED = 64  # sentences of one answer; words decide the others
_NUMBERS, _NAMES, _NEGATED = 0.6, 0.2, 0.6  # what a sentence loses by a wrong number, all names unknown, a misplaced no


class Support(Struct, frozen=True):
    """How far the passages support one sentence, which stands from `start` to `end` in the answer.

    `text` is without citation markers; `value` from 0 to 1; `passage` the index of the passage that supports it best,
    -1 where none does. A sentence that is not `checkable` claims nothing (a greeting, "I do not know"): it counts for
    nothing, and its value is 1.
    """

    start: int
    end: int
    text: str
    value: float
    passage: int
    checkable: bool


class Grounding(Struct, frozen=True):
    """How far the passages support an answer: the mean of what its checkable sentences are worth, by their length.

    Where there is none, `value` is NOTHING_CLAIMED.
    """

    value: float
    sentences: tuple[Support, ...]

    @property
    def claims(self) -> int:
        """How many sentences claim something; of an answer with none, `value` says nothing."""
        return sum(sentence.checkable for sentence in self.sentences)


class Groundedness:
    """Measures answers against passages.

    Args:
        embedder: compares meaning, in the languages that it was trained for; in others words alone decide.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def measure(self, answer: str, passages: Sequence[str | Passage]) -> Grounding:
        """How far `passages` support `answer`. Raises UpstreamError where the embedder cannot be reached."""
        found = await asyncio.to_thread(_read, answer, passages)
        near = await self._meaning({c: w for c, w in found.items() if w}) if self._knows(answer) else {}
        sentences = tuple(
            Support(
                claim.start,
                claim.end,
                claim.text,
                _value(words, near.get(claim)) if words else 1.0,
                words.passage if words else -1,
                claim.checkable,
            )
            for claim, words in found.items()
        )
        values = [(s.value, len(s.text)) for s in sentences if s.checkable]
        if not values:
            return Grounding(NOTHING_CLAIMED, sentences)
        return Grounding(sum(value * size for value, size in values) / sum(size for _, size in values), sentences)

    def _knows(self, text: str) -> bool:
        known = self._embedder.languages
        if not known:
            return True
        if unspaced(text):
            return bool(known & {"ja", "zh", "th"})
        return (likely_language(text) or "en") in known

    async def _meaning(self, found: dict[Claim, Words]) -> dict[Claim, float]:
        """How near each sentence is to its best unit, 0 to 1, of those that words leave open."""
        left = {c: words.unit for c, words in found.items() if words.unit and _OPEN[0] <= words.share < _OPEN[1]}
        left = dict(list(left.items())[:_EMBEDDED])
        if not left:
            return {}
        texts = list(dict.fromkeys([*(claim.text for claim in left), *left.values()]))
        vectors = dict(zip(texts, await self._embedder.embed(texts, "passage"), strict=True))
        return {c: float(np.clip(vectors[c.text] @ vectors[unit], 0.0, 1.0)) for c, unit in left.items()}


def _read(answer: str, passages: Sequence[str | Passage]) -> dict[Claim, Words | None]:
    """Every sentence of an answer with its signals; None for one that claims nothing. Takes milliseconds of CPU."""
    evidence = Evidence([_text(passage) for passage in passages])
    return {claim: evidence.of(claim.text) if claim.checkable else None for claim in claims(answer)}


def _text(passage: str | Passage) -> str:
    return passage if isinstance(passage, str) else "\n\n".join([passage.title, *passage.headings, passage.text])


def _value(words: Words, meaning: float | None) -> float:
    if not words.unit:
        return 0.0
    seen = words.share if meaning is None else (2 * words.share + meaning) / 3
    lost = (1 - _NUMBERS * (1 - words.numbers)) * (1 - _NAMES * (1 - words.names)) * (1 - _NEGATED * words.negated)
    return min(1.0, seen * lost)
