"""Cuts an answer into its sentences, and tells those that claim something from those that do not.

A greeting, an offer of help, a question back, a heading, what leads a list in and "the documents do not say" assert
nothing about the world: no passage has to support them.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from rungwise_server.judging.declines import declines
from rungwise_server.text.sentences import spans

_READ = 400  # characters of a sentence, to tell what it is
_LEADS_IN = 80  # characters: a longer one that ends in a colon says something itself

_MARKER = re.compile(r"\s*[\[【]\s*\d{1,3}(?:\s*[,;、–-]\s*\d{1,3})*\s*[\]】]")
_LINE = re.compile(r"[^\n]+")
_LEAD = re.compile(r"\s*(?:(?:[-*+•‣▪◦–>]|#{1,6}|\(?\d{1,2}[.)]|\(?[a-z]\))\s+|・\s*|\|)*\s*")
_RULE = re.compile(r"[\s|:*_=~`-]*$")
_HEADING = re.compile(r"\s*#{1,6}\s")
_FENCE = re.compile(r"\s*```")

_SOCIAL = re.compile(
    r"""
    ^\W*(?:
      (?:hi|hello|hey|thanks?|thank\syou|sure|certainly|of\scourse|absolutely|great|okay|ok|yes|no|good\squestion
        |you['’]?re\swelcome|hallo|guten\stag|danke|gerne?|ja|nein|bonjour|merci|bien\ssûr|hola|gracias|claro)
        (?:[\s,]+[^\W\d]+){0,2}\W*$
      | (?:i['’]?m|i\sam)\s(?:glad|happy)\b.{0,40}\b(?:help|assist|hear)
      | (?:i['’]?m|i\sam)\s(?:very\s|so\s)?sorry\s(?:to\shear|for|about)\b
      | (?:please\s)?(?:let\sme\sknow|feel\sfree|(?:do|would|can|could)\syou\s(?:want|need|like|clarify|specify|tell))\b
      | (?:i|we)\s(?:hope|wish)\b
      | if\syou\b.{0,120}\b(?:let\sme\sknow|feel\sfree|hesitate\sto\sask|happy\sto\s(?:help|assist))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_SORRY = re.compile(
    r"^\W*(?:i['’]?m\s|i\sam\s)?(?:very\s|so\s)?(?:sorry|afraid)\b[\s,;]*(?:but\s|that\s)?", re.IGNORECASE
)
# "The documents do not say X, but they do say Y": Y has to be supported.
_STILL = re.compile(
    r"\b(?:but|however|although|though|while|whereas|aber|jedoch|obwohl|mais|pourtant|pero|aunque)\b|但|しかし",
    re.IGNORECASE,
)


class Claim(Struct, frozen=True):
    """A sentence of an answer. `text` is what stands from `start` to `end`, without citation markers."""

    start: int
    end: int
    text: str
    checkable: bool
    """Whether it asserts something that a passage could support."""


def claims(answer: str) -> list[Claim]:
    """The sentences of an answer, in order; bullets, numbers and heading marks are not part of them."""
    return list(_claims(answer))


def _claims(answer: str) -> Iterator[Claim]:
    for line in _LINE.finditer(answer):
        if _RULE.match(line[0]) or _FENCE.match(line[0]):
            continue
        heading = _HEADING.match(line[0]) is not None
        lead = _LEAD.match(line[0])
        offset = line.start() + (lead.end() if lead else 0)
        for start, end in spans(answer[offset : line.end()]):
            text = _MARKER.sub("", answer[offset + start : offset + end]).strip()
            if any(c.isalnum() for c in text):
                yield Claim(offset + start, offset + end, text, not heading and _asserts(text))


def _asserts(sentence: str) -> bool:
    read = sentence[:_READ]
    if read.endswith(("?", "？")) or _SOCIAL.match(read):
        return False
    if len(read) < _LEADS_IN and read.rstrip("*_ ").endswith((":", "：")):
        return False
    read = _SORRY.sub("", read)
    return _STILL.search(read) is not None or not declines(read)
