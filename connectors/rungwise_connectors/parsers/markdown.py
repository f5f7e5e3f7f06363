"""Markdown: its source as it is, with a section a heading."""

import re

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ATX = re.compile(r" {0,3}(#{1,6})(?=\s|$)")
_CLOSING = re.compile(r"(?:^|(?<=\s))#+$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\n?$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_NO_PARAGRAPH = re.compile(r" {0,3}(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]|\|)|    |\t")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_MARKUP = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)|<[^<>]*>|\{#[^{}]*\}")
_SETEXT_LIMIT = 200
_HEADING_LIMIT = 1000


def parse_markdown(text: str, limits: Limits) -> Parsed:
    """`text` as it is, a section for each heading with what stands below it; the first level 1 heading is the title.

    Headings are `#` lines and single lines underlined with `===` or `---`, outside of fenced code and HTML comments.
    Raises ParseError when there is no text, or too much.
    """
    writer = Writer(limits)
    title = first = ""
    fence, comment = "", False
    line, paragraph = "", False
    for following in [*_LINE.findall(text), ""]:
        # One line behind, because a heading of the other kind is known by the line below it.
        level, heading, fenced = 0, "", bool(fence)
        if comment:
            comment = "-->" not in line
        elif fence:
            if (mark := _FENCE.match(line)) and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark := _FENCE.match(line):
            fence = mark[1]
        elif atx := _ATX.match(line):
            level, heading = len(atx[1]), _readable(_CLOSING.sub("", line[atx.end() :].strip()[:_HEADING_LIMIT]))
        elif line.lstrip().startswith("<!--") and "-->" not in line:
            comment = True
        elif (
            not paragraph
            and len(line) <= _SETEXT_LIMIT
            and _is_paragraph(line)
            and (under := _SETEXT.match(following.rstrip("\n")))
        ):
            level, heading = (1 if under[1][0] == "=" else 2), _readable(line)
        if level:
            writer.heading(level, heading)
            first = first or heading
            title = title or (heading if level == 1 else "")
        writer.write(line)
        paragraph = not (level or fenced or fence or comment) and _is_paragraph(line)
        line = following
    return writer.parsed(title or first)


def _is_paragraph(line: str) -> bool:
    return bool(line.strip()) and not _NO_PARAGRAPH.match(line)


def _is_short_paragraph(line: str) -> bool:
    return len(line) <= _SETEXT_LIMIT and _is_paragraph(line)


def _readable(heading: str) -> str:
    """A heading's words without its markup."""
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", heading)).split())
