"""Term weights for BM25: words by their stems, Chinese, Japanese, Korean and Thai by character bigrams.

A passage is long enough to tell its language, so each of its words becomes one term, stemmed by that language. A query
is not, so each of its words becomes all the stems that some language gives it: a German question finds German passages
and an English one English passages whatever is guessed, and a word always finds itself. Terms that no passage has cost
nothing.
Weights are BM25's (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with a fixed average length,
since a passage is written once; the index multiplies by the inverse document frequency.
"""

import re
from collections import Counter
from threading import Lock
from typing import Protocol, cast
from unicodedata import combining, normalize
from zlib import crc32

from rungwise_server.retrieval.language import guess, script
from rungwise_server.retrieval.stopwords import STOPWORDS
from rungwise_server.types import SparseVector

K1 = 1.2
B = 0.6
AVERAGE = 80
"""Terms of a typical passage, function words left out."""

_STEMMERS = {
    "latin": {
        "en": "english",
        "de": "german",
        "fr": "french",
        "es": "spanish",
        "it": "italian",
        "pt": "portuguese",
        "nl": "dutch",
        "sv": "swedish",
        "da": "danish",
        "no": "norwegian",
        "fi": "finnish",
        "pl": "polish",
        "cs": "czech",
        "ro": "romanian",
        "hu": "hungarian",
        "tr": "turkish",
        "id": "indonesian",
    },
    "cyrillic": {"ru": "russian"},
    "arabic": {"ar": "arabic", "fa": "persian"},
    "el": {"el": "greek"},
    "hi": {"hi": "hindi"},
    "ta": {"ta": "tamil"},
    "hy": {"hy": "armenian"},
}
_BY_LANGUAGE = {code: name for family in _STEMMERS.values() for code, name in family.items()}

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005\u3040-\u30ff\u3130-\u318f"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = "\u0300-\u036f\u0900-\u0963\u0966-\u0dff"  # combining marks, and the Indic scripts, whose vowels are such
_LETTER = rf"(?:[^\W_{_UNSPACED}]|[{_MARKS}])"
_TOKEN = re.compile(rf"[{_UNSPACED}]+|{_LETTER}+(?:[-_.:/@+,]{_LETTER}+)*")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]")
_PART = re.compile(rf"[A-ZÀ-ÖØ-Þ]{{2,}}(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?(?:[^\W\dA-ZÀ-ÖØ-Þ_]|[{_MARKS}])+|[^\W\d_]|\d+")
_JOINERS = re.compile(r"[-_,]")
_DROPPED = re.compile("[\u00ad\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u200b-\u200f\u2060]")
_GENITIVE = re.compile(r"['’]s\b")
_REMEMBERED = 200_000
_LONGEST = 64
_QUERY = 4_000
_OTHERWISE = 0.4


class _Stemmer(Protocol):
    def stemWord(self, word: str, /) -> str: ...


