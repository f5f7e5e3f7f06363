"""What a person presses: single keys on a terminal, lines where standard input is none."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Keys(Protocol):
    """Where a grader's words come from."""

    def key(self) -> str:
        """The next key, one character in lower case; empty at the end of the input."""

    def line(self, prompt: str) -> str:
        """A whole line, without its end."""


class Lines:
    """A line of standard input for each key, of which the first letter counts."""

    def key(self) -> str:
        """See Keys. Empty lines are left out."""
        for line in sys.stdin:
            if word := line.strip():
                return word[0].lower()
        return ""

    def line(self, prompt: str) -> str:
        """See Keys."""
        del prompt
        return sys.stdin.readline().strip()


class Terminal:
    """Single keys of a terminal that `single_keys` has prepared."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def key(self) -> str:
        """See Keys. What arrows and the like send is left out, whole."""
        while True:
            read = os.read(self._descriptor, 1)
            if read == b"\x1b":
                self._pass_over()
                continue
            if read in (b"", b"\x04"):  # Ctrl-D
                return ""
            if read.isascii() and (key := read.decode().strip().lower()):
                return key

    def _pass_over(self) -> None:
        """The rest of what an arrow or a function key sends (ECMA-48, 5.4): `[`, and bytes up to one from @ to ~; or
        one byte after `O` or by itself. The escape key sends nothing more.
        """
        if not select.select([self._descriptor], [], [], 0.05)[0]:
            return
        if (read := os.read(self._descriptor, 1)) == b"O":
            os.read(self._descriptor, 1)
        elif read == b"[":
            while (read := os.read(self._descriptor, 1)) and not b"@" <= read <= b"~":
                pass

    def line(self, prompt: str) -> str:
        """See Keys. While it is typed, the terminal edits it as it does everywhere."""
        import termios

        raw = termios.tcgetattr(self._descriptor)
        try:
            _set(self._descriptor, canonical=True)
            return input(prompt).strip()
        except EOFError:
            return ""
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, raw)


@contextmanager
def reading() -> Iterator[Keys]:
    """Keys of standard input; a terminal is as it was afterwards."""
    try:
        import termios
    except ImportError:  # Windows
        yield Lines()
        return
    if not sys.stdin.isatty():
        yield Lines()
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        _set(descriptor, canonical=False)
        yield Terminal(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _set(descriptor: int, *, canonical: bool) -> None:
    """Whole lines with an echo, or single keys without; signals as they are."""
    import termios

    attributes = termios.tcgetattr(descriptor)
    flags, both = attributes[3], termios.ICANON | termios.ECHO
    assert isinstance(flags, int)
    attributes[3] = flags | both if canonical else flags & ~both
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
