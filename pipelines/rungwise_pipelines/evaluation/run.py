"""Candidates answer the examples of an eval set: each cell asked once, measured, judged, and nothing asked again.

Every candidate has its own `Runner` (that of batches: it finds how many may run at once, and tries again what another
attempt can mend), so that one whose model is slow or away holds up no other. What is asked and graded goes to the log
as it comes; killed at any moment, a run goes on from there.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct

from rungwise_pipelines.batch.ask import Answered as Asked
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.run import Runner, Tally
from rungwise_pipelines.evaluation.cells import ROUTE, Known, Wanted, attempt_id, request_fields
from rungwise_pipelines.evaluation.metrics import answer_of, measure
from rungwise_server.engine import Engine
from rungwise_server.errors import Conflict, RungwiseError, UpstreamError
from rungwise_server.evals import Answered, Cell, Example
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.protocols import InferenceLog, Judge
from rungwise_server.records import Grade, Inference, LogQuery, LogRecord, Total
from rungwise_server.types import ChatRequest

End = Literal["done", "budget", "unpriced", "upstream"]
"""Why a run ended: every cell is answered or failed; the next might cost more than `max_cost`; a candidate's price is
not known, so that cannot be kept; a candidate's model stayed away."""

_READ = 500
_PATIENCE = 60.0


class Noted:
    """A log that shows a run what passes into it: its own answers, and what everything cost."""

    def __init__(self, log: InferenceLog) -> None:
        self._log = log
        self.answers: dict[str, Inference] = {}
        self.spent = 0.0

    async def append(self, record: LogRecord) -> None:
        """See InferenceLog."""
        if isinstance(record, Inference):
            self.spent += record.cost or 0.0
            if record.surface == "eval":
                self.answers[record.id] = record
        await self._log.append(record)

    def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """See InferenceLog."""
        return self._log.read(query)

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """See InferenceLog."""
        return await self._log.totals(query)


class Failure(Struct, frozen=True):
    """A cell that has no answer, or an answer that a judge has not graded."""

    example: str
    question: str
    candidate: str
    why: str


class Progress(Struct):
    """How far a run is. `reused` cells were in the log before."""

    cells: int
    done: int = 0
    reused: int = 0
    spent: float = 0.0
    running: int = 0
    trouble: str = ""


class Outcome(Struct, frozen=True):
    """What came of a run. `left` cells were not asked."""

    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    end: End
    asked: int
    reused: int
    left: int
    spent: float
    seconds: float


class Bounds(Struct, frozen=True):
    """How a run is held. `costs`: about what an answer of each candidate costs; `judging`: about what its judges do.
    `max_cost` is of this run, not of what was in the log before.
    """

    concurrency: int = 16
    max_cost: float | None = None
    costs: Mapping[str, float] = {}
    judging: float = 0.0
    timeout: float = 600.0
    patience: float = _PATIENCE


class _Over(Conflict):
    """The next cell might cost more than may be spent."""


class Replaced(Conflict):
    """Another candidate answered in the place of the one that was asked."""