class Bm25Encoder:
    """Turns text into term weights. Safe to use from several threads.

    `name` stands for tokenisation, stemming and weights together: a collection filled under another name must be
    filled anew.
    """

    name = "bm25/1"

    def __init__(self) -> None:
        self._stemmers: dict[str, _Stemmer] = {}
        self._stems: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def passage(self, text: str, language: str = "") -> SparseVector:
        """Weights of a passage's terms. `language` is an ISO 639-1 code; it is guessed where empty or unknown."""
        text = _normal(text)
        language = language.lower()[:2]
        if language not in STOPWORDS and language not in _BY_LANGUAGE:
            language = guess(text)
        stopped = STOPWORDS.get(language, frozenset())
        counts: Counter[str] = Counter()
        length = 0
        words = _words(text)
        for word, whole in [pair for pair in words if pair[1] or _content(pair[0], stopped)] or words:
            counts[word if whole else self._stem(word.lower(), language)] += 1
            length += not whole
        norm = K1 * (1 - B + B * length / AVERAGE)
        return _vector({term: count * (K1 + 1) / (count + norm) for term, count in counts.items()})

    def query(self, text: str) -> SparseVector:
        """Weights of the terms that the query's words may have become in a passage: one for those of the language that
        the query seems to be in (for all, where it tells none), less for those of other languages. Only the first
        thousands of characters count.
        """
        text = _normal(text[:_QUERY])
        guessed = guess(text)
        stopped = STOPWORDS.get(guessed, frozenset())
        words = _words(text)
        weights: dict[str, float] = {}

        def add(term: str, weight: float) -> None:
            weights[term] = max(weight, weights.get(term, 0.0))

        for word, whole in [pair for pair in words if pair[1] or _content(pair[0], stopped)] or words:
            lower = word.lower()
            languages = () if whole else _STEMMERS.get(script(lower), ())
            otherwise = _OTHERWISE if guessed in languages else 1.0
            add(lower, otherwise)
            add(_folded(lower), otherwise)
            for language in languages:
                add(self._stem(lower, language), 1.0 if language == guessed else otherwise)
        return _vector(weights)

    def _stem(self, word: str, language: str) -> str:
        if _UNSPACED_RUN.match(word):
            return word
        key = (language, word)
        stem = self._stems.get(key)
        if stem is None:
            with self._lock:  # a stemmer holds the word that it is at
                stem = word if language == "vi" else _folded(self._stemmed(word, language))
                if len(self._stems) >= _REMEMBERED:
                    self._stems.clear()
                self._stems[key] = stem
        return stem

    def _stemmed(self, word: str, language: str) -> str:
        algorithm = _BY_LANGUAGE.get(language)
        if algorithm is None or not word.isalpha():
            return word
        if algorithm not in self._stemmers:
            import snowballstemmer

            self._stemmers[algorithm] = cast("_Stemmer", snowballstemmer.stemmer(algorithm))
        return self._stemmers[algorithm].stemWord(word)


def _normal(text: str) -> str:
    """NFKC, without soft hyphens, zero-width characters, Hebrew and Arabic vowel points and the English genitive."""
    text = normalize("NFKC", text)
    return _GENITIVE.sub("", text if text.isascii() else _DROPPED.sub("", text))


def _words(text: str) -> list[tuple[str, bool]]:
    """The text's words in its own case, or bigrams (False); and what finds but does not lengthen a text (True): names
    and numbers of several parts as one, in lower case, and single Chinese characters.
    """
    found: list[tuple[str, bool]] = []
    for token in _TOKEN.findall(text):
        if _UNSPACED_RUN.match(token):
            found += [(token[i : i + 2], False) for i in range(max(1, len(token) - 1))]
            if len(token) > 1:
                found += [(character, True) for character in token if "\u3400" <= character <= "\u9fff"]
        elif token.isalpha() and (token.islower() or token[1:].islower() or token.isupper()):
            found.append((token[:_LONGEST], False))
        else:
            parts = _PART.findall(token)
            found += [(part[:_LONGEST], False) for part in parts]
            if len(parts) > 1:
                found.append((_JOINERS.sub("", token).lower()[:_LONGEST], True))
    return found


def _content(word: str, stopped: frozenset[str]) -> bool:
    """Whether it is no function word; in capitals, it is a name: IT, US, WHO."""
    return word.lower() not in stopped or (len(word) > 1 and word.isupper())


def _folded(word: str) -> str:
    """Without accents (Latin, Greek, Cyrillic): `müller` is `muller`, as people type it."""
    if word.isascii() or word[0] > "\u052f":
        return word
    return "".join(c for c in normalize("NFD", word) if not combining(c)).replace("ß", "ss")


def _vector(weights: dict[str, float]) -> SparseVector:
    by_id: dict[int, float] = {}
    for term, weight in weights.items():
        number = crc32(term.encode("utf-8", "surrogatepass"))
        by_id[number] = max(weight, by_id.get(number, 0.0))
    return SparseVector(indices=tuple(by_id), values=tuple(by_id.values()))
