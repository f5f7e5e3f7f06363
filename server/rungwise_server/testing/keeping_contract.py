"""The contracts of KeptStore, BlobStore and JobQueue: what each does, whatever it is made of.

    class TestMyStore(KeptStoreContract):
        @pytest.fixture
        def kept(self, clock: Clock) -> KeptStore:
            ...

The tests are coroutines: run them with pytest-asyncio in its auto mode.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.errors import BadRequest, Conflict, NotFound, TooLarge
from rungwise_server.keeping import BlobStore, Job, JobQueue, Kept, KeptQuery, KeptStore
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
        raise NotImplementedError("override the fixture `kept`")

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


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _bytes(blobs: BlobStore, id: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(id)])


class BlobStoreContract:
    """Subclass it, and give it a `blobs` fixture: an empty store."""

    @pytest.fixture
    def blobs(self) -> BlobStore:
        """An empty store."""
        raise NotImplementedError("override the fixture `blobs`")

    @pytest.mark.parametrize("sizes", [[], [0], [1], [0, 3, 0], [700_000, 700_000, 1], [3_000_000, 5]])
    async def test_the_bytes_come_back(self, blobs: BlobStore, sizes: list[int]) -> None:
        """However they came in; and in a file too."""
        parts = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        assert await blobs.write("file-1", _pieces(*parts), 10**7) == sum(sizes)
        assert await _bytes(blobs, "file-1") == b"".join(parts)
        path = await blobs.path("file-1")
        assert await asyncio.to_thread(path.read_bytes) == b"".join(parts)

    async def test_what_is_over_the_limit_leaves_nothing(self, blobs: BlobStore) -> None:
        """The limit itself is taken."""
        with pytest.raises(TooLarge):
            await blobs.write("file-1", _pieces(b"12345", b"6"), 5)
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")
        assert await blobs.write("file-1", _pieces(b"12345"), 5) == 5

    async def test_a_source_that_breaks_leaves_what_was(self, blobs: BlobStore) -> None:
        """All the bytes or nothing."""

        async def breaks() -> AsyncIterator[bytes]:
            yield b"new"
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await blobs.write("file-1", breaks(), 100)
        with pytest.raises(NotFound):
            await blobs.path("file-1")
        await blobs.write("file-1", _pieces(b"old"), 100)
        with pytest.raises(ConnectionResetError):
            await blobs.write("file-1", breaks(), 100)
        assert await _bytes(blobs, "file-1") == b"old"

    async def test_a_writer_that_is_cancelled_leaves_nothing(self, blobs: BlobStore) -> None:
        """In mid-upload."""
        begun = asyncio.Event()

        async def stalls() -> AsyncIterator[bytes]:
            yield b"half"
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(blobs.write("file-1", stalls(), 100))
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")

    async def test_of_many_writers_one_is_whole(self, blobs: BlobStore) -> None:
        """Never a mixture."""
        await asyncio.gather(*(blobs.write("file-1", _pieces(*[bytes([n])] * 50), 100) for n in range(6)))
        found = await _bytes(blobs, "file-1")
        assert (len(found), len(set(found))) == (50, 1)

    async def test_what_is_not_there(self, blobs: BlobStore) -> None:
        """Reading it is NotFound, removing it nothing."""
        await blobs.remove("file-1")
        with pytest.raises(NotFound):
            await _bytes(blobs, "file-1")
        with pytest.raises(NotFound):
            await blobs.path("file-1")
        await blobs.write("file-1", _pieces(b"x"), 100)
        await blobs.remove("file-1")
        with pytest.raises(NotFound):
            await blobs.path("file-1")

    async def test_who_reads_reads_on(self, blobs: BlobStore) -> None:
        """Though it is removed meanwhile."""
        whole = b"z" * 3_000_000
        await blobs.write("file-1", _pieces(whole), 10**7)
        reading = aiter(blobs.read("file-1"))
        begun = await anext(reading)
        await blobs.remove("file-1")
        assert begun + b"".join([piece async for piece in reading]) == whole

    @pytest.mark.parametrize("id", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "a.part", "-x", "x" * 200])
    async def test_an_id_is_no_path(self, blobs: BlobStore, id: str) -> None:
        """Nothing outside can be read or written, whoever asks."""
        with pytest.raises(BadRequest):
            await blobs.write(id, _pieces(b"x"), 100)
        for asking in (blobs.path(id), blobs.remove(id), _bytes(blobs, id)):
            with pytest.raises(BadRequest):
                await asking


async def _take(queue: JobQueue, worker: str = "w", lease: float = 30.0) -> Job:
    job = await queue.take(["work"], worker, lease)
    assert job is not None
    return job


class JobQueueContract:
    """Subclass it, and give it a `queue` fixture: an empty queue that lives by `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The time."""
        return Clock()

    @pytest.fixture
    def queue(self, clock: Clock) -> JobQueue:
        """An empty queue."""
        raise NotImplementedError("override the fixture `queue`")

    async def test_the_oldest_first(self, queue: JobQueue) -> None:
        """Of the kinds that the worker does."""
        for number in range(3):
            await queue.put("work", f"s{number}", Raw(b'{"n":  %d}' % number))
        await queue.put("other", "s0")
        assert await queue.waiting() == 4
        taken = [await _take(queue) for _ in range(3)]
        assert [(job.subject, bytes(job.body), job.attempts) for job in taken] == [
            (f"s{number}", b'{"n":  %d}' % number, 1) for number in range(3)
        ]
        assert len({job.id for job in taken}) == 3
        assert await queue.take(["work"], "w", 30) is None
        assert await queue.take([], "w", 30) is None
        other = await queue.take(["work", "other"], "w", 30)
        assert other is not None
        assert (other.kind, bytes(other.body)) == ("other", b"{}")
        assert await queue.waiting() == 0

    async def test_work_that_waits_is_not_queued_again(self, queue: JobQueue) -> None:
        """The same kind on the same subject; the first's body stays."""
        await queue.put("work", "s", Raw(b"1"))
        await queue.put("work", "s", Raw(b"2"))
        assert await queue.waiting() == 1
        job = await _take(queue)
        assert bytes(job.body) == b"1"
        await queue.done(job, "w")
        assert await queue.take(["work"], "w", 30) is None
        await queue.put("work", "s")
        assert (await _take(queue)).attempts == 1

    async def test_work_put_while_a_worker_is_on_it_comes_after(self, queue: JobQueue) -> None:
        """Once, and never to a second worker at the same time."""
        await queue.put("work", "s", Raw(b"1"))
        job = await _take(queue)
        await queue.put("work", "s", Raw(b"2"))
        await queue.put("work", "s", Raw(b"3"))
        assert await queue.waiting() == 1
        assert await queue.take(["work"], "other", 30) is None
        await queue.done(job, "w")
        again = await _take(queue, "other")
        assert (bytes(again.body), again.attempts) == (b"2", 1)
        assert again.id != job.id
        await queue.done(again, "other")
        assert await queue.waiting() == 0

    async def test_a_lease_that_runs_out(self, queue: JobQueue, clock: Clock) -> None:
        """Another takes the job; who had it can do nothing to it any more."""
        await queue.put("work", "s")
        lost = await _take(queue, "dead", 10)
        clock.now += 9.5
        assert await queue.take(["work"], "w", 10) is None
        clock.now += 0.5
        assert await queue.waiting() == 1
        job = await _take(queue, "w", 10)
        assert (job.id, job.attempts) == (lost.id, 2)
        assert await queue.renew(lost, "dead", 1_000) is False
        await queue.done(lost, "dead")
        await queue.put_back(lost, "dead", 0)
        assert await queue.take(["work"], "x", 10) is None
        assert await queue.renew(job, "w", 10) is True

    async def test_nor_may_it_under_the_same_name(self, queue: JobQueue, clock: Clock) -> None:
        """A worker that takes its own lost job again holds it once."""
        await queue.put("work", "s")
        first = await _take(queue, "w", 10)
        clock.now += 10
        second = await _take(queue, "w", 10)
        assert await queue.renew(first, "w", 10) is False
        await queue.done(first, "w")
        assert await queue.renew(second, "w", 10) is True

    async def test_a_lease_is_renewed(self, queue: JobQueue, clock: Clock) -> None:
        """Also a late one, where nobody took the job."""
        await queue.put("work", "s")
        job = await _take(queue, "w", 10)
        for _ in range(3):
            clock.now += 8
            assert await queue.renew(job, "w", 10) is True
        clock.now += 1_000
        assert await queue.renew(job, "w", 10) is True
        assert await queue.take(["work"], "other", 10) is None
        await queue.done(job, "w")
        assert await queue.renew(job, "w", 10) is False

    async def test_work_that_is_put_back_waits(self, queue: JobQueue, clock: Clock) -> None:
        """For as long as was said; attempts are counted."""
        await queue.put("work", "s")
        await queue.put("work", "t")
        job = await _take(queue)
        await queue.put_back(job, "w", 5)
        assert await queue.waiting() == 2
        assert (await _take(queue)).subject == "t"
        assert await queue.take(["work"], "w", 30) is None
        await queue.put("work", "s")  # waits already
        clock.now += 5
        again = await _take(queue, "other")
        assert (again.id, again.attempts) == (job.id, 2)
        await queue.done(again, "other")
        assert await queue.waiting() == 0

    async def test_no_two_workers_hold_one_job(self, queue: JobQueue) -> None:
        """Many workers at the same time: each job once, none left."""
        for number in range(40):
            await queue.put("work", f"s{number}")
        taken: list[str] = []

        async def works(name: str) -> None:
            while (job := await queue.take(["work"], name, 30)) is not None:
                taken.append(job.subject)
                await queue.done(job, name)

        async with asyncio.timeout(60):
            await asyncio.gather(*(works(f"w{number}") for number in range(8)))
        assert sorted(taken) == sorted(f"s{number}" for number in range(40))
        assert await queue.waiting() == 0

    async def test_nor_two_jobs_on_one_subject(self, queue: JobQueue) -> None:
        """While work on it is put and done; and none that was put is forgotten."""
        busy = put = done = 0
        last_put_seen = -1

        async def puts() -> None:
            nonlocal put
            for _ in range(30):
                put += 1
                await queue.put("work", "s")
                await asyncio.sleep(0)

        async def works(name: str) -> None:
            nonlocal busy, done, last_put_seen
            while last_put_seen < 30:
                job = await queue.take(["work"], name, 30)
                if job is None:
                    await asyncio.sleep(0.001)
                    continue
                busy += 1
                assert busy == 1
                last_put_seen = put
                await asyncio.sleep(0.001)
                busy -= 1
                done += 1
                await queue.done(job, name)

        async with asyncio.timeout(60):
            await asyncio.gather(puts(), *(works(f"w{number}") for number in range(4)))
        assert 1 <= done <= 31
