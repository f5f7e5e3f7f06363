"""What passages have of a sentence, by words alone: the signals that `groundedness` weighs.

Words are compared as `rungwise_server.text.overlap` does: rare ones count more, endings and compounds are forgiven,
scripts without spaces are read as character bigrams. Numbers are not forgiven anything.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.text.overlap import likely_language, related, terms
from rungwise_server.text.sentences import units

Floats = NDArray[np.float64]

_WINDOW = 3  # units that a sentence may be drawn together from
_THOUSANDS = re.compile(r"(?<=\d)[,.\u202f\u00a0](?=\d{3}(?!\d))")
_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|nicht|kein\w*|nie|niemals|ne|jamais|aucun\w*|nunca|ningun\w*)\b"
    r"|n['’]t\b|ない|ません|没有|不",
    re.IGNORECASE,
)


class Words(Struct, frozen=True):
    """What the passages have of one sentence, each from 0 to 1.

    `all` of its words, by their rarity, in any passage; `window` in the best one to three neighbouring sentences;
    `order`: of its pairs of neighbouring words; `numbers`: of its numbers; `negated`: 1 where just one of the sentence
    and its best window says no. `passage` and `text` are of that window; -1 and empty where no word is shared.
    """

    all: float
    window: float
    order: float
    numbers: float
    negated: float
    passage: int
    text: str


class Evidence:
    """The passages of an answer, read once; `of` holds sentences against them."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._language = likely_language(" ".join(passages)[:20_000])
        self._units: list[tuple[int, str]] = [
            (number, unit.text) for number, passage in enumerate(passages) for unit in units(passage)
        ]
        self._terms = [self._read(text) for _, text in self._units]
        self._whole = _folded("\n".join(passages))
        self._numbers = set(_numbers(self._whole))
        self._pairs = set(_pairs(self._whole))
        self._having: dict[str, list[int]] = {}
        self._near: dict[str, list[str]] = {}
        for row, found in enumerate(self._terms):
            for word in found:
                if word not in self._having:
                    self._having[word] = []
                    self._near.setdefault(word[:3], []).append(word)
                self._having[word].append(row)

    def _read(self, text: str) -> dict[str, float]:
        return terms(_folded(text), self._language)

    def of(self, sentence: str) -> Words:
        """The signals of one sentence."""
        asked = self._read(sentence)
        rows = len(self._units)
        if not rows or not asked:
            return Words(0.0, 0.0, 0.0, 0.0 if _numbers(sentence) else 1.0, 0.0, -1, "")
        has = np.zeros((rows, len(asked)))
        for column, term in enumerate(asked):
            for word in self._near.get(term[:3], ()):
                if value := _alike(term, word):
                    having = self._having[word]
                    has[having, column] = np.maximum(has[having, column], value)
        worth = np.array(list(asked.values())) * np.log(1 + (rows - has.sum(0) + 0.5) / (has.sum(0) + 0.5))
        worth = np.maximum(worth, 1e-6) / np.maximum(worth, 1e-6).sum()
        best, start, end = self._best(has, worth)
        text = " ".join(text for _, text in self._units[start:end])
        folded = _folded(sentence)
        pairs, numbers = _pairs(folded), _numbers(folded)
        return Words(
            all=float(has.max(0) @ worth),
            window=best,
            order=sum(pair in self._pairs for pair in pairs) / len(pairs) if pairs else float(has.max(0) @ worth),
            numbers=sum(number in self._numbers for number in numbers) / len(numbers) if numbers else 1.0,
            negated=float(bool(_NEGATION.search(sentence)) != bool(_NEGATION.search(text))) if best else 0.0,
            passage=self._units[start][0] if best else -1,
            text=text if best else "",
        )

    def _best(self, has: Floats, worth: Floats) -> tuple[float, int, int]:
        """The window with most of the words; of equals the shortest, then the first."""
        found = (0.0, 0, 1)
        window = has
        for length in range(1, _WINDOW + 1):
            if length > len(has):
                break
            if length > 1:
                window = np.maximum(window[:-1], has[length - 1 :])
            scores = window @ worth
            for start in np.argsort(-scores, kind="stable"):
                if scores[start] <= found[0] + 1e-9:
                    break
                if self._units[start][0] == self._units[start + length - 1][0]:
                    found = (min(1.0, float(scores[start])), int(start), int(start) + length)
                    break
        return found


def _alike(term: str, word: str) -> float:
    if term == word:
        return 1.0
    return 0.0 if any(c.isdigit() for c in term) else related(term, word)


def _folded(text: str) -> str:
    return _THOUSANDS.sub("", text)


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,:]\d+)*", text)


def _pairs(text: str) -> list[tuple[str, str]]:
    words = [word[:6] for word in _WORD.findall(text.casefold())]
    return list(pairwise(words))
