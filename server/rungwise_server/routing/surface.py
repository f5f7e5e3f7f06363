"""The shape of a text in numbers: how long, how dense, which signs, what kind of question. Nothing is fitted."""

import re

import numpy as np

from rungwise_server.text.overlap import likely_language
from rungwise_server.text.sentences import UNSPACED, unspaced

TOKEN = re.compile(rf"[^\W\d_{UNSPACED}]+|\d+|[{UNSPACED}]|[^\w\s]")
"""Words, numbers, and each other mark by itself; each character of a script without spaces."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE = re.compile(r"[.!?。！？؟।](?=\s|$|[\u3000-\u9fff])")
_OPTION = re.compile(r"^[ \t]*(?:\(?[A-Ha-h][.)]|\(?\d{1,2}[.)]|[-*•])[ \t]", re.MULTILINE)
_CODE = re.compile(r"```|\b(?:def|class|return|import|function|const|SELECT|void)\b|[{};]|=>|==|!=|\w\(|\w_\w")
_MATHS = re.compile(r"[+*/=^%<>≤≥±×÷√∑∫π$€£]|\\[a-z]+|(?<=\d)-(?=\d)")
_NEGATED = re.compile(
    r"n['’]t\b|\b(?:not|no|never|except|nicht|keine?[rnms]?|ohne|außer|ne|pas|sans|sauf|nunca|sin|salvo)\b",
    re.IGNORECASE,
)
_RELATED = re.compile(
    r"\b(?:if|then|than|before|after|while|until|because|therefore|more|less|each|every|both|"
    r"wenn|dann|als|bevor|nachdem|weil|mehr|weniger|jede[rsnm]?|si|alors|que|avant|après|plus|moins|chaque|"
    r"antes|después|más|menos|cada)\b",
    re.IGNORECASE,
)
_KINDS = {
    "what": r"what|which|was|welche[rsnm]?|quel(?:le)?s?|qué|cuál(?:es)?",
    "how": r"how|wie|comment|cómo|combien|cuánt[oa]s?",
    "why": r"why|warum|weshalb|wieso|pourquoi|explain|prove|justify|erkläre?|begründe",
    "who": r"who|when|where|wer|wann|wo|quand|où|quién(?:es)?|cuándo|dónde",
    "write": r"write|implement|create|draft|translate|summari[sz]e|rewrite|schreibe?|erstelle?|übersetze?",
}
_ASKING = tuple(re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for words in _KINDS.values())
_LANGUAGES = ("en", "de", "fr", "es")

SHAPE = (
    "characters", "words", "length of a word", "long words", "sentences", "words in a sentence", "lines",
    "longest line", "last line", "options", "numbers", "largest number", "decimals", "marks of maths",
    "marks of code", "question marks", "commas", "quotes", "brackets", "abbreviations", "capitals", "beyond ASCII",
    "negations", "relations", "different words", "share of digits", *_KINDS, *(f"in {code}" for code in _LANGUAGES),
    "without spaces",
)  # fmt: skip
"""What the numbers of `shape` are, in order. Counts and lengths are logarithms of one more."""


def shape(text: str, tokens: list[str]) -> list[float]:
    """`text` in numbers; `tokens` are its TOKENs in lower case."""
    words = [token for token in tokens if token[0].isalpha()]
    numbers = _NUMBER.findall(text)
    lines = [line for line in text.split("\n") if line.strip()]
    sentences = max(1, len(_SENTENCE.findall(text)))
    written = text.split()
    counts = (
        len(text),
        len(words),
        sum(map(len, words)) / max(1, len(words)),
        sum(len(word) > 7 for word in words),
        sentences,
        len(words) / sentences,
        len(lines),
        max(map(len, lines), default=0),
        len(lines[-1]) if lines else 0,
        len(_OPTION.findall(text)),
        len(numbers),
        max((_value(number) for number in numbers), default=0.0),
        sum("." in number or "," in number for number in numbers),
        len(_MATHS.findall(text)),
        len(_CODE.findall(text)),
        text.count("?") + text.count("？"),
        text.count(","),
        text.count('"') + text.count("“"),
        text.count("(") + text.count("["),
        sum(word.isupper() and len(word) > 1 for word in written),
        sum(word[0].isupper() for word in written),
        0 if text.isascii() else sum(c > "\x7f" for c in text),
        len(_NEGATED.findall(text)),
        len(_RELATED.findall(text)),
    )
    language = likely_language(text)
    return [
        *(float(value) for value in np.log1p(counts)),
        len(set(words)) / (len(words) + 1),
        sum(map(len, numbers)) / (len(text) + 1),
        *(float(kind.search(text) is not None) for kind in _ASKING),
        *(float(language == code) for code in _LANGUAGES),
        float(unspaced(text)),
    ]


def _value(number: str) -> float:
    """How large a written number is, about: marks between its digits are read as separators of thousands."""
    digits = re.split(r"[.,](?=\d{1,2}$)", number)[0]
    return float(re.sub(r"[.,]", "", digits)[:15])
