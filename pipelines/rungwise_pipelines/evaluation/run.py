"""Candidates answer the examples of an eval set: each cell asked once, measured, graded, and nothing asked again.

First all answers, then what programs measure of them, then the judges: what this process reckons slows no answer whose
time is taken. Every candidate, and every judge, has its own `Runner` (that of batches: it finds how many may run at
once, and tries again what another attempt can mend), so that one whose model is slow or away holds up no other. What is
asked and graded goes to the log as it comes; killed at any moment, a run goes on from there.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Literal

from msgspec import Struct

from rungwise_pipelines.batch.ask import Answered as Asked
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.run import Runner, Tally
from rungwise_pipelines.evaluation.cells import ROUTE, Known, Wanted, attempt_id, request_fields
from rungwise_pipelines.evaluation.metrics import answer_of, measure
from rungwise_pipelines.evaluation.noted import Noted
from rungwise_server.engine import Engine
from rungwise_server.errors import Conflict, RungwiseError
from rungwise_server.evals import Answered, Cell
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.protocols import Judge
from rungwise_server.records import Grade, LogQuery
from rungwise_server.types import ChatRequest

End = Literal["done", "budget", "unpriced", "upstream"]
"""Why a run ended: every cell is answered or failed; the next might cost more than `max_cost`; a candidate's price is
not known, so that cannot be kept; a candidate's model stayed away."""

_READ = 500
_AT_ONCE = 8
_TOLD = 5  # answers of a candidate that tell what the next one costs


class Failure(Struct, frozen=True):
    """An example that a candidate has not answered, or an answer that a judge has not graded, and why."""

    example: str
    question: str
    who: str
    why: str


class Progress(Struct):
    """How far a part of a run is. `reused` of it were in the log before; `trouble` is what is being tried again."""

    part: Literal["answers", "measures", "grades"]
    total: int
    done: int
    reused: int
    spent: float = 0.0
    running: int = 0
    trouble: str = ""


class Outcome(Struct, frozen=True):
    """What came of a run. `left` answers were not asked for, and `ungraded` answers not graded by every judge."""

    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    end: End
    asked: int
    reused: int
    left: int
    ungraded: int
    spent: float
    seconds: float


class Bounds(Struct, frozen=True):
    """How a run is held. `costs` and `judging`: about what an answer of a candidate costs, and a grade of a judge.
    `max_cost` is of this run, not of what was in the log before.
    """

    concurrency: int = 16
    max_cost: float | None = None
    costs: Mapping[str, float] = {}
    judging: Mapping[str, float] = {}
    hosted: frozenset[str] = frozenset()
    """Candidates that cost nothing by the token, and so need no price."""
    timeout: float = 600.0
    patience: float = 60.0


