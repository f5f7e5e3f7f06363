"""A worker with everything that it can do: the one place where kinds of jobs and those who do them are named."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from rungwise_pipelines.batch.job import Batches
from rungwise_pipelines.work.chores import VectorStoreChores, take_up_batches
from rungwise_pipelines.work.vector_store_files import VectorStoreFiles
from rungwise_pipelines.work.worker import LEASE, Duty, Ended, Worker
from rungwise_pipelines.work.workshop import Workshop
from rungwise_server import bootstrap
from rungwise_server.batches import JOB as BATCH
from rungwise_server.config.settings import Settings
from rungwise_server.sweeper import Sweeper
from rungwise_server.vector_stores import JOB


@asynccontextmanager
async def open_worker(
    settings: Settings,
    report: Callable[[Ended], None] = lambda _: None,
    *,
    lease: float = LEASE,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[Worker]:
    """A worker over the database of `settings`. `report` is told the end of each job.

    Raises:
        SetupError, Unavailable: the database cannot be opened.
    """
    database = await bootstrap.open_house_database(settings, environ)
    kept, blobs, queue = bootstrap.open_kept(database), bootstrap.open_blobs(settings), bootstrap.open_queue(database)
    workshop = Workshop(
        lambda: bootstrap.open_index(settings, environ, role="rungwise worker"),
        lambda: bootstrap.open_embedder(settings, environ),
    )
    duties: dict[str, Duty] = {
        JOB: VectorStoreFiles(kept, blobs, workshop).duty,
        BATCH: Batches(kept, blobs, settings, environ).duty,
    }
    chores = VectorStoreChores(kept, queue, workshop)
    try:
        yield Worker(
            queue,
            duties,
            tidy=Sweeper(
                {
                    "vector stores": chores.sweep,
                    "files of vector stores": chores.take_up,
                    "batches": lambda: take_up_batches(kept, queue),
                }
            ).sweep,
            rest=workshop.rest,
            report=report,
            lease=lease,
        )
    finally:
        await workshop.rest()
        await asyncio.to_thread(database.close)
