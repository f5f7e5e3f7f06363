"""Waiting for files to change."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import Change, awatch

QUIET_MS = 500
"""A change is told once nothing more has changed for so long,"""

LATEST_MS = 5_000
"""or after so long in any case."""


async def changes(places: Sequence[Path], ignored: Path) -> AsyncGenerator[set[int], None]:
    """The numbers of the places (folders with all below them, or files) where something changed; never ends by itself.

    A place counts as changed when its watching begins, so that nothing falls between a look at it and the watching;
    one that is not there is waited for, one that is replaced is watched anew. Nothing below `ignored` counts, nor what
    is hidden. What changes between two yields is in the next one.
    """
    changed: asyncio.Queue[int] = asyncio.Queue()
    followers = [asyncio.create_task(_follow(place, ignored, number, changed)) for number, place in enumerate(places)]
    try:
        while True:
            waiting = asyncio.create_task(changed.get())
            done, _ = await asyncio.wait([waiting, *followers], return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {waiting}:
                waiting.cancel()
                ended.result()
            numbers = {await waiting}
            while not changed.empty():
                numbers.add(changed.get_nowait())
            yield numbers
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _follow(place: Path, ignored: Path, number: int, changed: asyncio.Queue[int]) -> None:
    while True:
        root = _root(place)
        identity = _identity(root)
        if identity is None:
            await asyncio.sleep(LATEST_MS / 1000)
            continue
        stream = awatch(
            root,
            watch_filter=_Filter(place, root, ignored),
            step=QUIET_MS,
            debounce=LATEST_MS,
            rust_timeout=LATEST_MS,
            yield_on_timeout=True,
            recursive=root == place,
        )
        async with aclosing(stream):
            coming = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)  # as far as the watching's begin
            changed.put_nowait(number)
            while _identity(root) == identity:
                if await coming:
                    changed.put_nowait(number)
                coming = asyncio.ensure_future(anext(stream))
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _root(place: Path) -> Path:
    """What to watch: an editor replaces a file by another one, and only its folder sees that."""
    return place.parent if place.is_file() else place


class _Filter:
    def __init__(self, place: Path, root: Path, ignored: Path) -> None:
        self._place = place
        self._root = root
        self._ignored = ignored

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change counts."""
        at = Path(path)
        if self._place != self._root:
            return at == self._place
        if at.is_relative_to(self._ignored) or not at.is_relative_to(self._root):
            return False
        # Kubernetes swaps mounted files by a link that is called ..data.
        parts = at.relative_to(self._root).parts
        return not any(part.startswith((".", "~$")) and not part.startswith("..") for part in parts)


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(root)
    except OSError:
        return None
    return status.st_dev, status.st_ino