class Evaluation:
    """One run, once.

    Args:
        engine: its answers must pass through `log`, and so must those of judges.
        known: what the log had of each cell when the run began.
        told: called as cells are done.
    """

    def __init__(
        self,
        engine: Engine,
        log: Noted,
        judges: Sequence[Judge],
        groundedness: Groundedness,
        known: Mapping[str, Known],
        bounds: Bounds,
        told: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._engine, self._log, self._judges, self._groundedness = engine, log, judges, groundedness
        self._bounds, self._told = bounds, told
        self._answers = {id: one.answer for id, one in known.items() if one.answer}
        self._attempts = {id: one.attempts for id, one in known.items()}
        self._last = {id: one.last for id, one in known.items() if one.last}
        self._grades: dict[str, Grade] = {}
        self._failures: list[Failure] = []
        self._runners: list[Runner] = []
        self._tallies: list[Tally] = []
        self._held = 0.0
        self._paid: dict[str, list[float]] = {}
        self._end: End = "done"
        self._progress = Progress("answers", 0, 0, 0)

    async def run(self, wanted: Sequence[Wanted]) -> Outcome:
        """Fill all cells, or as many as may be.

        Raises:
            SetupError: a person must mend something before it can go on; what was done is in the log.
        """
        began = time.monotonic()
        reused = await self._all_answers(wanted)
        failed = len(self._failures)
        answered = [cell for cell in wanted if cell.id in self._answers]
        metrics = await self._all_measures(answered)
        await self._all_grades(answered)
        cells = []
        for cell in wanted:
            if cell.id in self._answers:
                cells.append(self._cell(cell, metrics[cell.id]))
            elif last := self._last.get(cell.id):
                outcome = "replaced" if last.outcome == "ok" else last.outcome
                cells.append(Cell(cell.example.id, cell.candidate, last.id, outcome))
        return Outcome(
            cells=tuple(cells),
            failures=tuple(self._failures),
            end=self._end,
            asked=len(answered) - reused,
            reused=reused,
            left=len(wanted) - len(answered) - failed,
            ungraded=sum(any(self._grade_of(judge, cell) is None for judge in self._judges) for cell in answered),
            spent=self._log.spent,
            seconds=time.monotonic() - began,
        )

    async def _all_answers(self, wanted: Sequence[Wanted]) -> int:
        """How many were there already."""
        by_candidate: dict[str, list[Wanted]] = {}
        for cell in wanted:
            by_candidate.setdefault(cell.candidate, [])
            if cell.id not in self._answers:
                by_candidate[cell.candidate].append(cell)
        missing = sum(map(len, by_candidate.values()))
        reused = len(wanted) - missing
        self._progress = Progress("answers", len(wanted), reused, reused)
        async with asyncio.TaskGroup() as group:
            for name, cells in by_candidate.items():
                group.create_task(self._each(cells, self._ask, name, self._most(name)))
        return reused

    def _most(self, candidate: str) -> int:
        """A model within this process would only wait for itself, and seem slow."""
        within = candidate != ROUTE and not self._engine.candidates[candidate].generates
        return 1 if within else self._bounds.concurrency

    async def _all_measures(self, answered: Sequence[Wanted]) -> dict[str, dict[str, float]]:
        """By cell."""
        self._progress = Progress("measures", len(answered), 0, 0)
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(cell: Wanted) -> tuple[str, dict[str, float]]:
            async with room:
                metrics = await measure(cell.example, self._answers[cell.id], self._groundedness)
            self._progress.done += 1
            self._tell()
            return cell.id, metrics

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(cell)) for cell in answered]
        return dict(task.result() for task in tasks)

    async def _all_grades(self, answered: Sequence[Wanted]) -> None:
        await self._read_grades(answered)
        total = len(answered) * len(self._judges)
        self._progress = Progress("grades", total, len(self._grades), len(self._grades))
        async with asyncio.TaskGroup() as group:
            for judge in self._judges:
                cells = [cell for cell in answered if self._grade_of(judge, cell) is None]
                group.create_task(
                    self._each(cells, partial(self._grade, judge), f"judge {judge.name}", self._bounds.concurrency)
                )

    async def _each(
        self, cells: Sequence[Wanted], do: Callable[[Wanted], Awaitable[Asked]], who: str, most: int
    ) -> None:
        """Do something for each of `cells`."""
        if not cells:
            return
        tally = Tally()

        async def ask(line: Line) -> Asked:
            return await do(cells[line.number])

        class Into:
            """What was answered is noted already."""

            def answered(_, line: Line, answer: Asked) -> None:
                """See Sink."""
                self._progress.done += 1

            def failed(_, line: Line, error: Exception) -> None:
                """See Sink."""
                self._progress.done += 1
                self._fail(cells[line.number], who, error)

        lines = (Line(number, cell.example.id, "", b"") for number, cell in enumerate(cells))
        bounds = self._bounds
        runner = Runner(
            ask, Into(), tally, most=most, timeout=bounds.timeout, patience=bounds.patience, told=self._tell
        )
        self._runners.append(runner)
        self._tallies.append(tally)
        end = await runner.run(lines)
        if end == "upstream" and self._end == "done":
            self._end = "upstream"

    async def _ask(self, cell: Wanted) -> Asked:
        with self._affordable(self._price(cell.candidate)):
            self._attempts[cell.id] = attempt = self._attempts.get(cell.id, 0) + 1
            id = attempt_id(cell.id, attempt)
            request = ChatRequest(id, cell.model, cell.example.messages, request_fields(cell.example), stream=True)
            try:
                async with await self._engine.chat(request, cell.example.caller, surface="eval") as answer:
                    async for _ in answer:
                        pass
            finally:
                if found := self._log.answers.pop(id, None):
                    self._last[cell.id] = found
        found = self._last[cell.id]
        if cell.candidate not in (ROUTE, found.candidate):
            raise Conflict(f"{found.candidate} answered in its place: {cell.candidate} failed.")
        self._answers[cell.id] = found
        if found.cost is not None:
            self._paid.setdefault(cell.candidate, []).append(found.cost)
        elif self._bounds.max_cost is not None and found.candidate not in self._bounds.hosted:
            self._stop("unpriced")
        return Asked(id, b"", 200, found.candidate, found.usage, found.cost)

    def _price(self, candidate: str) -> float:
        """About what its next answer costs at the most: guessed, until some were paid."""
        paid = self._paid.get(candidate, [])
        return max(paid) if len(paid) >= _TOLD else self._bounds.costs.get(candidate, 0.0)

    async def _grade(self, judge: Judge, cell: Wanted) -> Asked:
        example, answer = cell.example, self._answers[cell.id]
        answered = Answered(example.messages, answer_of(answer), answer.passages, example.reference, example.answerable)
        with self._affordable(self._bounds.judging.get(judge.name, 0.0)):
            said = await judge.grade(answered, example.caller)
        grade = Grade(
            grade_id(judge, answer.id, example.id),
            time.time(),
            answer.id,
            judge.rubric,
            example.caller,
            said.value,
            judge=f"{judge.name}@{judge.hash}",
            reason=said.reason,
            example=example.id,
        )
        await self._log.append(grade)
        self._grades[grade.id] = grade
        return Asked(grade.id, b"")

    def _grade_of(self, judge: Judge, cell: Wanted) -> Grade | None:
        return self._grades.get(grade_id(judge, self._answers[cell.id].id, cell.example.id))

    async def _read_grades(self, answered: Sequence[Wanted]) -> None:
        ids = [
            grade_id(judge, self._answers[cell.id].id, cell.example.id) for cell in answered for judge in self._judges
        ]
        for at in range(0, len(ids), _READ):
            async for grade in self._log.read(LogQuery(kind="grade", ids=frozenset(ids[at : at + _READ]), own=True)):
                assert isinstance(grade, Grade)
                self._grades[grade.id] = grade

    def _cell(self, cell: Wanted, metrics: dict[str, float]) -> Cell:
        answer = self._answers[cell.id]
        for judge in self._judges:
            grade = self._grade_of(judge, cell)
            metrics.pop(judge.name, None)  # never both under one name
            if grade is not None and grade.value is not None:
                metrics[judge.name] = grade.value
        return Cell(
            cell.example.id, cell.candidate, answer.id, "ok", metrics, answer.cost, answer.first_ms, answer.total_ms
        )

    @contextmanager
    def _affordable(self, price: float) -> Iterator[None]:
        """Money is held back for what is under way. Raises _Over."""
        most = self._bounds.max_cost
        if price and most is not None and self._log.spent + self._held + price > most:
            self._stop("budget")
            raise _Over("It might cost more than --max-cost.")
        self._held += price
        try:
            yield
        finally:
            self._held -= price

    def _fail(self, cell: Wanted, who: str, error: Exception) -> None:
        if not isinstance(error, _Over):
            why = error.message if isinstance(error, RungwiseError) else repr(error)
            self._failures.append(Failure(cell.example.id, cell.example.question, who, why))

    def _stop(self, end: End) -> None:
        self._end = end
        for runner in self._runners:
            runner.stop()

    def _tell(self) -> None:
        progress = self._progress
        progress.spent = self._log.spent
        progress.running = sum(tally.running for tally in self._tallies)
        progress.trouble = next((tally.trouble for tally in self._tallies if tally.trouble), "")
        self._told(progress)


class _Over(Conflict):
    """The next answer might cost more than may be spent."""


def grade_id(judge: Judge, inference: str, example: str) -> str:
    """Of a judge's grade on an answer to an example: it is asked for once."""
    return f"grade-{hashlib.sha256(f'{judge.hash} {inference} {example}'.encode()).hexdigest()[:24]}"
