"""Finds the citation markers that a model writes, `[2]` or `[1, 3]`, in text that arrives piece by piece."""

import re
from collections.abc import Sequence

from rungwise_server.types import Citation, Passage

_MARKER = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,;、]\s*\d{1,3})*)\s*[\]】]")
_LONGEST = 64  # a marker that was not closed after so many characters is none


class Citer:
    """Turns markers into citations of `passages` (numbered from 1). One Citer reads one answer."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._tail = ""
        self._read = 0

    def feed(self, text: str) -> tuple[Citation, ...]:
        """The citations whose marker ends within `text`. A number that no passage has is left alone."""
        if not self._tail and "[" not in text and "【" not in text:
            self._read += len(text)
            return ()
        window = self._tail + text
        base = self._read - len(self._tail)
        self._read += len(text)
        found = []
        done = 0
        for match in _MARKER.finditer(window):
            done = match.end()
            for number in re.findall(r"\d+", match[1]):
                if 1 <= int(number) <= len(self._passages):
                    passage = self._passages[int(number) - 1]
                    title = passage.title or passage.document_id
                    found.append(Citation(passage.id, title, base + match.start(), base + match.end()))
        rest = window[done:]
        opened = max(rest.rfind("["), rest.rfind("【"))
        self._tail = rest[opened:] if opened >= 0 and len(rest) - opened < _LONGEST else ""
        return tuple(found)
