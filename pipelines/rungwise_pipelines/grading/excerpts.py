"""Long text made fit for a screen."""

import re

_WORD = re.compile(r"\w{3,}")
_LONG = 60
"""A line of so many characters was broken because it was full, not because its author wanted it to end."""
_FLOWS = re.compile(r"[^\W\d_](?!.{0,60}: )")
"""How a line begins that goes on with a sentence; `name: value` stands for itself."""


def excerpt(text: str, about: str, size: int) -> str:
    """At most about `size` characters of `text`: those that share most words with `about`, the first of equals."""
    words = text.split()
    if len(" ".join(words)) <= size:
        return " ".join(words)
    wanted = {word.lower() for word in _WORD.findall(about)}
    hits = [[w for w in _WORD.findall(word.lower()) if w in wanted] for word in words]
    best, start = (-1, 0), 0
    length = 0
    for end, word in enumerate(words):
        length += len(word) + 1
        while length > size and start < end:
            length -= len(words[start]) + 1
            start += 1
        shared = len({hit for found in hits[start : end + 1] for hit in found})
        best = max(best, (shared, -start))
    first = -best[1]
    last, length = first, 0
    while last < len(words) and (length := length + len(words[last]) + 1) <= size:
        last += 1
    last = max(last, first + 1)
    return ("… " if first else "") + " ".join(words[first:last]) + (" …" if last < len(words) else "")


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
