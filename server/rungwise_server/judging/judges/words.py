"""An answer beside the reference, by their words: the same, within it, shared.

Case, width, punctuation and citation markers make no difference. Words of scripts without spaces are single characters.
"""

import re
import unicodedata
from collections import Counter

from rungwise_server.text.sentences import UNSPACED

_MARKER = re.compile(r"[\[【]\s*\d{1,3}(?:\s*[,;、]\s*\d{1,3})*\s*[\]】]")
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:[.,:]\d+)*")


def words(text: str) -> list[str]:
    """The words of `text`, as they are compared."""
    return _WORD.findall(_MARKER.sub(" ", unicodedata.normalize("NFKC", text).casefold()))


def exact(answer: str, reference: str) -> float:
    """1 where both have the same words in the same order, else 0."""
    return float(words(answer) == words(reference))


def contains(answer: str, reference: str) -> float:
    """1 where the reference's words stand in the answer, one after the other, else 0."""
    # Blanks around each word: no word may be a part of another.
    within, sought = (f" {' '.join(words(text))} " for text in (answer, reference))
    return float(sought in within)


def f1(answer: str, reference: str) -> float:
    """The harmonic mean of the shares of words that each has from the other (as in SQuAD, without its articles)."""
    said, wanted = Counter(words(answer)), Counter(words(reference))
    shared = (said & wanted).total()
    return 2 * shared / (said.total() + wanted.total()) if shared else 0.0
