"""Glob patterns for paths inside a folder."""

import re
from collections.abc import Iterable


class Patterns:
    """Patterns as .gitignore has them, and as few: `*`, `?` and `[…]` stay within one name, `**` crosses folders.

    A pattern without a slash matches a name at any depth, one with a slash the path from the root. Case is ignored:
    `*.pdf` means SCAN.PDF too.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        parts = [f"(?:{_regex(pattern)})" for pattern in patterns]
        self._regex = re.compile("|".join(parts), re.IGNORECASE | re.DOTALL) if parts else None

    def __bool__(self) -> bool:
        return self._regex is not None

    def match(self, path: str) -> bool:
        """Whether `path`, relative and with `/`, matches one of the patterns."""
        return self._regex is not None and self._regex.fullmatch(path) is not None


_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)


def _regex(pattern: str) -> str:
    anchored = "/" in pattern.rstrip("/")
    out = [] if anchored else ["(?:.*/)?"]
    for token in _TOKEN.findall(pattern.strip("/")):
        match token:
            case "**/":
                out.append("(?:.*/)?")
            case "**":
                out.append(".*")
            case "*":
                out.append("[^/]*")
            case "?":
                out.append("[^/]")
            case _ if len(token) > 2:
                inner = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
                out.append(f"[^/{inner[1:]}]" if inner[0] == "!" else f"[{_literal_caret(inner)}]")
            case _:
                out.append(re.escape(token))
    return "".join(out)


def _literal_caret(inner: str) -> str:
    return "\\" + inner if inner[0] in "^]" else inner
