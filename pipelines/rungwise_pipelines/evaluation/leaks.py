"""What is wrong with a written question, told from its words alone: it gives away what it asks for."""

import re

from rungwise_pipelines.evaluation.duplicates import normal

_RUN = 7
"""Words in a row that no two people write alike by chance."""
_PIECE = 3
_COPIED = 0.6

_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_REFERS = re.compile(
    r"\b(?:the|this|that)\s+(?:above\s+|given\s+|provided\s+|following\s+)?(?:passage|excerpt|text|snippet|paragraph)\b"
    r"|\b(?:according to|mentioned in|described in|stated in|based on)\s+(?:the|this)\s+(?:document|section|article)\b"
    r"|\b(?:the author|mentioned above|as described above|provided information|given information)\b"
    r"|\b(?:laut|nach|in|im|aus)\s+(?:de[mnr]\s+|diese[mr]\s+)?(?:Text|Textabschnitt|Abschnitt|Auszug|Passage)\b"
    r"|\b(?:selon|d'après|dans)\s+(?:le|ce|cet)\s+(?:texte|passage|extrait)\b"
    r"|\b(?:según|en)\s+(?:el|este)\s+(?:texto|pasaje|fragmento)\b"
    r"|この文章|本文によ|上記の",
    re.IGNORECASE,
)


def leak(question: str, answer: str, passage: str) -> str:
    """What the question gives away, in words; empty where it is fine.

    It must not speak of the passage, which whoever asks has never seen; contain its answer; or be the passage's own
    wording: seven words in a row, or most of its runs of three words.
    """
    if _REFERS.search(question):
        return "it speaks of the text that it was written from"
    asked, held = _words(question), _words(passage)
    told = _words(answer)
    if told and len(told) < len(asked) and _holds(asked, told):
        return "it contains its own answer"
    if any(_holds(held, asked[at : at + _RUN]) for at in range(len(asked) - _RUN + 1)):
        return f"it copies {_RUN} words in a row"
    pieces = [tuple(asked[at : at + _PIECE]) for at in range(len(asked) - _PIECE + 1)]
    there = {tuple(held[at : at + _PIECE]) for at in range(len(held) - _PIECE + 1)}
    if len(pieces) >= _PIECE and sum(piece in there for piece in pieces) >= _COPIED * len(pieces):
        return "it is mostly the text's own wording"
    return ""


def _words(text: str) -> list[str]:
    """Words; of scripts without spaces, characters."""
    return _UNSPACED.sub(r" \g<0> ", normal(text)).split()


def _holds(words: list[str], part: list[str]) -> bool:
    """Whether `part` stands in `words`, in a row."""
    return f" {' '.join(part)} " in f" {' '.join(words)} "
