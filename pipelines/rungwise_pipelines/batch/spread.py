"""The lines of a batch over many machines: a Ray Data pipeline whose workers each have the house open.

The rows of the dataset are tickets, and a worker that has one fetches the next block of lines from a feed, which this
process keeps full. So lines stay in the order that suits a model's prefix cache, the files stay here, and no machine
holds more of them than it works on. A worker that dies has its ticket given to another, with the same block.
"""

import asyncio
import contextlib
import logging
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from rungwise_pipelines.batch.ask import Answered, Asker
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.local import Task, sources_url
from rungwise_pipelines.batch.orders import Ordered
from rungwise_pipelines.batch.run import Budget, End, Runner, Sink, Tally
from rungwise_server.api.errors import error_body
from rungwise_server.errors import RungwiseError, SetupError
from rungwise_server.types import Caller

if TYPE_CHECKING:
    from rungwise_pipelines.batch.generate import Generation
    from rungwise_server.config.settings import Settings

BLOCK = 64
"""Lines that a worker fetches at once. It works on several blocks at a time, so that one slow line holds up nobody."""

_AT_ONCE = 4
"""Blocks that a worker works on."""


class Spread(Struct, frozen=True):
    """Where to. `address` is a running Ray cluster's (`auto`, `ray://HOST:10001`); empty starts one on this machine."""

    address: str = ""
    workers: int = 2


class Failure(RungwiseError):
    """A line's error as a worker told it; `body` is what its surface's clients know it as."""

    def __init__(self, message: str, status: int, code: str, body: bytes) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.body = body


class Told(Struct, frozen=True):
    """A line's result on its way here: an answer, or what a Failure is made of, or the order (packed) for its words."""

    line: Line
    answer: Answered | None = None
    message: str = ""
    status: int = 0
    code: str = ""
    body: bytes = b""
    order: bytes = b""


class Cluster:
    """A Crew on a Ray cluster. The budget holds as it does for one process. With a `generation`, one candidate's words
    come from the cluster itself.
    """

    def __init__(self, settings: "Settings", spread: Spread, generation: "Generation | None" = None) -> None:
        self._settings = settings.model_copy(update={"home": settings.home.resolve(), "base": settings.base.resolve()})
        self._spread = spread
        self._generation = generation

    def error(self, line: Line, error: Exception) -> bytes:
        """See Crew: the worker has written it."""
        return error.body if isinstance(error, Failure) else error_body(error)

    async def run(
        self, lines: Iterator[Line], count: int, task: Task, files: Sink, tally: Tally, told: Callable[[], None]
    ) -> End:
        """See Crew.

        Raises:
            SetupError: Ray is not installed, its cluster cannot be reached, or the configuration does not fit one.
        """
        generation = self._generation
        if generation is not None and task.budget != Budget():
            raise SetupError(
                "A budget cannot be kept where words are generated many at a time on the cluster itself: leave out "
                "--max-cost and --max-tokens, or --ray-vllm."
            )
        with _cluster(self._spread, self._settings, generation is not None) as ray:
            return await _Run(ray, self._settings, self._spread, generation, task, files, tally, told).run(lines, count)


