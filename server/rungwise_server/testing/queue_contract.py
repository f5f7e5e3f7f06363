"""The contract of JobQueue: what each does, whatever it is made of.

    class TestMine(JobQueueContract):
        @pytest.fixture
        def queue(self, clock: Clock) -> JobQueue:
            ...

The tests are coroutines: run them with pytest-asyncio in its auto mode.
"""

import asyncio

import pytest
from msgspec import Raw

from rungwise_server.keeping import Job, JobQueue
from rungwise_server.testing.keeping import Clock


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
        raise NotImplementedError

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
