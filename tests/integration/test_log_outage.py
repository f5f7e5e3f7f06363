"""A database that goes away, for real: answers go on, records go to the spool, none is lost and none is there twice."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rungwise_server.database import open_database
from rungwise_server.errors import SetupError, Unavailable
from rungwise_server.log.sql import SqlLog
from rungwise_server.testing.log import a_feedback, an_inference, everything
from rungwise_server.testing.postgres import TemporaryPostgres


async def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def _append(log: SqlLog, first: int, last: int) -> list[str]:
    for number in range(first, last):
        await log.append(an_inference(f"i{number}"))
        if number % 20 == 0:
            await asyncio.sleep(0.001)
    return [f"i{number}" for number in range(first, last)]


async def _ids(log: SqlLog) -> list[str]:
    return [record.id for record in await everything(log)]


@pytest.fixture
def own_postgres() -> Iterator[TemporaryPostgres]:
    server = TemporaryPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.mark.slow
async def test_postgresql_is_killed_under_load(own_postgres: TemporaryPostgres, tmp_path: Path) -> None:
    log = SqlLog(open_database(own_postgres.url()), tmp_path / "spool")
    expected = await _append(log, 0, 300)
    load = asyncio.create_task(_append(log, 300, 1500))
    await asyncio.sleep(0)
    await asyncio.to_thread(own_postgres.kill)
    expected += await load
    await _until(lambda: log.state().status == "spooling")
    assert log.state().waiting >= 1
    assert log.state().reason
    with pytest.raises(Unavailable):
        await everything(log)
    expected += await _append(log, 1500, 1600)
    await asyncio.to_thread(own_postgres.start)
    expected += await _append(log, 1600, 1800)
    await _until(lambda: log.state().status == "ok" and not log.state().waiting)
    assert await _ids(log) == expected
    assert log.lost == 0
    await log.close()


@pytest.mark.slow
async def test_a_restart_during_an_outage_serves_and_drains_later(
    own_postgres: TemporaryPostgres, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    await asyncio.to_thread(own_postgres.kill)
    with pytest.raises(Unavailable):
        open_database(own_postgres.url())
    first = SqlLog(open_database(own_postgres.url(), required=False), spool)
    expected = await _append(first, 0, 50)
    await _until(lambda: first.state().status == "spooling")
    await first.close()
    assert first.lost == 0

    second = SqlLog(open_database(own_postgres.url(), required=False), spool)
    await second.append(a_feedback("fb"))
    await _until(lambda: second.state().waiting == 51)
    await asyncio.to_thread(own_postgres.start)
    await _until(lambda: second.state().status == "ok" and not second.state().waiting)
    assert sorted(await _ids(second)) == sorted([*expected, "fb"])
    assert [name for name in await _ids(second) if name != "fb"] == expected
    await second.close()
    assert list(spool.glob("*")) == []


async def test_a_sqlite_file_that_is_taken_away_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    log = SqlLog(open_database(f"sqlite:///{path}"), tmp_path / "spool")
    expected = await _append(log, 0, 50)
    assert await _ids(log) == expected
    path.rename(tmp_path / "elsewhere.db")
    expected += await _append(log, 50, 100)
    await _until(lambda: log.state().status == "spooling")
    assert "is gone" in log.state().reason
    with pytest.raises(Unavailable, match="is gone"):
        await everything(log)
    assert not path.exists(), "nobody asked for a fresh database"
    (tmp_path / "elsewhere.db").rename(path)
    await _until(lambda: log.state().status == "ok" and not log.state().waiting)
    assert await _ids(log) == expected
    await log.close()


async def test_a_sqlite_file_that_is_replaced_by_one_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    log = SqlLog(open_database(f"sqlite:///{path}"), tmp_path / "spool")
    expected = await _append(log, 0, 50)
    assert await _ids(log) == expected
    with sqlite3.connect(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    # As on a disk that was mounted read-only: the file says of itself that it may be read but not written. (Taking
    # the permission away would not stop root.)
    shutil.copy(path, tmp_path / "copy.db")
    with (tmp_path / "copy.db").open("r+b") as file:
        file.seek(18)
        file.write(b"\x7f")
    path.rename(tmp_path / "elsewhere.db")
    (tmp_path / "copy.db").rename(path)
    expected += await _append(log, 50, 100)
    await _until(lambda: log.state().status == "spooling")
    assert "readonly" in log.state().reason
    assert await _ids(log) == expected[:50], "what is there can still be read"
    (tmp_path / "elsewhere.db").rename(path)
    await _until(lambda: log.state().status == "ok" and not log.state().waiting)
    assert await _ids(log) == expected
    await log.close()


async def test_a_locked_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    log = SqlLog(open_database(f"sqlite:///{path}"), tmp_path / "spool")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    expected = await _append(log, 0, 50)
    await _until(lambda: log.state().waiting == 50)
    other.execute("rollback")
    other.close()
    await _until(lambda: not log.state().waiting)
    assert await _ids(log) == expected
    await log.close()


async def test_neither_database_nor_spool(tmp_path: Path) -> None:
    """Where the spool cannot be written, records wait in memory: for the database, or for the disk."""
    path = tmp_path / "rungwise.db"
    spool = tmp_path / "spool"
    spool.write_text("a file where the folder should be")
    log = SqlLog(open_database(f"sqlite:///{path}"), spool)
    expected = await _append(log, 0, 50)
    assert await _ids(log) == expected, "a database that answers needs no spool"
    assert log.state().status == "ok"
    assert "spool" in log.state().reason

    path.rename(tmp_path / "elsewhere.db")
    expected += await _append(log, 50, 100)
    await _until(lambda: log.state().status == "spooling" and log.state().waiting == 50)
    (tmp_path / "elsewhere.db").rename(path)
    await _until(lambda: not log.state().waiting)
    assert await _ids(log) == expected

    path.rename(tmp_path / "elsewhere.db")
    expected += await _append(log, 100, 150)
    await _until(lambda: log.state().waiting == 50)
    spool.unlink()
    expected += await _append(log, 150, 200)
    await log.close()
    assert log.lost == 0
    (tmp_path / "elsewhere.db").rename(path)
    again = SqlLog(open_database(f"sqlite:///{path}"), spool)
    await _until(lambda: not again.state().waiting and not list(spool.glob("*/*.spool")))
    assert await _ids(again) == expected
    await again.close()


async def test_a_spool_that_somebody_deletes(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    spool = tmp_path / "spool"
    log = SqlLog(open_database(f"sqlite:///{path}"), spool)
    path.rename(tmp_path / "elsewhere.db")
    await _append(log, 0, 30)
    await _until(lambda: log.state().status == "spooling" and log.state().waiting == 30)
    shutil.rmtree(spool)
    (tmp_path / "elsewhere.db").rename(path)
    await _until(lambda: log.lost == 30)
    expected = await _append(log, 30, 60)
    assert await _ids(log) == expected
    await log.close()
    assert log.lost == 30


async def test_closing_with_no_place_at_all_counts_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "rungwise.db"
    spool = tmp_path / "spool"
    spool.write_text("a file where the folder should be")
    log = SqlLog(open_database(f"sqlite:///{path}"), spool)
    path.unlink()
    await _append(log, 0, 7)
    await log.close()
    assert log.lost == 7
    await log.append(an_inference("late"))
    assert log.lost == 8
    assert log.state().lost == 8


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rungwise.db"
    open_database(url).close()
    with sqlite3.connect(tmp_path / "rungwise.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(SetupError, match="newer rungwise"):
        open_database(url)