class _Run:
    """One pipeline: a task that feeds it, and a thread that takes what comes out."""

    def __init__(
        self,
        ray: Any,
        settings: "Settings",
        spread: Spread,
        generation: "Generation | None",
        task: Task,
        files: Sink,
        tally: Tally,
        told: Callable[[], None],
    ) -> None:
        self._ray, self._settings, self._spread, self._task = ray, settings, spread, task
        self._generation = generation
        self._files, self._tally, self._told, self._budget = files, tally, told, task.budget
        self._in_flight = 0
        self._end: End = "done"
        self._room = asyncio.Event()
        self._orders: list[bytes] = []
        self._ordered: Any = None
        """The feed of the second pipeline."""

    async def run(self, lines: Iterator[Line], count: int) -> End:
        feed, self._ordered = (self._ray.remote(num_cpus=0)(_Feed).remote() for _ in range(2))
        blocks = math.ceil(count / BLOCK)
        generated: Any = None
        if self._generation is not None:
            generated = self._generation.pipeline(
                self._ray, self._settings, self._task.caller, self._ordered, blocks, self._spread.workers
            )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(feed, lines))
                group.create_task(self._answer(feed, blocks))
                if generated is not None:
                    group.create_task(self._take(generated))
        except ExceptionGroup as failed:
            raise _cause(failed.exceptions[0]) from failed
        return self._end

    async def _feed(self, feed: Any, lines: Iterator[Line]) -> None:
        """Keep the feed filled, as far as the budget and the workers' hands go."""
        most = 2 * _AT_ONCE * self._spread.workers * BLOCK + (self._generation.ahead if self._generation else 0)
        block: list[Line] = []
        for line in lines:
            block.append(line)
            if len(block) == BLOCK:
                if not await self._fits(len(block), most):
                    break
                await feed.put.remote(msgspec.msgpack.encode(block))
                block = []
        else:
            if block and await self._fits(len(block), most):
                await feed.put.remote(msgspec.msgpack.encode(block))
        await feed.end.remote()

    async def _fits(self, more: int, most: int) -> bool:
        """Wait for room; whether `more` lines stay within the budget together with those under way."""
        while True:
            self._room.clear()
            if self._end != "done":
                return False
            if self._in_flight < most:
                if self._affordable(more):
                    self._in_flight += more
                    return True
                if not self._in_flight:
                    self._end = "budget"
                    return False
            await self._room.wait()

    def _affordable(self, more: int) -> bool:
        tally, budget = self._tally, self._budget
        if not tally.answered:
            return not self._in_flight or budget == Budget()
        share = 1 + (self._in_flight + more) / tally.answered
        return (budget.cost is None or tally.cost * share <= budget.cost) and (
            budget.tokens is None or tally.tokens * share <= budget.tokens
        )

    async def _answer(self, feed: Any, blocks: int) -> None:
        """The pipeline of the workers."""
        data, task = self._ray.data, self._task
        answered = data.range(blocks, override_num_blocks=blocks).map_batches(
            _Worker,
            fn_constructor_args=(self._settings, self._generation, task.caller, task.most, task.timeout, feed),
            batch_size=1,
            compute=data.ActorPoolStrategy(
                size=self._spread.workers,
                max_concurrent_calls_per_actor=_AT_ONCE,
                max_tasks_in_flight_per_actor=2 * _AT_ONCE,
            ),
        )
        await self._take(answered)
        if self._orders:
            await self._ordered.put.remote(msgspec.msgpack.encode(self._orders))
        await self._ordered.end.remote()

    async def _take(self, dataset: Any) -> None:
        """The results of a pipeline, as they come."""
        loop = asyncio.get_running_loop()

        def take() -> None:
            # Nothing is fetched ahead: what is fed next may hang on the result that has just come.
            for block in dataset.iter_batches(batch_size=None, prefetch_batches=0):
                for packed in block.get("results", ()):
                    results = msgspec.msgpack.decode(packed, type=list[Told])
                    asyncio.run_coroutine_threadsafe(self._write(results), loop).result()

        await asyncio.to_thread(take)

    async def _write(self, results: list[Told]) -> None:
        ordered = 0
        for told in results:
            if told.order:
                ordered += 1
                self._orders.append(told.order)
                if len(self._orders) == BLOCK:
                    block, self._orders = self._orders, []
                    await self._ordered.put.remote(msgspec.msgpack.encode(block))
            elif told.answer is not None:
                self._tally.add(told.answer)
                self._files.answered(told.line, told.answer)
                if self._budget.cost is not None and told.answer.cost is None:
                    self._end = "unpriced"
            else:
                self._tally.failed += 1
                self._files.failed(told.line, Failure(told.message, told.status, told.code, told.body))
        self._in_flight -= len(results) - ordered
        self._tally.running = self._in_flight
        self._room.set()
        self._told()


