"""Where things are kept: the database, and what stands on it and on RUNGWISE_HOME."""

import asyncio
import os
from collections.abc import Mapping

from rungwise_server.config.settings import Settings
from rungwise_server.database import Database, open_database
from rungwise_server.errors import SetupError
from rungwise_server.keeping import JobQueue, KeptStore
from rungwise_server.log.sql import SqlLog
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.store.queue import SqlQueue
from rungwise_server.store.sql import SqlKept


async def open_house_database(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, required: bool = True
) -> Database:
    """The database of the log, the keys and the state of sources."""
    url = environ.get(settings.log.url_env, "") if settings.log.url_env else settings.log.url
    if settings.log.url_env and not url:
        raise SetupError(f"log.url_env names {settings.log.url_env}, which is not set. Set it to the database's URL.")
    if not url:
        settings.home.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(settings.home / 'rungwise.db').resolve()}"
    return await asyncio.to_thread(open_database, url, required=required)


def open_log(settings: Settings, database: Database) -> SqlLog:
    """The log over `database`, with its spool in RUNGWISE_HOME."""
    return SqlLog(database, settings.home / "spool")


def open_kept(database: Database) -> KeptStore:
    """What is kept for clients, in `database`."""
    return SqlKept(database)


def open_blobs(settings: Settings) -> FolderBlobs:
    """The bytes of uploads, in RUNGWISE_HOME."""
    return FolderBlobs(settings.home / "files")


def open_queue(database: Database) -> JobQueue:
    """The work that waits for workers, in `database`."""
    return SqlQueue(database)
