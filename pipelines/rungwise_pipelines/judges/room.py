"""The parts of the house that judging needs, opened: no index, and nothing that serves."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rungwise_server.bootstrap import (
    Bench,
    of_pairs,
    open_embedder,
    open_house_database,
    open_judges,
    open_kept,
    open_log,
)
from rungwise_server.config.settings import Settings
from rungwise_server.errors import NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.trust import Trust
from rungwise_server.log.sql import SqlLog
from rungwise_server.protocols import Embedder, Judge, PairJudge


@dataclass(frozen=True, kw_only=True)
class Room:
    """What judges work with."""

    settings: Settings
    embedder: Embedder
    log: SqlLog
    sets: EvalSets
    trust: Trust
    judges: Mapping[str, Judge]
    pairs: Mapping[str, PairJudge]
    bench: Bench

    def judge(self, name: str) -> Judge:
        """The judge of that name. Raises NotFound, and BadRequest for one of pairs."""
        if name in self.pairs:
            raise of_pairs(name)
        if (judge := self.judges.get(name)) is None:
            there = ", ".join((*self.judges, *self.pairs))
            raise NotFound(f"There is no judge {name!r}. There are: {there}.", param="judge")
        return judge


@asynccontextmanager
async def open_room(settings: Settings, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Room]:
    """Open it; closing it drains the log.

    Raises:
        SetupError: a part cannot be opened as configured.
    """
    embedder = await open_embedder(settings, environ)
    database = await open_house_database(settings, environ)
    log = open_log(settings, database)
    client = HttpClient()
    try:
        kept = open_kept(database)
        bench = Bench(settings, embedder, log, client=client, environ=environ)
        yield Room(
            settings=settings,
            embedder=embedder,
            log=log,
            sets=EvalSets(kept),
            trust=Trust(kept, log, embedder),
            judges=open_judges(settings, embedder, log, client=client, environ=environ),
            pairs=bench.pair_judges(),
            bench=bench,
        )
    finally:
        await client.close()
        await log.close()
        await embedder.close()
        await asyncio.to_thread(database.close)
