"""Putting back together the lines of a table that a PDF holds column by column. Pure geometry."""

from collections.abc import Sequence

from msgspec import Struct

_SHORT = 20
"""Characters of a cell, on average; columns of prose have lines twice as long, and are read one after the other."""

_STEADY = 3.0
"""Points that baselines of one line may differ by."""


class Line(Struct):
    """A line as PDFium gives it: its text, baseline, and where it begins and ends, in points from the lower left."""

    text: str
    y: float
    left: float
    right: float


def joined(lines: Sequence[Line]) -> list[str]:
    """The lines' texts, with labels and values that stand side by side on one line.

    When lines go on higher up the page, to the right of those just read, each beside one of them until they pass below
    the last one, and either column holds short cells, then the two are columns of one table.
    """
    done: list[Line] = []
    block: list[Line] = []
    for run in _downwards(lines):
        pairs = _pairs(block, run)
        for cell, beside in pairs:
            beside.text += " " + cell.text
            beside.right = cell.right
        if not pairs:
            done += block
            block = []
        block += run[len(pairs) :]
    return [line.text for line in done + block]


def _downwards(lines: Sequence[Line]) -> list[list[Line]]:
    runs: list[list[Line]] = []
    for line in lines:
        if not runs or line.y > runs[-1][-1].y + _STEADY:
            runs.append([])
        runs[-1].append(line)
    return runs


def _pairs(block: list[Line], run: list[Line]) -> list[tuple[Line, Line]]:
    """The first lines of `run`, each with the one of `block` that it stands beside; none if they are no columns."""
    pairs: list[tuple[Line, Line]] = []
    at = 0
    for cell in run:
        while at < len(block) and block[at].y > cell.y + _STEADY:
            at += 1
        if at == len(block):
            break
        if block[at].y < cell.y - _STEADY or block[at].right > cell.left:
            return []
        pairs.append((cell, block[at]))
        at += 1
    short = _SHORT * len(pairs)
    if len(block) < 2 or min(sum(len(pair[side].text) for pair in pairs) for side in (0, 1)) > short:
        return []
    return pairs
