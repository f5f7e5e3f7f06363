"""Several processes' logs on one database; rows that no database takes; spools of another version."""

import asyncio
from pathlib import Path

import pytest

from rungwise_server.database import open_database
from rungwise_server.log.rows import Row, encode
from rungwise_server.log.spool import Spool, leftovers
from rungwise_server.log.sql import SqlLog
from rungwise_server.records import LogQuery
from rungwise_server.testing.log import a_feedback, an_inference, everything


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rungwise.db"
    return str(request.getfixturevalue("postgres_url"))


def _set_aside(folder: Path) -> bytes:
    (kept,) = folder.glob("*.unreadable")
    return kept.read_bytes()


async def test_positions_become_visible_in_order(url: str, tmp_path: Path) -> None:
    """Whoever follows the log by position misses nothing, however many write at once."""
    writers = [SqlLog(open_database(url), tmp_path / "spool", linger_ms=number, batch=7) for number in (0, 1, 3)]
    reader = SqlLog(open_database(url), tmp_path / "reader")
    total = 900

    async def write(name: int, log: SqlLog) -> None:
        for number in range(total // len(writers)):
            make = an_inference if number % 2 else a_feedback
            await log.append(make(f"{name}-{number}"))
            if number % 5 == 0:
                await asyncio.sleep(0.001)

    async def follow() -> list[str]:
        ids: list[str] = []
        after = 0
        while len(ids) < total:
            async for record in reader.read(LogQuery(after=after)):
                assert record.position > after
                after = record.position
                ids.append(record.id)
        return ids

    async with asyncio.timeout(30):
        ids, *_ = await asyncio.gather(follow(), *(write(name, log) for name, log in enumerate(writers)))
    assert ids == [record.id for record in await everything(reader)]
    assert len(set(ids)) == total
    for name in range(len(writers)):
        assert [i for i in ids if i.startswith(f"{name}-")] == [f"{name}-{n}" for n in range(total // len(writers))]
    for log in [*writers, reader]:
        await log.close()


async def test_one_process_drains_what_two_others_left(url: str, tmp_path: Path) -> None:
    """Two starts at once share the leftovers: each row is in the log once, whoever drained it."""
    for name in "ab":
        spool = Spool(tmp_path, segment_bytes=20_000)
        for number in range(60):
            spool.put([encode(an_inference(f"{name}{number}"))], sync=False)
        spool.close()
    logs = [SqlLog(open_database(url), tmp_path) for _ in range(2)]
    for log in logs:
        await everything(log)
    ids = [record.id for record in await everything(logs[0])]
    assert sorted(ids) == sorted(f"{name}{number}" for name in "ab" for number in range(60))
    for name in "ab":
        assert [i for i in ids if i[0] == name] == [f"{name}{n}" for n in range(60)]
    for log in logs:
        await log.close()
    assert leftovers(tmp_path) == []


async def test_a_spool_of_a_version_with_other_columns(url: str, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    row = encode(an_inference("old"))
    spool.put([Row(row.table, {"id": "old", "a column of old": 1}, row.body)], sync=False)
    spool.close()
    log = SqlLog(open_database(url), tmp_path)
    assert [record.id for record in await everything(log, LogQuery(workload="support", user="ana"))] == ["old"]
    await log.close()


async def test_a_row_that_the_database_refuses_holds_up_no_other(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [encode(an_inference(f"i{number}")) for number in range(5)]
    bad = Row("inference", {**good[0].columns, "id": "bad", "at": "a quarter to nine"}, good[0].body)
    spool = Spool(tmp_path)
    spool.put([*good[:3], bad, *good[3:]], sync=False)
    spool.close()
    log = SqlLog(open_database(postgres_url), tmp_path)
    assert [record.id for record in await everything(log)] == [f"i{number}" for number in range(5)]
    assert bad.body in _set_aside(tmp_path)
    assert str(tmp_path / "refused-") in caplog.text
    assert log.state().status == "ok"
    await log.close()


async def test_a_body_that_is_no_record_holds_up_no_reader(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = encode(an_inference("a"))
    spool = Spool(tmp_path)
    spool.put([good, Row(good.table, {**good.columns, "id": "b"}, b'{"no": "record"}')], sync=False)
    spool.put([Row(good.table, {**good.columns, "id": "c"}, b"\xff"), encode(an_inference("d"))], sync=False)
    spool.close()
    log = SqlLog(open_database(url), tmp_path)
    assert [record.id for record in await everything(log)] == ["a", "d"]
    assert "cannot be read" in caplog.text
    await log.close()
