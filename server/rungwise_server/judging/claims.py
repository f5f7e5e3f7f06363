"""Cuts an answer into its sentences, and tells those that claim something from those that do not.

A greeting, an offer of help, a refusal and "the documents do not say" assert nothing about the world: no passage has to
support them.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from rungwise_server.text.sentences import spans

_MARKER = re.compile(r"\s*[\[【]\s*\d{1,3}(?:\s*[,;、–-]\s*\d{1,3})*\s*[\]】]")
_LINE = re.compile(r"[^\n]+")
_LEAD = re.compile(r"\s*(?:(?:[-*+•‣▪◦–>]|#{1,6}|\(?\d{1,2}[.)]|\(?[a-z]\))\s+|・\s*|\|)*\s*")
_RULE = re.compile(r"[\s|:*_=~`-]*$")
_FENCE = re.compile(r"\s*```")

_SOCIAL = re.compile(
    r"""
    ^\W*(?:
      (?:hi|hello|hey|thanks?|thank\syou|sure|certainly|of\scourse|absolutely|great|okay|ok|yes|no|good\squestion
        |you['’]?re\swelcome|hallo|guten\stag|danke|gerne?|ja|nein|bonjour|merci|bien\ssûr|hola|gracias|claro)\b
        [^.!?]{0,20}[.!:,]?\W*$
      | (?:i['’]?m|i\sam)\s(?:sorry|glad|happy|afraid|unable|not\s(?:sure|able))\b
      | (?:please\s)?(?:let\sme\sknow|feel\sfree|(?:do|would|can|could)\syou\s(?:want|need|like|clarify|specify|tell))\b
      | (?:i|we)\s(?:hope|wish)\b
      | if\syou\b.{0,120}\b(?:let\sme\sknow|feel\sfree|hesitate\sto\sask|happy\sto\s(?:help|assist))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_DOCUMENTS = r"(?:documents?|passages?|context|sources?|texts?|articles?|information|reference|materials?|excerpts?)"
_UNTOLD = re.compile(
    rf"""
    \b{_DOCUMENTS}\b[^.!?]{{0,60}}\b(?:do|does|did)(?:\snot|n['’]t)\s(?:\w+\s){{0,2}}
      (?:mention|say|state|specify|provide|contain|include|answer|cover|discuss|address|give|indicate|explain|detail|have)
    | \b(?:no|not\sany|not\senough|n['’]t\shave|not\shave|insufficient)\s(?:\w+\s){{0,3}}
      (?:information|mention|details?|answer|evidence)\b
    | ^\W*(?:unfortunately,?\s|sorry,?\s(?:but\s)?)?(?:i|we)\s(?:can(?:not|['’]t)|(?:could|do|did)(?:\snot|n['’]t))\s
      (?:\w+\s){{0,2}}(?:have|find|know|see|answer|provide|locate|tell|help|determine|confirm|access)\b
    | \bdie\s(?:dokumente|unterlagen|quellen|passagen)\b.{{0,60}}\b(?:nicht|keine[nr]?)\b
    | \bich\s(?:weiß|finde|habe|kann)\b.{{0,40}}\b(?:nicht|keine[nr]?)\b
    | \bles\s(?:documents|sources|passages)\b.{{0,60}}\bne\b.{{0,30}}\bpas\b | \bje\sne\s(?:sais|trouve|peux)\spas\b
    | \blos\s(?:documentos|textos|pasajes)\b.{{0,60}}\bno\b | ^\W*no\s(?:sé|encuentro|puedo)\b
    | (?:文書|資料|文章)[^。]{{0,20}}(?:ありません|ない|いません) | (?:わかり|分かり|お答えでき)ません
    | (?:文档|文件|资料|文中|文章)[^。]{{0,20}}(?:没有|未提|不包含) | (?:我不知道|无法回答)
    """,
    re.IGNORECASE | re.VERBOSE,
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
        lead = _LEAD.match(line[0])
        offset = line.start() + (lead.end() if lead else 0)
        for start, end in spans(answer[offset : line.end()]):
            text = _MARKER.sub("", answer[offset + start : offset + end]).strip()
            if any(c.isalnum() for c in text):
                yield Claim(offset + start, offset + end, text, not declines(text))


def declines(sentence: str) -> bool:
    """Whether a sentence claims nothing: a greeting, an offer, a question back, "the documents do not say"."""
    read = sentence[:400]
    if read.endswith(("?", "？")) or _SOCIAL.match(read):
        return True
    return _UNTOLD.search(read) is not None and _STILL.search(read) is None