class _Feed:
    """An actor: blocks of lines in line. The same ticket gets the same block, however often it asks."""

    def __init__(self) -> None:
        self._blocks: asyncio.Queue[bytes] = asyncio.Queue()
        self._given: dict[int, bytes] = {}
        self._ended = asyncio.Event()

    async def put(self, block: bytes) -> None:
        await self._blocks.put(block)

    async def end(self) -> None:
        self._ended.set()

    async def get(self, ticket: int) -> bytes:
        if ticket not in self._given:
            coming = asyncio.ensure_future(self._blocks.get())
            over = asyncio.ensure_future(self._ended.wait())
            await asyncio.wait({coming, over}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if not coming.done() and self._blocks.empty():
                coming.cancel()
                return b""
            self._given[ticket] = await coming
        return self._given[ticket]

    async def done(self, ticket: int) -> None:
        self._given[ticket] = b""


class _Worker:
    """An actor of the pipeline: the house, opened once, and the lines of a ticket's block through it."""

    def __init__(
        self,
        settings: "Settings",
        generation: "Generation | None",
        caller: Caller,
        most: int,
        timeout: float,
        feed: Any,
    ) -> None:
        self._settings, self._generation, self._caller = settings, generation, caller
        self._most, self._timeout, self._feed = max(most // _AT_ONCE, 1), timeout, feed
        self._opening = asyncio.Lock()
        self._asker: Asker | None = None

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, list[bytes]]]:
        ticket = int(batch["id"][0])
        block = await self._feed.get.remote(ticket)
        lines = msgspec.msgpack.decode(block, type=list[Line]) if block else []
        results: list[Told] = []
        if lines:
            asker = await self._opened()
            runner = Runner(asker, Collected(results, asker), Tally(), most=self._most, timeout=self._timeout)
            await runner.run(iter(lines))
            # Ray ends a worker without a word once all is done.
            await asker.settle()
        yield {"results": [msgspec.msgpack.encode(results)]}
        await self._feed.done.remote(ticket)

    async def _opened(self) -> Asker:
        async with self._opening:
            if self._asker is None:
                from rungwise_pipelines.batch.surfaces import batch_surfaces
                from rungwise_server.bootstrap import open_house

                house = await open_house(self._settings, role="rungwise batch --ray")
                sources = sources_url(self._settings)
                if self._generation is not None:
                    self._asker = self._generation.asker(house, self._caller)
                    return self._asker
                self._asker = Asker(house.engine, batch_surfaces(house), self._caller, sources, house.log.flush)
            return self._asker


class Collected:
    """A Sink that keeps results to be sent home."""

    def __init__(self, results: list[Told], asker: Asker) -> None:
        self._results, self._asker = results, asker

    def answered(self, line: Line, answer: Answered) -> None:
        """See Sink."""
        self._results.append(Told(line, answer))

    def failed(self, line: Line, error: Exception) -> None:
        """See Sink."""
        if isinstance(error, Ordered):
            self._results.append(Told(line, order=msgspec.msgpack.encode(error.of(line))))
            return
        status, code = (error.status, error.code) if isinstance(error, RungwiseError) else (500, "internal_error")
        self._results.append(Told(line, None, str(error), status, code, self._asker.error(line, error)))


def _cause(error: Exception) -> Exception:
    """What a pipeline broke by, as one of ours."""
    if isinstance(error, RungwiseError):
        return error
    # Ray puts the stack where it broke before what came of that, each with its error as the last line.
    lines = str(error).partition("\n\nThe above exception")[0].strip().splitlines() or [repr(error)]
    return SetupError(f"The Ray pipeline broke: {lines[-1]}")


@contextlib.contextmanager
def _cluster(spread: Spread, settings: "Settings", generates: bool) -> Iterator[Any]:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise SetupError("Ray is not installed: `uv sync --extra scale`, or `pip install 'rungwise[scale]'`.") from None
    if spread.address:
        _knock(spread.address)
    try:
        if spread.address:
            ray.init(address=spread.address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            # One for what is no worker; and for the second pipeline its workers, and the parts of a processor.
            cores = spread.workers + 1 + (spread.workers + 6 if generates else 0)
            ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise SetupError(f"no Ray cluster answers at {spread.address!r}: {error}") from None
    try:
        nodes: list[dict[str, object]] = ray.nodes()  # type: ignore[no-untyped-call]
        away = len([node for node in nodes if node["Alive"]]) > 1
        if away and (settings.index.kind == "embedded" or not (settings.log.url or settings.log.url_env)):
            raise SetupError(
                "The cluster has several machines, and the index or the log is embedded in this one: give the "
                "configuration a Qdrant server (`index`) and a PostgreSQL (`log`), which all of them reach."
            )
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """See that something listens there: Ray would try for minutes. Raises SetupError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return  # `auto` finds it by itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SetupError(f"no Ray cluster answers at {address!r}: {error}") from None
