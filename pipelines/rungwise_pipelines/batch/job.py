"""Batches of `/v1/batches`: checked, done and finished by a worker, whatever another one had begun before it died.

What was answered so far lies in RUNGWISE_HOME/batches/ID, as `rungwise batch` would write it, and becomes two files of
the batch's owner in the end. Where another machine takes a batch over, it begins anew: what counts is in those files.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from rungwise_pipelines.batch.ask import Asker
from rungwise_pipelines.batch.lines import Fault, Limits
from rungwise_pipelines.batch.output import Mark, Output, open_output
from rungwise_pipelines.batch.plan import Plan, read_plan
from rungwise_pipelines.batch.run import End, Runner, Tally
from rungwise_pipelines.batch.settled import Settled
from rungwise_pipelines.batch.surfaces import batch_surfaces
from rungwise_pipelines.work.worker import Duty, StillMine
from rungwise_server.batches import LIVE, BatchBody, Problem, Status, batch_body, change_batch, encode, moved
from rungwise_server.bootstrap import House, open_house
from rungwise_server.config.settings import Settings
from rungwise_server.errors import NotFound, Unavailable
from rungwise_server.files import Files
from rungwise_server.keeping import BlobStore, Job, Kept, KeptStore
from rungwise_server.types import Caller

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 100_000
"""A batch is tried until its window ends."""

_LOOK = 1.0  # seconds between two looks at the batch, which may be cancelled, and between two counts on it
_PAGE = 2_000
_UNASKED: Mapping[Status, tuple[str, str]] = {
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was begun."),
    "expired": ("batch_expired", "This request could not be done before the batch's completion window ended."),
}


class Batches:
    """Does jobs of kind `batch`. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        kept: KeptStore,
        blobs: BlobStore,
        settings: Settings,
        environ: Mapping[str, str] = os.environ,
        *,
        clock: Callable[[], float] = time.time,
        look: float = _LOOK,
    ) -> None:
        self._kept, self._blobs, self._settings, self._environ = kept, blobs, settings, environ
        self._clock, self._look = clock, look
        self._files = Files(kept, blobs, limit=1 << 62)
        self._shared = _SharedHouse(settings, environ)

    @property
    def duty(self) -> Duty:
        """For the worker."""
        return Duty(self.run, self.give_up, attempts=ATTEMPTS, at_once=2)

    async def run(self, job: Job, still_mine: StillMine) -> None:
        """Take a batch to its end.

        Raises:
            Unavailable: models do not answer; another attempt goes on from here.
            RungwiseError: a part of the house is away, or is not as it must be.
        """
        kept = await self._kept.get("batch", job.subject, None)
        if kept is None or kept.state not in LIVE:
            self._clear(job.subject)
            return
        body = batch_body(kept)
        if body.ending and self._output(job.subject).parent.exists():
            await self._finish(job.subject, body.ending)
            return
        try:
            path = await self._blobs.path((await self._files.get(body.input_file_id, kept.owner)).id)
        except NotFound:
            gone = Problem("file_not_found", "The input file was deleted before the batch was done.", "input_file_id")
            await self._fail(job.subject, [gone])
            return
        chosen = self._settings.batches
        line_bytes = int(self._settings.server.max_body_mb * 1_000_000)
        async with read_plan(path, Limits(line_bytes, chosen.max_requests), body.endpoint) as plan:
            if plan.faults:
                await self._fail(job.subject, [_problem(fault) for fault in plan.faults])
                return
            if await still_mine():
                await self._work(job.subject, body, plan)

    async def give_up(self, job: Job, reason: str) -> None:
        """Note on the batch that it cannot be done here."""
        await self._fail(job.subject, [Problem("server_error", f"It could not be done: {reason}")])

    async def _work(self, id: str, body: BatchBody, plan: Plan) -> None:
        await change_batch(self._kept, id, lambda kept, body: _begun(kept, body, plan.lines))
        output, errors = self._output(id), self._errors(id)
        output.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = Mark(plan.fingerprint, ", ".join(sorted(body.caller.principals)), body.input_file_id)
        async with self._shared.asking(body.caller, body.sources) as asker:
            with open_output(output, errors, mark, asker.error) as files:
                tally = Tally()
                await _marked(plan, files.recover(tally))
                end = await self._answered(id, body, plan, files, tally, asker)
        await self._finish(id, end)

    async def _answered(
        self, id: str, body: BatchBody, plan: Plan, files: Output, tally: Tally, asker: Asker
    ) -> Status:
        """All lines asked that can be, the others noted; how the batch ends."""
        chosen = self._settings.batches
        end: End = "stopped"
        kept = await self._count(id, tally)
        if kept.state != "cancelling" and self._clock() < body.expires_at:
            async with Settled(files, asker.settle) as results:
                runner = Runner(asker, results, tally, most=chosen.concurrency, timeout=chosen.timeout)
                watching = asyncio.create_task(self._watch(id, body.expires_at, runner, tally))
                try:
                    end = await runner.run(plan.rest())
                finally:
                    watching.cancel()
            kept = await self._count(id, tally)
        status: Status = "cancelled" if kept.state == "cancelling" else "completed" if end == "done" else "expired"
        if end == "done":
            return status
        if end == "upstream":
            raise Unavailable(f"no answer has come for a while: {tally.trouble}")
        await _marked(plan, files.results())
        await asyncio.to_thread(_leave_out, plan, files, status, tally)
        await self._count(id, tally)
        return status

    async def _watch(self, id: str, until: float, runner: Runner, tally: Tally) -> None:
        """Say how far it is; stop when it is cancelled, or its window ends."""
        while True:
            try:
                kept = await self._count(id, tally)
            except Unavailable as error:
                logger.warning("%s: how far it is could not be noted: %s", id, error.message)
            else:
                if kept.state == "cancelling":
                    runner.stop()
            if self._clock() >= until:
                runner.stop(at_once=True)
            await asyncio.sleep(self._look)

    async def _count(self, id: str, tally: Tally) -> Kept:
        def counted(kept: Kept, before: BatchBody) -> Kept | None:
            body = replace(
                before,
                completed=tally.answered,
                failed=tally.failed,
                input_tokens=tally.input_tokens,
                output_tokens=tally.output_tokens,
                cached_tokens=tally.cached_tokens,
            )
            return None if body == before else replace(kept, body=encode(body))

        return await change_batch(self._kept, id, counted)

    async def _finish(self, id: str, status: Status) -> None:
        """Hand both files to the batch's owner. A kill in here leaves at most what the next attempt finds again."""

        def finalizing(kept: Kept, body: BatchBody) -> Kept | None:
            return None if status == "cancelled" else moved(kept, replace(body, ending=status), "finalizing")

        kept = await change_batch(self._kept, id, finalizing)
        body = batch_body(kept)
        answers = await self._handed(kept, body, self._output(id), f"{id}_output.jsonl")
        failures = await self._handed(kept, body, self._errors(id), f"{id}_error.jsonl")

        def ended(kept: Kept, body: BatchBody) -> Kept:
            return moved(kept, replace(body, output_file_id=answers, error_file_id=failures), status)

        await change_batch(self._kept, id, ended)
        self._clear(id)

    async def _handed(self, kept: Kept, body: BatchBody, path: Path, name: str) -> str:
        """The id of the file; empty where there is nothing to hand over."""
        after = ""
        while True:
            made, more = await self._files.list(kept.owner, purpose="batch_output", after=after, limit=1000)
            for file in made:
                if file.filename == name:
                    return file.id
                if file.created_at < kept.created_at:
                    more = False
            if not more:
                break
            after = made[-1].id
        if not _size(path):
            return ""
        expires = body.output_expires_after
        file = await self._files.create(kept.owner, name, "batch_output", _bytes(path), expires_after=expires)
        return file.id

    async def _fail(self, id: str, problems: list[Problem]) -> None:
        def failed(kept: Kept, body: BatchBody) -> Kept | None:
            if kept.state not in LIVE:
                return None
            return moved(kept, replace(body, problems=tuple(problems)), "failed")

        with contextlib.suppress(NotFound):
            await change_batch(self._kept, id, failed)
        self._clear(id)

    def _output(self, id: str) -> Path:
        return self._settings.home / "batches" / id / "output.jsonl"

    def _errors(self, id: str) -> Path:
        return self._output(id).with_name("errors.jsonl")

    def _clear(self, id: str) -> None:
        shutil.rmtree(self._output(id).parent, ignore_errors=True)


