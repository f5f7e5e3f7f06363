"""Opening a database, its transactions, and its errors as ours."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, SQLAlchemyError

from rungwise_server.database.schema import prepare
from rungwise_server.errors import BadRequest, SetupError, Unavailable

logger = logging.getLogger("rungwise.database")

_BUSY_MS = 5000
_LOCK_TIMEOUT = "10s"
_URLS = "write sqlite:///PATH or postgresql://USER@HOST/NAME"
_CONNECT = {
    "connect_timeout": 5,
    "application_name": "rungwise",
    # A server that vanished without a word is noticed within half a minute, not after the kernel's two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class Database:
    """SQLite or PostgreSQL behind one door, with our schema in it. Use from threads; it keeps a pool of connections.

    `read` and `write` give a SQLAlchemy connection in a transaction that ends with the block, and turn the driver's
    errors into ours:

    Raises:
        Unavailable: the database cannot be reached, written or locked now; trying again later may help.
        BadRequest: the database refuses a value; trying again never helps.
        IntegrityError: SQLAlchemy's own, for the room whose tables these are.
        SetupError: the schema is of a newer version, or is not ours to make.
    """

    def __init__(self, engine: sa.Engine, path: Path | None) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._path = path
        self._inode: tuple[int, int] | None = None
        self._ready = False
        self._opening = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A snapshot where the database is SQLite; each statement its own where it is PostgreSQL."""
        with self._errors():
            self.ensure_ready()
            with self.engine.connect() as connection:
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """All or nothing; committed when the block ends without an exception."""
        with self._errors():
            self.ensure_ready()
            # SQLite: a transaction that reads first and writes then can lose its place to another writer, and no
            # timeout helps it; one that says at its start that it will write waits in line.
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                if self.dialect == "postgresql":
                    connection.exec_driver_sql(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
                yield connection

    def ensure_ready(self) -> None:
        """Bring the schema up to date, once; notice an SQLite file that was taken away or replaced."""
        if self._path is not None and self._inode != self._identity():
            with self._opening:
                self._ready = False
                self.engine.dispose()
        if self._ready:
            return
        with self._opening:
            if not self._ready:
                prepare(self.engine, self._path)
                self._inode = self._identity()
                self._ready = True

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _identity(self) -> tuple[int, int] | None:
        # SQLite goes on writing into a file that was deleted under it: every row since would be lost unseen.
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError as error:
            if self._inode is None:
                return None
            message = f"{self._path} is gone ({error.strerror}): put it back, or restart to begin anew"
            raise Unavailable(message) from error
        return status.st_dev, status.st_ino

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DataError, OverflowError, UnicodeEncodeError) as error:
            raise BadRequest(f"the database refuses a value: {_reason(error)}") from error
        except SQLAlchemyError as error:
            if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                message = f"{self._path} is no SQLite database: move it away, or point log.url elsewhere"
                raise SetupError(message) from error
            raise Unavailable(f"the database does not answer: {_reason(error)}") from error


def open_database(url: str, *, required: bool = True) -> Database:
    """Open the database at `url` (`sqlite:///PATH`, `postgresql://…`), with the schema of this version in it.

    With `required=False` a server that does not answer is no error: the schema is seen to at the first use, so that
    a restart during an outage still serves.

    Raises:
        SetupError: the URL is none, its driver is not installed, the file cannot be made or is no database, the
            schema was written by a newer version.
        Unavailable: the database is there but does not answer now.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise SetupError(f"the database's URL cannot be read: {_URLS}") from error
    if parsed.get_backend_name() == "sqlite":
        database = _sqlite(parsed)
    elif parsed.get_backend_name() in ("postgresql", "postgres"):
        database = _postgresql(parsed)
    else:
        raise SetupError(f"{parsed.drivername!r} is no database of ours: {_URLS}")
    try:
        with database._errors():
            database.ensure_ready()
    except Unavailable as error:
        if required:
            database.close()
            raise
        logger.warning("%s; going on without it", error.message)
    except BaseException:
        database.close()
        raise
    return database


def _sqlite(url: sa.URL) -> Database:
    if not url.database or url.database == ":memory:" or url.query:
        raise SetupError("the database's URL names no file: write sqlite:///PATH (four slashes for an absolute path)")
    path = Path(url.database).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never through open() where the file exists: closing it would drop the locks that SQLite holds on it here.
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SetupError(f"{path} cannot be made: {error.strerror}") from error
    # mode=rw: a file that was taken away is an error, not a fresh database.
    address = f"file:{quote(str(path))}?mode=rw"
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        hide_parameters=True,
        creator=lambda: sqlite3.connect(
            address, uri=True, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        ),
    )
    sa.event.listen(engine, "connect", _sqlite_connected)
    sa.event.listen(engine, "begin", _sqlite_begin)
    return Database(engine, path)


def _sqlite_connected(connection: Any, _record: object) -> None:
    for pragma in ("synchronous = normal", "foreign_keys = on"):
        connection.execute(f"pragma {pragma}")


def _sqlite_begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("begin immediate" if connection.get_execution_options().get("writes") else "begin")


def _postgresql(url: sa.URL) -> Database:
    url = url.set(drivername="postgresql+psycopg")
    try:
        engine = sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
        )
    except ImportError as error:
        raise SetupError(
            "PostgreSQL needs a driver: `uv sync --extra postgres`, or `pip install 'rungwise[postgres]'`"
        ) from error
    return Database(engine, None)


def _reason(error: Exception) -> str:
    """The driver's own first line: the rest may quote rows and statements."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
