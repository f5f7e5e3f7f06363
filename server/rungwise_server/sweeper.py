"""Clears up, every few minutes, after what has expired: that is gone for readers at once, and this frees the disk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from rungwise_server.errors import RungwiseError
from rungwise_server.keeping import KeptStore, Kind

logger = logging.getLogger("rungwise.sweeper")

Chore = Callable[[], Awaitable[object]]
"""Clears up after one kind of thing. It may run at the same time in several processes."""


class Sweeper:
    """Runs chores, by name, one after the other, `every` so many seconds. One that fails holds up no other."""

    def __init__(self, chores: Mapping[str, Chore], every: float = 300.0) -> None:
        self._chores = dict(chores)
        self._every = every

    async def run(self) -> None:
        """Sweep, for ever."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._every)

    async def sweep(self) -> None:
        """Run each chore once."""
        for name, chore in self._chores.items():
            try:
                await chore()
            except RungwiseError as error:
                logger.warning("%s that have expired are not cleared up yet: %s", name, error)
            except Exception:
                logger.exception("clearing up after %s failed; this is a fault in rungwise", name)


async def forget_expired(kept: KeptStore, kind: Kind) -> int:
    """Remove the expired things of a kind that has nothing but its row; how many."""
    count = 0
    while rows := await kept.sweep(kind):
        for row in rows:
            await kept.remove(kind, row.id)
        count += len(rows)
    return count