class _SharedHouse:
    """The house, open while a batch needs it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings, self._environ = settings, environ
        self._changing = asyncio.Lock()
        self._house: House | None = None
        self._users = 0

    @contextlib.asynccontextmanager
    async def asking(self, caller: Caller, sources: str) -> AsyncIterator[Asker]:
        """What answers for `caller`. Raises what `open_house` does."""
        async with self._changing:
            if self._house is None:
                self._house = await open_house(self._settings, self._environ, role="rungwise worker")
            house = self._house
            self._users += 1
        try:
            yield Asker(house.engine, batch_surfaces(house), caller, sources, house.log.flush)
        finally:
            async with self._changing:
                self._users -= 1
                if not self._users:
                    self._house = None
                    await house.close()


def _begun(kept: Kept, body: BatchBody, lines: int) -> Kept:
    body = replace(body, total=lines)
    return moved(kept, body, "in_progress") if kept.state == "validating" else replace(kept, body=encode(body))


def _problem(fault: Fault) -> Problem:
    return Problem(fault.code, fault.message, fault.param, fault.line)


async def _marked(plan: Plan, ids: Iterator[str]) -> None:
    while page := await asyncio.to_thread(list, islice(ids, _PAGE)):
        await asyncio.to_thread(plan.mark, page)


def _leave_out(plan: Plan, files: Output, status: Status, tally: Tally) -> None:
    for line in plan.rest(together=False):
        files.left_out(line, *_UNASKED[status])
        tally.failed += 1


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _bytes(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 1 << 20):
            yield piece
