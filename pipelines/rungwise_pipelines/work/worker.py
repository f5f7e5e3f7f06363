"""Takes jobs off the queue and sees each of them to an end: done, tried again later, or given up with the reason.

A job is held by a lease that a heartbeat renews. A worker that dies loses it, and another takes the job over: so every
duty may be run again, and must leave things the same. A job that a worker has lost is cancelled at once.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from rungwise_server.errors import RungwiseError
from rungwise_server.keeping import Job, JobQueue

logger = logging.getLogger(__name__)

StillMine = Callable[[], Awaitable[bool]]
"""Renews the lease; False: another worker has the job, and nothing may be written any more."""

Handler = Callable[[Job, StillMine], Awaitable[None]]
"""Does a job. What it raises is tried again; what no further attempt can mend it notes on its subject, and returns."""

Chore = Callable[[], Awaitable[None]]
"""Housekeeping between the jobs."""

LEASE = 30.0
"""Seconds after which the job of a worker that died is another's."""

_POLL = 0.5  # seconds between two looks into an empty queue
_TIDY = 60.0
_REST = 30.0  # idle seconds after which heavy parts are let go of
_GRACE = 8.0  # seconds that running jobs get when the worker is told to stop
_LONGEST_WAIT = 600.0


class Duty(Struct, frozen=True):
    """One kind of work: who does it, who says on its subject that it cannot be done, how often it is tried, and how
    many jobs of the kind one worker does at once.
    """

    run: Handler
    give_up: Callable[[Job, str], Awaitable[None]]
    attempts: int = 5
    at_once: int = 2


class Ended(Struct, frozen=True):
    """What became of a job. `again`: it is tried once more; `back`: the worker was told to stop; `lost`: another has
    it now."""

    kind: str
    subject: str
    outcome: str
    """`done`, `again`, `given_up`, `back` or `lost`."""
    seconds: float
    attempts: int
    reason: str = ""


class Worker:
    """Works off a queue.

    Args:
        duties: by the kind of their jobs.
        tidy: done at the start and each minute, also while jobs run; it raises nothing.
        rest: called when there has been nothing to do for half a minute.
        report: told the end of each job.
    """

    def __init__(
        self,
        queue: JobQueue,
        duties: Mapping[str, Duty],
        *,
        tidy: Chore | None = None,
        rest: Chore | None = None,
        report: Callable[[Ended], None] = lambda _: None,
        lease: float = LEASE,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._queue = queue
        self._duties = duties
        self._tidy = tidy
        self._rest = rest
        self._report = report
        self._lease = lease
        self._running: dict[asyncio.Task[None], str] = {}
        self._tidy_at = self._rest_at = 0.0

    async def run(self, stop: asyncio.Event, *, until_idle: bool = False, once: bool = False) -> None:
        """Work until `stop` is set, or there is nothing to do (`until_idle`), or one job is done (`once`). Running jobs
        then get some seconds to end; what does not is put back.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._tidy_now()
                job = await self._take()
                if job is not None:
                    task = asyncio.create_task(self._one(job))
                    self._running[task] = job.kind
                    task.add_done_callback(self._over)
                    if once:
                        await asyncio.wait({stopping, task}, return_when=asyncio.FIRST_COMPLETED)
                        return
                    continue
                if not self._running and (until_idle or once):
                    return
                await self._rest_now()
                await asyncio.wait({stopping, *self._running}, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._end()

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._rest_at = asyncio.get_running_loop().time() + _REST

    async def _take(self) -> Job | None:
        busy = list(self._running.values())
        kinds = [kind for kind, duty in self._duties.items() if busy.count(kind) < duty.at_once]
        if not kinds:
            return None
        try:
            return await self._queue.take(kinds, self.name, self._lease)
        except RungwiseError as error:
            logger.warning("the queue of jobs cannot be read: %s", error.message)
            await asyncio.sleep(2 * _POLL)
            return None

    async def _tidy_now(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._tidy and now >= self._tidy_at:
            self._tidy_at, self._rest_at = now + _TIDY, now + _REST
            await self._tidy()

    async def _rest_now(self) -> None:
        if self._rest and not self._running and 0 < self._rest_at < asyncio.get_running_loop().time():
            self._rest_at = 0.0
            await self._rest()

    async def _one(self, job: Job) -> None:
        """One job, to its end."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        duty = self._duties[job.kind]
        outcome, reason = "done", ""
        attempt = asyncio.create_task(self._attempt(duty, job))
        beating = asyncio.create_task(self._beat(job, attempt))
        try:
            try:
                await asyncio.wait({attempt})
            except asyncio.CancelledError:
                attempt.cancel()
                await asyncio.wait({attempt})
                outcome = "done" if not attempt.cancelled() and attempt.exception() is None else "back"
            else:
                if attempt.cancelled():
                    outcome = "lost"
                elif error := attempt.exception():
                    reason = _told(error, job)
                    outcome = "given_up" if job.attempts >= duty.attempts else "again"
            await self._settle(duty, job, outcome, reason)
        except RungwiseError as error:
            # The lease runs out, and somebody takes it again.
            logger.warning("%s %s: its end could not be noted: %s", job.kind, job.subject, error.message)
        except Exception:
            logger.exception("%s %s: its end could not be noted", job.kind, job.subject)
        finally:
            beating.cancel()
        self._report(Ended(job.kind, job.subject, outcome, loop.time() - started, job.attempts, reason))

    async def _attempt(self, duty: Duty, job: Job) -> None:
        if job.attempts > duty.attempts:
            raise _Deadly(f"{duty.attempts} workers that tried it died of it, or were killed")
        await duty.run(job, lambda: self._queue.renew(job, self.name, self._lease))

    async def _settle(self, duty: Duty, job: Job, outcome: str, reason: str) -> None:
        match outcome:
            case "again":
                wait = min(_LONGEST_WAIT, 2.0**job.attempts)
                await self._queue.put_back(job, self.name, wait)
            case "back":
                await self._queue.put_back(job, self.name, 0.0)
            case "given_up":
                await duty.give_up(job, reason)
                await self._queue.done(job, self.name)
            case "done":
                await self._queue.done(job, self.name)

    async def _beat(self, job: Job, attempt: asyncio.Task[None]) -> None:
        """Renew the lease until cancelled; end the attempt when it is lost."""
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                if not await self._queue.renew(job, self.name, self._lease):
                    attempt.cancel()
                    return
            except RungwiseError as error:
                logger.warning("%s %s: its lease could not be renewed: %s", job.kind, job.subject, error.message)

    async def _end(self) -> None:
        if not self._running:
            return
        _, left = await asyncio.wait(set(self._running), timeout=_GRACE)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)


class _Deadly(RungwiseError):
    """A job that ends its worker."""


def _told(error: BaseException, job: Job) -> str:
    if isinstance(error, RungwiseError):
        return error.message
    logger.error("%s %s failed", job.kind, job.subject, exc_info=error)
    return f"{type(error).__name__}: {error}"
