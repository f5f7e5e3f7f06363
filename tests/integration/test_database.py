"""Opening a database: its schema, its files, its errors. On SQLite and on PostgreSQL."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import rungwise_server
from rungwise_server.database import Database, log_head, metadata, open_database
from rungwise_server.database.schema import HEAD
from rungwise_server.errors import BadRequest, RungwiseError, SetupError, Unavailable


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/rungwise.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = open_database(url)
    yield database
    database.close()


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(rungwise_server.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_starts_at_the_same_time_agree(url: str) -> None:
    starts = 5
    barrier = threading.Barrier(starts)
    faults: list[BaseException] = []

    def start() -> None:
        barrier.wait()
        try:
            open_database(url).close()
        except RungwiseError as error:
            faults.append(error)

    threads = [threading.Thread(target=start) for _ in range(starts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    database = open_database(url)
    with database.read() as connection:
        assert connection.execute(sa.select(log_head.c.position)).scalars().all() == [0]
    database.close()


def test_processes_that_start_at_the_same_time_agree_and_later_ones_need_no_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from rungwise_server.database import open_database; "
        f"open_database('sqlite:///{tmp_path}/rungwise.db').close(); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert "True" in "".join(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(sa.update(log_head).values(position=5))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.read() as connection:
        assert connection.execute(sa.select(log_head.c.position)).scalar_one() == 0


def test_a_value_that_cannot_be_stored_is_a_bad_request(database: Database) -> None:
    with pytest.raises(BadRequest), database.write() as connection:
        connection.execute(sa.update(log_head).values(position=2**70))


def test_errors_do_not_tell_what_was_stored(database: Database) -> None:
    with pytest.raises(Unavailable) as caught, database.write() as connection:
        connection.execute(sa.text("insert into nowhere values (:secret)"), {"secret": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sqlite_is_private_and_waits_for_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder with spaces, % and ?" / "rungwise.db"
    database = open_database(f"sqlite:///{path}".replace("%", "%25").replace("?", "%3F"))
    with database.write() as connection:
        connection.execute(sa.update(log_head).values(position=1))
        settings = {
            name: connection.exec_driver_sql(f"pragma {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
        assert [file.stat().st_mode & 0o777 for file in path.parent.iterdir()] == [0o600] * 3
    assert settings == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000, "foreign_keys": 1}
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "sqlite:///PATH"),
        ("mysql://root@localhost/x", "sqlite:///PATH"),
        ("sqlite://", "four slashes"),
        ("sqlite:///:memory:", "four slashes"),
        ("sqlite:////proc/nowhere/rungwise.db", "cannot be made"),
    ],
)
def test_a_url_that_is_none(url: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        open_database(url)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    path.write_text("dear diary, " * 100)
    with pytest.raises(SetupError, match="no SQLite database"):
        open_database(f"sqlite:///{path}")
    assert path.read_text().startswith("dear diary")


def test_a_missing_driver_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from rungwise_server.database import open_database\n"
        "from rungwise_server.errors import SetupError\n"
        "try: open_database('postgresql://x@127.0.0.1:1/x')\n"
        "except SetupError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "uv sync --extra postgres" in done.stdout


def test_a_database_that_does_not_answer() -> None:
    url = "postgresql://ana:hunter2@127.0.0.1:1/none"
    with pytest.raises(Unavailable) as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)
    database = open_database(url, required=False)
    with pytest.raises(Unavailable), database.read():
        pass


def test_a_newer_schema_is_left_alone(database: Database, url: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(SetupError, match="newer rungwise"):
        open_database(url)
