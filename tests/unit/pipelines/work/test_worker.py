"""The worker over a queue in memory, in time that does not pass."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rungwise_pipelines.work.worker import Duty, Ended, StillMine, Worker
from rungwise_server.errors import Unavailable
from rungwise_server.keeping import Job
from rungwise_server.testing.keeping import MemoryQueue
from rungwise_server.testing.virtual import run_virtual


class Bench:
    """A queue, a duty that a test scripts, and all that was reported."""

    def __init__(self, *, attempts: int = 3, at_once: int = 2) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue = MemoryQueue(self.loop.time)
        self.began: list[tuple[str, float]] = []
        self.given_up: list[tuple[str, str]] = []
        self.ended: list[Ended] = []
        self.stop = asyncio.Event()
        self.duty = Duty(self.run, self.give_up, attempts=attempts, at_once=at_once)

    async def run(self, job: Job, still_mine: StillMine) -> None:
        self.began.append((job.subject, self.loop.time()))
        kind, _, rest = job.subject.partition(" ")
        match kind:
            case "slow":
                await asyncio.sleep(float(rest))
            case "away":
                raise Unavailable("the database is away")
            case "wrong":
                raise KeyError("what a bug does")

    async def give_up(self, job: Job, reason: str) -> None:
        self.given_up.append((job.subject, reason))

    def worker(self, duties: dict[str, Duty] | None = None, lease: float = 30.0) -> Worker:
        return Worker(self.queue, duties or {"file": self.duty}, report=self.ended.append, lease=lease)

    def outcomes(self) -> list[str]:
        return [ended.outcome for ended in self.ended]


def virtual(test: Coroutine[Any, Any, None]) -> None:
    run_virtual(test)


def test_jobs_are_done_and_an_idle_worker_ends_if_told_so() -> None:
    async def test() -> None:
        bench = Bench()
        for subject in ("a", "b", "c"):
            await bench.queue.put("file", subject)
        await bench.worker().run(bench.stop, until_idle=True)
        assert [subject for subject, _ in bench.began] == ["a", "b", "c"]
        assert bench.outcomes() == ["done"] * 3
        assert await bench.queue.waiting() == 0

    virtual(test())


def test_what_fails_is_tried_again_later_and_later_and_then_given_up() -> None:
    async def test() -> None:
        bench = Bench(attempts=3)
        await bench.queue.put("file", "away")
        working = asyncio.create_task(bench.worker().run(bench.stop))
        while not bench.given_up:
            await asyncio.sleep(0.1)
        bench.stop.set()
        await working
        first, second, third = [at for _, at in bench.began]
        assert second - first >= 2
        assert third - second >= 4
        assert bench.given_up == [("away", "the database is away")]
        assert bench.outcomes() == ["again", "again", "given_up"]
        assert await bench.queue.waiting() == 0

    virtual(test())


def test_a_bug_in_a_duty_ends_neither_worker_nor_jobs_beside_it() -> None:
    async def test() -> None:
        bench = Bench(attempts=1)
        await bench.queue.put("file", "wrong")
        await bench.queue.put("file", "fine")
        await bench.worker().run(bench.stop, until_idle=True)
        assert bench.given_up == [("wrong", "KeyError: 'what a bug does'")]
        assert sorted(bench.outcomes()) == ["done", "given_up"]

    virtual(test())


def test_a_job_that_kills_its_workers_is_given_up_without_another_try() -> None:
    async def test() -> None:
        bench = Bench(attempts=2)
        await bench.queue.put("file", "deadly")
        for name in ("first", "second"):
            assert await bench.queue.take(["file"], name, 30.0)
            await asyncio.sleep(31)
        await bench.worker().run(bench.stop, until_idle=True)
        assert not bench.began
        ((subject, reason),) = bench.given_up
        assert subject == "deadly"
        assert "2 workers" in reason

    virtual(test())


def test_a_long_job_keeps_its_lease() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.queue.put("file", "slow 300")
        working = asyncio.create_task(bench.worker().run(bench.stop, until_idle=True))
        await asyncio.sleep(200)
        assert await bench.queue.take(["file"], "other", 30.0) is None
        await working
        assert bench.outcomes() == ["done"]

    virtual(test())


def test_a_job_that_another_has_is_dropped() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.queue.put("file", "slow 300")
        worker = bench.worker(lease=30.0)
        working = asyncio.create_task(worker.run(bench.stop, until_idle=True))
        await asyncio.sleep(1)
        (line,) = bench.queue._lines.values()
        line.worker, line.free_at = "other", bench.loop.time() + 1000
        await working
        assert bench.outcomes() == ["lost"]
        assert bench.loop.time() < 60
        assert line.worker == "other"

    virtual(test())


def test_told_to_stop_it_lets_jobs_end_or_puts_them_back() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.queue.put("file", "slow 5")
        await bench.queue.put("file", "slow 500")
        working = asyncio.create_task(bench.worker().run(bench.stop))
        await asyncio.sleep(1)
        bench.stop.set()
        await working
        assert bench.outcomes() == ["done", "back"]
        assert bench.loop.time() < 20
        again = await bench.queue.take(["file"], "next", 30.0)
        assert again is not None
        assert again.subject == "slow 500"

    virtual(test())


def test_kinds_do_not_hold_each_other_up() -> None:
    async def test() -> None:
        bench = Bench(at_once=1)
        for number in range(3):
            await bench.queue.put("batch", f"slow {100 + number}")
        await bench.queue.put("file", "quick")
        worker = bench.worker({"batch": bench.duty, "file": bench.duty})
        working = asyncio.create_task(worker.run(bench.stop, until_idle=True))
        await asyncio.sleep(50)
        assert [subject for subject, _ in bench.began] == ["slow 100", "quick"]
        await working
        assert bench.outcomes() == ["done"] * 4
        assert bench.loop.time() > 300

    virtual(test())


def test_one_job_and_no_more() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.queue.put("file", "a")
        await bench.queue.put("file", "b")
        await bench.worker().run(bench.stop, once=True)
        assert [ended.subject for ended in bench.ended] == ["a"]
        await bench.worker().run(bench.stop, once=True)
        await bench.worker().run(bench.stop, once=True)
        assert [ended.subject for ended in bench.ended] == ["a", "b"]

    virtual(test())


def test_housekeeping_and_rest() -> None:
    async def test() -> None:
        bench = Bench()
        tidied: list[float] = []
        rested: list[float] = []

        async def tidy() -> None:
            tidied.append(bench.loop.time())

        async def rest() -> None:
            rested.append(bench.loop.time())

        await bench.queue.put("file", "slow 50")
        worker = Worker(bench.queue, {"file": bench.duty}, tidy=tidy, rest=rest)
        working = asyncio.create_task(worker.run(bench.stop))
        await asyncio.sleep(85)
        assert len(tidied) == 2
        assert not rested, "a job ran until 50, housekeeping came at 60"
        await asyncio.sleep(10)
        assert len(rested) == 1
        bench.stop.set()
        await working

    virtual(test())


def test_a_queue_that_is_away_is_waited_for() -> None:
    async def test() -> None:
        bench = Bench()
        await bench.queue.put("file", "a")
        take = bench.queue.take
        failures = 3

        class Flaky(MemoryQueue):
            async def take(self, *args: Any) -> Job | None:
                nonlocal failures
                if failures:
                    failures -= 1
                    raise Unavailable("the database is away")
                return await take(*args)

        flaky = Flaky(bench.loop.time)
        flaky._lines = bench.queue._lines
        bench.queue = flaky
        working = asyncio.create_task(bench.worker().run(bench.stop))
        while not bench.ended:
            await asyncio.sleep(0.1)
        bench.stop.set()
        await working
        assert bench.outcomes() == ["done"]

    virtual(test())
