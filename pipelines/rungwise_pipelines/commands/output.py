"""What a verb prints: JSON lines for programs, tables for people, notes on standard error."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NAME = 40
"""Characters of a name, at most."""


def plain(text: str) -> str:
    """`text` without control characters: what documents and models say must not steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def emit(value: Mapping[str, object] | Sequence[object]) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)  # noqa: T201


def say(text: str = "") -> None:
    """A line for people on standard output."""
    print(plain(text), flush=True)  # noqa: T201 - flushed: a pipe's reader waits for the server's address


def note(text: str) -> None:
    """A line on standard error: progress and advice, never part of a result."""
    sys.stderr.write(plain(text) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str] | None = None) -> None:
    """A table on standard output. `styles` colours cells whose whole text is the key. Nothing is cut off."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    rows = [*rows]
    for number, column in enumerate(columns):
        # What names a row stays in one piece, so that it can be copied.
        named = number == 0 and max((len(row[0]) for row in rows), default=0) <= min(_NAME, console.width // 2)
        drawn.add_column(column, overflow="fold", no_wrap=named)
    for row in rows:
        drawn.add_row(*(Text(plain(cell), style=(styles or {}).get(cell, "")) for cell in row))
    console.print(drawn)