class Evaluation:
    """One run.

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
        self._cells: dict[int, Cell] = {}
        self._failures: dict[int, Failure] = {}
        self._runners: list[Runner] = []
        self._tallies: list[Tally] = []
        self._held = 0.0
        self._end: End = "done"
        self._progress = Progress(0)

    async def run(self, wanted: Sequence[Wanted]) -> Outcome:
        """Fill all cells, or as many as may be.

        Raises:
            SetupError: a person must mend something before it can go on; what was done is in the log.
        """
        began = time.monotonic()
        self._progress = Progress(len(wanted), reused=sum(cell.id in self._answers for cell in wanted))
        await self._read_grades(wanted)
        by_candidate: dict[str, list[int]] = {}
        for number, cell in enumerate(wanted):
            by_candidate.setdefault(cell.candidate, []).append(number)
        async with asyncio.TaskGroup() as group:
            for numbers in by_candidate.values():
                group.create_task(self._candidate(wanted, numbers))
        left = len(wanted) - len(self._cells.keys() | self._failures.keys())
        return Outcome(
            tuple(cell for _, cell in sorted(self._cells.items())),
            tuple(failure for _, failure in sorted(self._failures.items())),
            self._end,
            sum(cell.outcome == "ok" for cell in self._cells.values()) - self._progress.reused,
            self._progress.reused,
            left,
            self._log.spent,
            time.monotonic() - began,
        )

    async def _candidate(self, wanted: Sequence[Wanted], numbers: Sequence[int]) -> None:
        tally = Tally()

        async def ask(line: Line) -> Asked:
            return await self._fill(line.number, wanted[line.number])

        class Into:
            """Failures, by cell; what was answered is noted already."""

            def answered(_, line: Line, answer: Asked) -> None:
                """See Sink."""

            def failed(_, line: Line, error: Exception) -> None:
                """See Sink."""
                self._fail(line.number, wanted[line.number], error)

        def lines() -> Iterator[Line]:
            return (Line(number, wanted[number].example.id, "", b"") for number in numbers)

        bounds = self._bounds
        runner = Runner(
            ask,
            Into(),
            tally,
            most=bounds.concurrency,
            timeout=bounds.timeout,
            patience=bounds.patience,
            told=self._tell,
        )
        self._runners.append(runner)
        self._tallies.append(tally)
        end = await runner.run(lines())
        if end == "upstream" and self._end == "done":
            self._end = "upstream"

    async def _fill(self, number: int, cell: Wanted) -> Asked:
        """A cell's answer, its metrics and its grades."""
        with self._affordable(self._price(cell)):
            answer = self._answers.get(cell.id) or await self._ask(cell)
            metrics = await measure(cell.example, answer, self._groundedness)
            errors = []
            for judge in self._judges:
                try:
                    grade = await self._grade(judge, cell.example, answer)
                except UpstreamError as error:
                    errors.append(error)
                else:
                    if grade.value is not None:
                        metrics[judge.name] = grade.value
            self._cells[number] = Cell(
                cell.example.id, cell.candidate, answer.id, "ok", metrics, answer.cost, answer.first_ms, answer.total_ms
            )
        if errors:
            raise errors[0]
        self._progress.done += 1
        return Asked(answer.id, b"", 200, answer.candidate, answer.usage, answer.cost)

    def _price(self, cell: Wanted) -> float:
        """About what is still to pay for a cell."""
        answer = self._answers.get(cell.id)
        graded = answer and all(grade_id(judge, answer.id, cell.example.id) in self._grades for judge in self._judges)
        asking = 0.0 if answer else self._bounds.costs.get(cell.candidate, 0.0)
        return asking + (0.0 if graded else self._bounds.judging)

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

    async def _ask(self, cell: Wanted) -> Inference:
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
            raise Replaced(f"{found.candidate} answered in its place: {cell.candidate} failed.")
        self._answers[cell.id] = found
        if self._bounds.max_cost is not None and found.cost is None:
            self._stop("unpriced")
        return found

    async def _grade(self, judge: Judge, example: Example, answer: Inference) -> Grade:
        id = grade_id(judge, answer.id, example.id)
        if id in self._grades:
            return self._grades[id]
        answered = Answered(example.messages, answer_of(answer), answer.passages, example.reference, example.answerable)
        said = await judge.grade(answered, example.caller)
        grade = Grade(
            id,
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
        self._grades[id] = grade
        return grade

    async def _read_grades(self, wanted: Sequence[Wanted]) -> None:
        ids = [
            grade_id(judge, answer.id, cell.example.id)
            for cell in wanted
            if (answer := self._answers.get(cell.id))
            for judge in self._judges
        ]
        for at in range(0, len(ids), _READ):
            async for grade in self._log.read(LogQuery(kind="grade", ids=frozenset(ids[at : at + _READ]), own=True)):
                assert isinstance(grade, Grade)
                self._grades[grade.id] = grade

    def _fail(self, number: int, cell: Wanted, error: Exception) -> None:
        if isinstance(error, _Over):
            return
        why = error.message if isinstance(error, RungwiseError) else repr(error)
        self._failures[number] = Failure(cell.example.id, cell.example.question, cell.candidate, why)
        self._progress.done += 1
        last = self._last.get(cell.id)
        if number not in self._cells and last is not None:
            outcome = "replaced" if isinstance(error, Replaced) else last.outcome
            self._cells[number] = Cell(cell.example.id, cell.candidate, last.id, outcome)

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


def grade_id(judge: Judge, inference: str, example: str) -> str:
    """Of a judge's grade on an answer to an example: it is asked for once."""
    return f"grade-{hashlib.sha256(f'{judge.hash} {inference} {example}'.encode()).hexdigest()[:24]}"
