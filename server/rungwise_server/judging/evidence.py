"""What passages have of a sentence, by words alone: the signals that `groundedness` weighs.

Words are compared as `rungwise_server.text.overlap` does: rare ones count more, endings and compounds are forgiven,
scripts without spaces are read as character bigrams. Numbers are not forgiven anything.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.text.overlap import likely_language, related, terms
from rungwise_server.text.sentences import UNSPACED, units, unspaced

Floats = NDArray[np.float64]

_TOGETHER = 3  # units that a sentence may be drawn together from
_NEARLY = 0.75  # a unit with less of the words says no to something else
_GRAM = 5  # characters; of scripts without spaces, 2
_THOUSANDS = re.compile(r"(?<=\d)[,.\u202f\u00a0](?=\d{3}(?!\d))")
_WORD = re.compile(f"[{UNSPACED}]|[^\\W\\d_{UNSPACED}]+")
_SPELLED = {
    "0": "zero null", "1": "one first a eins ein eine einen einem erste 一", "2": "two second twice zwei zweite 二 两",
    "3": "three third drei dritte 三", "4": "four fourth vier vierte 四", "5": "five fifth fünf fünfte 五",
    "6": "six sixth sechs 六", "7": "seven seventh sieben 七", "8": "eight eighth acht 八", "9": "nine ninth neun 九",
    "10": "ten tenth zehn 十", "11": "eleven elf", "12": "twelve zwölf", "15": "fifteen fünfzehn",
    "20": "twenty zwanzig", "30": "thirty dreißig", "40": "forty vierzig", "50": "fifty fünfzig half",
    "60": "sixty sechzig", "90": "ninety neunzig", "100": "hundred hundert 百",
}  # fmt: skip
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[^.!?:\s][ (])[^\W\d_a-z][\w'’-]+")
_APART = re.compile(r"[\W_]+")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|nicht|kein\w*|nie|niemals|ne|jamais|aucun\w*|nunca|ningun\w*)\b"
    r"|n['’]t\b|ない|ません|没有|不",
    re.IGNORECASE,
)


class Words(Struct, frozen=True):
    """What the passages have of one sentence, each from 0 to 1.

    `words`: of its words, by their rarity, in the three units that have most of them; `spelled`: of its runs of five
    characters, anywhere; `names`: of its names, 1 where it has none; `numbers`: 0 where one of them is nowhere;
    `negated`: 1 where the unit with most of its words has nearly all of them and just one of the two says no.
    `passage` and `unit` are that unit's; -1 and empty where no word is shared.
    """

    words: float
    spelled: float
    numbers: float
    names: float
    negated: float
    passage: int
    unit: str

    @property
    def share(self) -> float:
        """How much of the sentence the passages have, by words and by characters."""
        return (self.words + self.spelled) / 2


class Evidence:
    """The passages of an answer, read once; `of` holds sentences against them."""

    def __init__(self, passages: Sequence[str]) -> None:
        whole = _folded("\n".join(passages))
        self._language = likely_language(whole[:20_000])
        self._units = [(number, unit.text) for number, passage in enumerate(passages) for unit in units(passage)]
        self._whole = whole
        self._grams: dict[int, set[str]] = {}
        self._numbers = set(_NUMBER.findall(whole)) | _spelled_out(whole)
        self._having: dict[str, list[int]] = {}
        self._near: dict[str, list[str]] = {}
        for row, (_, text) in enumerate(self._units):
            for word in self._terms(text):
                if word not in self._having:
                    self._having[word] = []
                    self._near.setdefault(word[:3], []).append(word)
                self._having[word].append(row)

    def _terms(self, text: str) -> dict[str, float]:
        return terms(_folded(text), self._language)

    def of(self, sentence: str) -> Words:
        """The signals of one sentence."""
        folded = _folded(sentence)
        asked, numbers = self._terms(sentence), _NUMBER.findall(folded)
        names = [name for name in _NAME.findall(folded) if name[0].isupper()]
        rows = len(self._units)
        if not rows or not asked:
            return Words(0.0, 0.0, 0.0, 0.0, 0.0, -1, "")
        has = np.zeros((rows, len(asked)))
        for column, term in enumerate(asked):
            for word in self._near.get(term[:3], ()):
                if value := _alike(term, word):
                    having = self._having[word]
                    has[having, column] = np.maximum(has[having, column], value)
        worth = np.array(list(asked.values())) * np.log(1 + (rows - has.sum(0) + 0.5) / (has.sum(0) + 0.5))
        worth = np.maximum(worth, 1e-6) / np.maximum(worth, 1e-6).sum()
        scores = has @ worth
        order = np.argsort(-scores, kind="stable")
        best = int(order[0])
        number, unit = self._units[best] if scores[best] > 0 else (-1, "")
        return Words(
            words=float(has[order[:_TOGETHER]].max(0) @ worth),
            spelled=self._spelled(folded),
            numbers=float(all(number in self._numbers for number in numbers)),
            names=sum(self._has(name) for name in names) / len(names) if names else 1.0,
            negated=float(scores[best] >= _NEARLY and bool(_NEGATION.search(sentence)) != bool(_NEGATION.search(unit))),
            passage=number,
            unit=unit,
        )

    def _spelled(self, folded: str) -> float:
        size = 2 if unspaced(folded) else _GRAM
        if size not in self._grams:
            self._grams[size] = _grams(self._whole, size)
        grams = _grams(folded, size)
        return len(grams & self._grams[size]) / len(grams)

    def _has(self, name: str) -> bool:
        wanted = name.casefold()
        return any(related(wanted, word) >= 0.9 for word in self._near.get(wanted[:3], ()))


def _alike(term: str, word: str) -> float:
    if term == word:
        return 1.0
    return 0.0 if any(c.isdigit() for c in term) else related(term, word)


def _folded(text: str) -> str:
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text))


def _spelled_out(text: str) -> set[str]:
    """The digits of what the passages write as words; never the other way: `one` is seldom a number."""
    words = set(_WORD.findall(text.casefold()))
    return {digits for digits, forms in _SPELLED.items() if not words.isdisjoint(forms.split())}


def _grams(text: str, size: int) -> set[str]:
    plain = _APART.sub(" ", text.casefold()).strip()
    return {plain[at : at + size] for at in range(len(plain) - size + 1)} or {plain}
