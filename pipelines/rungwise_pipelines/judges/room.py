"""The parts of the house that judging needs, opened: no index, and nothing that serves."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rungwise_server.bootstrap import Bench, open_embedder, open_house_database, open_judges, open_kept, open_log
from rungwise_server.config.settings import Settings
from rungwise_server.errors import NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.trust import Trust
from rungwise_server.log.sql import SqlLog
from rungwise_server.protocols import Embedder, Judge


@dataclass(frozen=True, kw_only=True)
class Room:
    """What judges work with."""

    settings: Settings
    embedder: Embedder
    log: SqlLog
    sets: EvalSets
    trust: Trust
    judges: Mapping[str, Judge]
    bench: Bench

    def judge(self, name: str) -> Judge:
        """The judge of that name. Raises NotFound."""
        if (judge := self.judges.get(name)) is None:
            raise NotFound(f"There is no judge {name!r}. There are: {', '.join(self.judges)}.", param="judge")
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
        yield Room(
            settings=settings,
            embedder=embedder,
            log=log,
            sets=EvalSets(kept),
            trust=Trust(kept, log, embedder),
            judges=open_judges(settings, embedder, log, client=client, environ=environ),
            bench=Bench(settings, embedder, log, client=client, environ=environ),
        )
    finally:
        await client.close()
        await log.close()
        await embedder.close()
        await asyncio.to_thread(database.close)
