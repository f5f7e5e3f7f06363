"""Asks a judge about many answers, each once: what it said stands in the log, and is not asked for again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from rungwise_pipelines.evaluation import run
from rungwise_pipelines.judges.answers import answered_of, asker_of
from rungwise_pipelines.judges.money import model_of
from rungwise_pipelines.progress import Shown
from rungwise_server.errors import RungwiseError, UpstreamLimited
from rungwise_server.evals import Judgement
from rungwise_server.grading.things import Thing
from rungwise_server.protocols import InferenceLog, Judge, PairJudge
from rungwise_server.records import Grade, GradeScale, LogQuery

AT_ONCE = 8
"""Answers that a judge looks at at the same time."""
_FAILURES = 5
"""So many in a row, and the rest is not tried."""
_TRIES = 4
_WAIT = 2.0

Said = TypeVar("Said")


class Judged(Struct, frozen=True):
    """A judge's grades by answer, those without a value included; how many it gave now, and what stood in its way."""

    grades: Mapping[str, Grade]
    asked: int
    failed: int = 0
    trouble: str = ""


def judge_id(judge: Judge | PairJudge) -> str:
    """As grades name it: `name@hash`."""
    return f"{judge.name}@{judge.hash}"


def grade_id(judge: Judge, thing: Thing) -> str:
    """The id of a judge's grade on an answer: that which `rungwise eval run` gives it too, so it is asked for once."""
    return run.grade_id(judge, thing.answers[0].id, thing.example.id if thing.example else "")


async def known(judge: Judge, things: Sequence[Thing], log: InferenceLog) -> dict[str, Grade]:
    """What it said earlier, by answer."""
    ids = frozenset(grade_id(judge, thing) for thing in things)
    query = LogQuery(kind="grade", ids=ids, own=True)
    return {grade.inference_id: grade async for grade in log.read(query) if isinstance(grade, Grade)}


async def judge_all(
    judge: Judge, things: Sequence[Thing], log: InferenceLog, shown: Shown, *, label: str = "", at_once: int = AT_ONCE
) -> Judged:
    """Every answer's grade: from the log, or asked for now and appended to it. Stopped in between, it goes on there.

    Raises:
        RungwiseError: the judge cannot be asked, and nothing is known of any answer.
    """
    grades = await known(judge, things, log)
    left = [thing for thing in things if thing.answers[0].id not in grades]
    before = len(grades)

    async def ask(thing: Thing) -> None:
        said = await patiently(lambda: judge.grade(answered_of(thing), asker_of(thing)))
        grade = _grade(judge, thing, said)
        await log.append(grade)
        grades[grade.inference_id] = grade
        shown.advance(len(grades))

    failed, trouble = 0, None
    if left:
        shown.begin("answers", len(things), done=before, label=label or judge.name)
        failed, trouble = await ask_each(left, ask, at_once)
        shown.end()
    if trouble is not None and not grades:
        raise trouble
    return Judged(grades, len(grades) - before, failed, trouble.message if trouble else "")


async def ask_each(
    things: Sequence[Thing], ask: Callable[[Thing], Awaitable[None]], at_once: int = AT_ONCE
) -> tuple[int, RungwiseError | None]:
    """Ask about each of `things`; how many could not be asked about, and the last reason."""
    waiting = iter(things)
    failed = row = 0
    trouble: RungwiseError | None = None

    async def work() -> None:
        nonlocal failed, row, trouble
        for thing in waiting:
            if row >= _FAILURES:
                failed += 1
                continue
            try:
                await ask(thing)
            except RungwiseError as error:
                failed, row, trouble = failed + 1, row + 1, error
            else:
                row = 0

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(things))):
            group.create_task(work())
    return failed, trouble


async def patiently(ask: Callable[[], Awaitable[Said]]) -> Said:
    """What is said; a model that is too busy is asked again."""
    for attempt in range(1, _TRIES):
        try:
            return await ask()
        except UpstreamLimited as limited:
            await asyncio.sleep(limited.retry_after or _WAIT**attempt)
    return await ask()


def _grade(judge: Judge, thing: Thing, said: Judgement) -> Grade:
    model = model_of(judge)
    scale: GradeScale = model.scale if model else "pass"
    return Grade(
        id=grade_id(judge, thing),
        at=time.time(),
        inference_id=thing.answers[0].id,
        rubric=judge.rubric,
        caller=asker_of(thing),
        value=said.value,
        scale=scale,
        judge=judge_id(judge),
        reason=said.reason,
        example=thing.example.id if thing.example else "",
    )
