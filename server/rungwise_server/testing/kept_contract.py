"""The contract of KeptStore: what each does, whatever it is made of.

    class TestMine(KeptStoreContract):
        @pytest.fixture
        def kept(self, clock: Clock) -> KeptStore:
            ...

The tests are coroutines: run them with pytest-asyncio in its auto mode.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.errors import Conflict, NotFound
from rungwise_server.keeping import Kept, KeptQuery, KeptStore
from rungwise_server.testing.keeping import Clock

ANA, BO = "user:ana", "user:bö"
HOSTILE = ["", "\0", "a\0", "\ud83d", "a' or '1'='1", "%", "../a", "é", "x" * 10_000]
"""Ids that a client may send, and that nothing has."""


def a_file(id: str = "file-1", **changes: Any) -> Kept:
    """A kept thing; `changes` replace some of its fields."""
    return replace(Kept(id, "file", ANA, 10.0, Raw(b'{"name":  "\\u0000 \xc3\xbc"}')), **changes)


def same(one: Kept | None, other: Kept | None) -> bool:
    """Whether two things are alike, their bodies byte for byte: Raw values are equal only to themselves."""
    if one is None or other is None:
        return one is other
    bare = Raw(b"")
    return bytes(one.body) == bytes(other.body) and replace(one, body=bare) == replace(other, body=bare)


def ids(found: Sequence[Kept]) -> str:
    """The ids, with spaces between them."""
    return " ".join(kept.id for kept in found)


_LISTS = [
    (KeptQuery("file", ANA), "e d b a"),
    (KeptQuery("file", ANA, newest_first=False), "a b d e"),
    (KeptQuery("file", BO), "c"),
    (KeptQuery("file", None), "e d c b a"),
    (KeptQuery("batch", ANA), "a"),
    (KeptQuery("batch", BO), ""),
    (KeptQuery("file", ANA, parent="p"), "e b"),
    (KeptQuery("file", BO, parent="p"), ""),
    (KeptQuery("file", None, parent="none such"), ""),
    (KeptQuery("file", ANA, states=frozenset({"new"})), "d a"),
    (KeptQuery("file", ANA, states=frozenset({"new", "old"})), "d b a"),
    (KeptQuery("file", ANA, states=frozenset({"other"})), ""),
    (KeptQuery("file", ANA, limit=2), "e d"),
    (KeptQuery("file", ANA, after="d"), "b a"),
    (KeptQuery("file", ANA, after="d", newest_first=False), "e"),
    (KeptQuery("file", ANA, after="a"), ""),
    (KeptQuery("file", ANA, before="b"), "e d"),
    (KeptQuery("file", ANA, before="a", limit=2), "d b"),
    (KeptQuery("file", ANA, before="e", limit=2, newest_first=False), "b d"),
    (KeptQuery("file", ANA, after="e", before="a"), "d b"),
    (KeptQuery("file", ANA, after="e", before="a", limit=1), "d"),
    (KeptQuery("file", ANA, after="a", before="e"), ""),
    (KeptQuery("file", ANA, after="c"), ""),  # somebody else's
    (KeptQuery("file", ANA, before="c"), ""),
    (KeptQuery("file", ANA, after="e", before="none such"), ""),
    (KeptQuery("file", ANA, parent="p", after="d"), ""),  # not in that list
    (KeptQuery("file", ANA, states=frozenset({"new"}), after="e"), "d a"),  # but its state may have changed
]
"""Queries, and what they find in the things of the test that uses them."""


class KeptStoreContract:
    """Subclass it, and give it a `kept` fixture: an empty store that lives by `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The time."""
        return Clock()

    @pytest.fixture
    def kept(self, clock: Clock) -> KeptStore:
        """An empty store."""
        raise NotImplementedError

    async def test_a_thing_comes_back_as_it_was(self, kept: KeptStore) -> None:
        """Every field, the body byte for byte."""
        thing = a_file(parent="p-1", state="odd ÿ", expires_at=2_000.5, created_at=1.0625, owner=BO, revision=7)
        added = await kept.add(thing)
        assert same(added, replace(thing, revision=1))
        assert same(await kept.get("file", "file-1", BO), added)

    async def test_an_id_is_taken_once_in_a_kind(self, kept: KeptStore) -> None:
        """The first stays."""
        await kept.add(a_file(state="first"))
        with pytest.raises(Conflict):
            await kept.add(a_file(state="second", owner=BO))
        await kept.add(a_file(kind="batch"))
        found = await kept.get("file", "file-1", ANA)
        assert found is not None
        assert found.state == "first"

    async def test_one_of_many_takes_an_id(self, kept: KeptStore) -> None:
        """At the same moment too: an idempotency key stands for one request."""
        results = await asyncio.gather(*(kept.add(a_file(state=str(n))) for n in range(8)), return_exceptions=True)
        (winner,) = [result for result in results if isinstance(result, Kept)]
        assert sum(isinstance(result, Conflict) for result in results) == 7
        assert same(await kept.get("file", "file-1", ANA), winner)

    async def test_only_the_owner_sees_it(self, kept: KeptStore) -> None:
        """To others it does not exist; the house asks for nobody's in particular."""
        await kept.add(a_file())
        assert await kept.get("file", "file-1", BO) is None
        assert await kept.get("file", "file-1", "") is None
        assert await kept.get("batch", "file-1", ANA) is None
        assert await kept.get("file", "file-1", None) is not None

    @pytest.mark.parametrize("id", HOSTILE)
    async def test_ids_that_nothing_has(self, kept: KeptStore, id: str) -> None:
        """Whatever a client sends as an id is simply not there."""
        await kept.add(a_file())
        assert await kept.get("file", id, ANA) is None
        assert await kept.remove("file", id) is False
        if id:
            assert await kept.list(KeptQuery("file", ANA, after=id)) == []
            assert await kept.list(KeptQuery("file", ANA, before=id)) == []

    async def test_a_change_writes_state_body_and_expiry(self, kept: KeptStore) -> None:
        """And nothing else; the revision counts."""
        had = await kept.add(a_file(parent="p"))
        body = Raw(b'{"n": 1}')
        changed = await kept.change(replace(had, state="done", body=body, expires_at=5_000.0))
        assert changed.revision == 2
        found = await kept.get("file", "file-1", ANA)
        assert same(found, replace(had, state="done", body=body, expires_at=5_000.0, revision=2))
        assert (await kept.change(changed)).revision == 3

    async def test_a_change_of_what_was_changed_is_refused(self, kept: KeptStore) -> None:
        """Who has read an older revision must read again; what is gone is not found."""
        had = await kept.add(a_file())
        await kept.change(replace(had, state="theirs"))
        with pytest.raises(Conflict):
            await kept.change(replace(had, state="ours"))
        found = await kept.get("file", "file-1", ANA)
        assert found is not None
        assert found.state == "theirs"
        assert await kept.remove("file", "file-1") is True
        with pytest.raises(NotFound):
            await kept.change(found)
        assert await kept.remove("file", "file-1") is False

    async def test_no_change_is_lost(self, kept: KeptStore) -> None:
        """Many who count in one thing, each trying until it has."""
        await kept.add(a_file(state="0"))

        async def count(times: int) -> None:
            while times:
                had = await kept.get("file", "file-1", ANA)
                assert had is not None
                with suppress(Conflict):
                    await kept.change(replace(had, state=str(int(had.state) + 1)))
                    times -= 1

        async with asyncio.timeout(60):
            await asyncio.gather(*(count(5) for _ in range(4)))
        found = await kept.get("file", "file-1", ANA)
        assert found is not None
        assert (found.state, found.revision) == ("20", 21)

    async def test_what_has_expired_is_gone_for_every_reader(self, kept: KeptStore, clock: Clock) -> None:
        """At its second; the sweep has it until it is removed."""
        had = await kept.add(a_file(expires_at=clock.now + 10))
        await kept.add(a_file("file-2"))
        clock.now += 9.75
        assert ids(await kept.list(KeptQuery("file", ANA))) == "file-2 file-1"
        assert await kept.sweep("file") == []
        clock.now += 0.25
        assert await kept.get("file", "file-1", None) is None
        assert ids(await kept.list(KeptQuery("file", ANA))) == "file-2"
        assert await kept.list(KeptQuery("file", ANA, before="file-1")) == []
        with pytest.raises(NotFound):
            await kept.change(replace(had, expires_at=0.0))
        assert ids(await kept.sweep("file")) == "file-1"
        assert ids(await kept.sweep("batch")) == ""
        assert await kept.remove("file", "file-1") is False
        assert await kept.sweep("file") == []

    async def test_a_fresh_thing_takes_the_place_of_an_expired_one(self, kept: KeptStore, clock: Clock) -> None:
        """It need not wait for a sweep."""
        await kept.add(a_file(expires_at=clock.now + 10, state="old"))
        clock.now += 10
        await kept.add(a_file(expires_at=clock.now + 10, state="new"))
        assert await kept.sweep("file") == []
        found = await kept.get("file", "file-1", ANA)
        assert found is not None
        assert (found.state, found.revision) == ("new", 1)

    async def test_a_life_can_be_prolonged(self, kept: KeptStore, clock: Clock) -> None:
        """Before it has ended."""
        had = await kept.add(a_file(expires_at=clock.now + 10))
        await kept.change(replace(had, expires_at=0.0))
        clock.now += 1e9
        assert await kept.get("file", "file-1", ANA) is not None

    async def test_a_sweep_has_the_oldest_first(self, kept: KeptStore, clock: Clock) -> None:
        """As many as were asked for."""
        for number in (3, 1, 2):
            await kept.add(a_file(f"f{number}", expires_at=clock.now - 10 + number))
        assert ids(await kept.sweep("file", limit=2)) == "f1 f2"

    async def test_lists(self, kept: KeptStore) -> None:
        """Every condition alone, and some together; marks at either side."""
        for thing in (
            a_file("a", created_at=1.0, state="new"),
            a_file("b", created_at=2.0, state="old", parent="p"),
            a_file("c", created_at=3.0, owner=BO),
            a_file("d", created_at=4.0, state="new", parent="q"),
            a_file("e", created_at=5.0, parent="p"),
            a_file("a", kind="batch"),
        ):
            await kept.add(thing)
        for query, expected in _LISTS:
            assert ids(await kept.list(query)) == expected, query

    @pytest.mark.parametrize("newest_first", [True, False])
    async def test_pages_put_together_are_the_whole(self, kept: KeptStore, newest_first: bool) -> None:
        """Forwards and backwards, also where many things are of one moment."""
        for number in range(23):
            await kept.add(a_file(f"f{number * 7 % 23:02}", created_at=float(number // 5)))
        query = KeptQuery("file", ANA, newest_first=newest_first, limit=4)
        whole = ids(await kept.list(replace(query, limit=100))).split()
        seen: list[str] = []
        while page := await kept.list(replace(query, after=seen[-1] if seen else "")):
            seen += ids(page).split()
        assert seen == whole
        back = [whole[-1]]
        while page := await kept.list(replace(query, before=back[0])):
            back = ids(page).split() + back
        assert back == whole

    async def test_pages_hold_while_things_come_and_go(self, kept: KeptStore) -> None:
        """Nothing twice, and nothing missing that was there all the time."""
        for number in range(20):
            await kept.add(a_file(f"f{number:02}", created_at=float(number)))
        seen: list[str] = []
        while page := await kept.list(KeptQuery("file", ANA, after=seen[-1] if seen else "", limit=3)):
            seen += ids(page).split()
            await kept.add(a_file(f"later{len(seen)}", created_at=100.0))
            await kept.remove("file", seen[0])
        assert seen == [f"f{number:02}" for number in reversed(range(20))]
