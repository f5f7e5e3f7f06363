"""Bringing a database's schema to this version: by alembic, under a lock, and only when it is not there already."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from rungwise_server.errors import SetupError

HEAD = "0003"
"""The newest revision in `rungwise_server/migrations/versions`; a test holds the two equal."""

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_ADVISORY_LOCK = 0x72756E67  # "rung"


def prepare(engine: sa.Engine, path: Path | None) -> None:
    """Migrate to HEAD. Safe when several processes start together; returns at once where nothing is to be done.

    Raises:
        SetupError: the schema is newer than this version, or the database is not fit for ours.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    if path is not None:
        with _folder_locked(path.parent):
            with engine.connect() as connection:
                # Persistent in the file. Outside of the lock two first starts can refuse each other here.
                connection.connection.cursor().execute("pragma journal_mode = wal")
            _migrate(engine)
    else:
        _migrate(engine)


def _migrate(engine: sa.Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            encoding = connection.exec_driver_sql("show server_encoding").scalar_one()
            if encoding != "UTF8":
                raise SetupError(f"the database's encoding is {encoding}: create one with encoding 'UTF8'")
        revision = _revision(connection)
        if revision is not None and revision not in known:
            raise SetupError(
                f"the database was written by a newer rungwise (its schema is {revision}, this one knows {HEAD}): "
                "update rungwise, or point log.url elsewhere"
            )
        if revision != HEAD:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revision(connection: sa.Connection) -> str | None:
    """What alembic wrote, without alembic; None in a database that has none of it."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("select version_num from alembic_version").scalar_one_or_none()


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
