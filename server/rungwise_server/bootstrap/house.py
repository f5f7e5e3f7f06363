"""A house, opened whole and closed so that nothing is lost."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from rungwise_server.bootstrap.engine import build_engine
from rungwise_server.bootstrap.judges import open_judges
from rungwise_server.bootstrap.models import open_moderations
from rungwise_server.bootstrap.retrieval import check_collections, open_embedder, open_index, open_reranker
from rungwise_server.bootstrap.state import open_blobs, open_house_database, open_kept, open_log, open_queue
from rungwise_server.config.settings import Settings
from rungwise_server.database import Database
from rungwise_server.engine import Engine
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.trust import Trust
from rungwise_server.keeping import JobQueue, KeptStore
from rungwise_server.keys import KeyStore
from rungwise_server.log.sql import SqlLog
from rungwise_server.metrics import Metrics
from rungwise_server.models.moderations import Moderations
from rungwise_server.protocols import Embedder, Judge, PassageIndex, Reranker
from rungwise_server.store.blobs import FolderBlobs


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that serves, opened; `close` lets go of it in the order in which nothing is lost."""

    settings: Settings
    engine: Engine
    index: PassageIndex
    embedder: Embedder
    database: Database
    log: SqlLog
    keys: KeyStore
    metrics: Metrics
    client: HttpClient
    kept: KeptStore
    blobs: FolderBlobs
    queue: JobQueue
    reranker: Reranker
    moderations: Moderations | None
    judges: Mapping[str, Judge]

    async def close(self) -> None:
        """Drain the log, then close what it and the answers came from."""
        await self.engine.close()
        await self.client.close()
        await self.log.close()
        await self.index.close()
        await self.embedder.close()
        await asyncio.to_thread(self.database.close)


async def open_house(settings: Settings, environ: Mapping[str, str] = os.environ, *, role: str = "serve") -> House:
    """Open everything that answering needs.

    Raises:
        SetupError: a part cannot be opened as configured; the message says what to do.
        IndexBusy: another process holds the embedded index and does not share it.
    """
    embedder = await open_embedder(settings, environ)
    index = await open_index(settings, environ, role=role)
    try:
        await check_collections(settings, index, embedder)
        # Answers must go on while the database is down, also after a restart: rows wait in the spool.
        database = await open_house_database(settings, environ, required=False)
    except BaseException:
        await index.close()
        raise
    log = open_log(settings, database)
    keys = KeyStore(database)
    metrics = Metrics()
    client = HttpClient()
    kept = open_kept(database)
    engine = build_engine(
        settings,
        index,
        embedder,
        log,
        client=client,
        observe=metrics.observe,
        environ=environ,
        trust=Trust(kept, log, embedder),
        left_out=metrics.left_out,
    )
    judges = open_judges(settings, embedder, log, client=client, observe=metrics.observe, environ=environ)
    return House(
        settings=settings,
        engine=engine,
        index=index,
        embedder=embedder,
        database=database,
        log=log,
        keys=keys,
        metrics=metrics,
        client=client,
        kept=kept,
        blobs=open_blobs(settings),
        queue=open_queue(database),
        reranker=open_reranker(settings, embedder, client, environ),
        moderations=open_moderations(settings, client, environ),
        judges=judges,
    )
