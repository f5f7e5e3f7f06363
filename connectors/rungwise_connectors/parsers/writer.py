"""Putting a parsed document's text together, within limits, and noting where its sections start."""

import re

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.types import Parsed, ParseError, Section

_HEADING_LIMIT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without what UTF-8 cannot carry (lone surrogates), of the same length."""
    return _SURROGATE.sub("\ufffd", text)


class Writer:
    """Takes text piece by piece; `heading`, `page` and `cut` start a section at the place reached.

    Raises:
        ParseError: from every method, once a limit is passed.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pieces: list[str] = []
        self._headings: list[tuple[int, str]] = []
        self._page = 0
        self._starts: list[tuple[int, tuple[str, ...], int]] = [(0, (), 0)]
        self.length = 0
        self.tail = ""
        """The end of the last piece written, two characters or fewer."""

    def write(self, text: str) -> None:
        """Add `text` to the section."""
        if not text:
            return
        self.length += len(text)
        if self.length > self._limits.characters:
            raise ParseError(f"holds more than {self._limits.characters:,} characters of text: split it")
        self._pieces.append(text)
        self.tail = (self.tail + text[-2:])[-2:]

    def heading(self, level: int, text: str) -> None:
        """Start a section under a heading of `level` (1 is the highest); its text is still to be written."""
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        if title := clean(" ".join(text.split()))[:_HEADING_LIMIT]:
            self._headings.append((level, title))
        self._start()

    def page(self, number: int) -> None:
        """Start a section on page `number`, under the same headings."""
        self._page = number
        self._start()

    def _start(self) -> None:
        start = (self.length, tuple(title for _, title in self._headings), self._page)
        if self._starts[-1][0] == self.length:
            self._starts[-1] = start
        else:
            self._starts.append(start)
        if len(self._starts) > self._limits.sections:
            raise ParseError(f"has more than {self._limits.sections:,} sections: split it")

    def parsed(self, title: str = "", language: str = "") -> Parsed:
        """All of it.

        Raises:
            ParseError: there is no text.
        """
        text = clean("".join(self._pieces))
        if not text.strip():
            raise ParseError("holds no text")
        starts = self._starts if self._starts[-1][0] < self.length else self._starts[:-1]
        ends = [start for start, _, _ in starts[1:]] + [self.length]
        sections = tuple(
            Section(start, end, headings, page) for (start, headings, page), end in zip(starts, ends, strict=True)
        )
        return Parsed(text, sections, title=clean(" ".join(title.split())), language=language)
