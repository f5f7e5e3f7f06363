"""Keys: made once, stored hashed, found from memory; revoked within five seconds, also while the database is down."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from rungwise_server import keys as keys_module
from rungwise_server.database import Database, open_database
from rungwise_server.errors import BadRequest, NotFound, Unavailable
from rungwise_server.keys import KeyStore
from rungwise_server.types import Caller


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rungwise.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


def _take_away(path: Path) -> None:
    path.rename(path.with_suffix(".away"))


def _put_back(path: Path) -> None:
    path.with_suffix(".away").rename(path)


async def test_a_key_is_its_caller(store: KeyStore) -> None:
    key, secret = await store.create("ana", ["finance", "財務"], admin=True)
    caller = await store.find(secret)
    assert caller == Caller("ana", frozenset({"finance", "財務"}), key.id, admin=True)
    assert (await store.list()) == [key]
    assert await store.find(secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None


async def test_secrets_are_long_different_and_nowhere_stored(
    store: KeyStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [(await store.create("ana"))[1] for _ in range(5)]
    assert len(set(secrets)) == 5
    for secret in secrets:
        assert secret.startswith("rw-")
        assert len(secret) == 46
        assert await store.find(secret) is not None
        assert secret not in caplog.text
        for file in path.parent.iterdir():
            assert secret[3:].encode() not in file.read_bytes()
    assert "rw-" not in repr(await store.list())


@pytest.mark.parametrize("secret", ["", "rw-", "sk-" + "a" * 43, "rw-" + "é" * 43, "rw-" + "a" * 10_000_000, "rw-\0"])
async def test_what_is_no_key(store: KeyStore, secret: str) -> None:
    assert await store.find(secret) is None


async def test_a_key_made_elsewhere_works_at_once(store: KeyStore, database: Database) -> None:
    assert not await store.any()
    elsewhere = KeyStore(database)
    for _ in range(2):
        _, secret = await elsewhere.create("bo")
        found = await store.find(secret)
        assert found is not None
        assert found.user == "bo"
    assert await store.any()


async def test_a_revoked_key_stops(store: KeyStore, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "_STALE", 0.2)
    monkeypatch.setattr(keys_module, "_BETWEEN", 0.02)
    key, secret = await store.create("ana")
    _, other = await store.create("ana")
    await store.revoke(key.id)
    assert await store.find(secret) is None
    assert await store.find(other) is not None
    await store.revoke(key.id)
    listed = {entry.id: entry.revoked_at for entry in await store.list()}
    assert listed[key.id] > key.created_at
    assert sum(1 for revoked_at in listed.values() if revoked_at) == 1

    third, secret = await store.create("ana")
    elsewhere = KeyStore(database)
    await elsewhere.revoke(third.id)
    async with asyncio.timeout(5):
        while await store.find(secret) is not None:
            await asyncio.sleep(0.01)
    assert await store.any()


async def test_a_store_that_nobody_asked_for_long_knows_no_revoked_key(
    store: KeyStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "_STALE", 60.0)
    monkeypatch.setattr(keys_module, "_BETWEEN", 0.0)
    key, secret = await store.create("ana")
    assert await store.find(secret) is not None
    await KeyStore(database).revoke(key.id)
    assert await store.find(secret) is not None, "it looked just now"
    monkeypatch.setattr(keys_module, "_STALE", 0.0)  # from here on every time is long
    assert await store.find(secret) is None


async def test_revoking_the_last_key_does_not_open_the_house(store: KeyStore, database: Database) -> None:
    key, _ = await store.create("ana")
    await store.revoke(key.id)
    assert await store.any()
    assert await KeyStore(database).any()


async def test_unknown_keys_do_not_beset_the_database(store: KeyStore, database: Database) -> None:
    looks = 0

    def count(*_: object) -> None:
        nonlocal looks
        looks += 1

    await store.any()
    sa.event.listen(database.engine, "begin", count)
    await asyncio.gather(*(store.find(f"rw-{number:043}") for number in range(300)))
    assert looks <= 2


async def test_known_keys_work_while_the_database_is_down(
    store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys_module, "_STALE", 0.02)
    monkeypatch.setattr(keys_module, "_BETWEEN", 0.01)
    _, secret = await store.create("ana")
    assert await store.find(secret) is not None
    _take_away(path)
    async with asyncio.timeout(5):
        while "keys known so far go on working" not in caplog.text:
            assert await store.find(secret) is not None
            await asyncio.sleep(0.01)
    assert await store.find(secret) is not None
    assert await store.any()
    with pytest.raises(Unavailable):
        await store.find("rw-" + "x" * 43)
    with pytest.raises(Unavailable):
        await store.create("bo")
    _put_back(path)
    _, new = await KeyStore(store._database).create("bo")
    async with asyncio.timeout(5):
        while await store.find(new) is None:
            await asyncio.sleep(0.01)


async def test_a_store_that_never_saw_the_database_lets_nobody_in(database: Database, path: Path) -> None:
    _, secret = await KeyStore(database).create("ana")
    _take_away(path)
    store = KeyStore(database)
    with pytest.raises(Unavailable):
        await store.find(secret)
    with pytest.raises(Unavailable):
        await store.any()
    _put_back(path)
    async with asyncio.timeout(5):
        while True:
            try:
                assert await store.find(secret) is not None
                break
            except Unavailable:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("user", ["", "everyone", "user:ana", "a b", "a\tb", "a\u3000b", ":", "a\0", "a\u200b"])
async def test_names_that_are_none(store: KeyStore, user: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await store.create(user)
    assert caught.value.param == "user"
    with pytest.raises(BadRequest) as caught:
        await store.create("ana", ["staff", user])
    assert caught.value.param == "group"
    assert await store.list() == []


async def test_revoking_what_is_not_there(store: KeyStore) -> None:
    with pytest.raises(NotFound, match="rungwise keys list"):
        await store.revoke("key-none")
