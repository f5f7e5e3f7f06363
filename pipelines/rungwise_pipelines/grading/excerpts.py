"""Long text made fit for a screen."""

import re
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"\w{3,}")
_LONG = 60
"""A line of so many characters was broken because it was full, not because its author wanted it to end."""
_FLOWS = re.compile(r"[^\W\d_](?!.{0,60}: )")
"""How a line begins that goes on with a sentence; `name: value` stands for itself."""


def excerpt(text: str, about: str, size: int) -> str:
    """About `size` characters of `text`: where it shares most words with `about`, these in the middle if they can."""
    words = text.split()
    if len(" ".join(words)) <= size:
        return " ".join(words)
    wanted = {word.lower() for word in _WORD.findall(about)}
    hits = [{hit for hit in _WORD.findall(word.lower()) if hit in wanted} for word in words]
    windows = list(_windows(words, size))
    shared = [len(set().union(*hits[first:last])) for first, last in windows]
    begin = end = shared.index(max(shared))
    while end + 1 < len(shared) and shared[end + 1] == shared[begin]:
        end += 1
    first, last = windows[0 if shared[begin] == 0 else (begin + end) // 2]
    return ("… " if first else "") + " ".join(words[first:last]) + (" …" if last < len(words) else "")


def _windows(words: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """Each stretch of words that fills `size` characters, by its first and the one after its last, in order."""
    last, length = 0, 0
    for first, word in enumerate(words):
        while last < len(words) and (last == first or length + len(words[last]) <= size):
            length += len(words[last]) + 1
            last += 1
        yield first, last
        if last == len(words):
            return
        length -= len(word) + 1


def flowing(text: str) -> str:
    """Text whose paragraphs were broken into lines, without those breaks; lists, tables and headings stay."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        before = lines[-1] if lines else ""
        if len(before) >= _LONG and _FLOWS.match(line) and not before.startswith(("#", "|")):
            lines[-1] = f"{before} {line}"
        else:
            lines.append(line)
    return "\n".join(lines)
