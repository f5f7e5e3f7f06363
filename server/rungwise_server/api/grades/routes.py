"""The routes of `/v1/grades`. A grade is appended to the log; an answer that overtook its own row may be graded too."""

import asyncio
from collections.abc import Collection, Mapping

from fastapi import APIRouter
from msgspec.structs import replace

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.grades.access import Access
from rungwise_server.api.grades.readable import Readable
from rungwise_server.api.grades.standing import GradesSummary, summary_object
from rungwise_server.api.grades.wire import (
    After,
    EvalSetName,
    GradeBody,
    GradeList,
    GradeObject,
    Grader,
    GradingTasks,
    Limit,
    Rubric,
    Workload,
    grade_object,
    task,
)
from rungwise_server.errors import BadRequest, Conflict, NotFound, Unavailable
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalSet
from rungwise_server.grading.desk import Desk, turns_of
from rungwise_server.grading.listing import answers_to, listed
from rungwise_server.grading.rubrics import rubric_of
from rungwise_server.grading.summary import summary_of
from rungwise_server.grading.things import Mode
from rungwise_server.protocols import InferenceLog, KeyRing, PassageIndex
from rungwise_server.records import Grade, Inference, LogQuery
from rungwise_server.types import Caller


def grades_api(
    log: InferenceLog, sets: EvalSets, keys: KeyRing, graders: Mapping[str, Collection[str]], index: PassageIndex
) -> APIRouter:
    """The routes. `graders` are the principals that may grade each workload, beside admins; `index` tells what they may
    read now.
    """
    router = APIRouter(tags=["grades"])
    desk, access = Desk(log, sets), Access(keys, graders)

    @router.post("/v1/grades", status_code=201)
    async def create_grade(body: GradeBody, caller: CallerOf) -> GradeObject:
        """Grade an answer, or say which of two is better."""
        record = body.record(caller)
        about = await _about(log, access, Readable(index, caller), record)
        if body.id is not None:
            await _unless_other(log, record)
        await log.append(record)
        return grade_object(record, about)

    @router.get("/v1/grades")
    async def list_grades(
        caller: CallerOf,
        workload: Workload = "",
        eval_set: EvalSetName = "",
        rubric: Rubric = "",
        grader: Grader = "",
        limit: Limit = 20,
        after: After = "",
    ) -> GradeList:
        """List grades, oldest first: all ever given. Without a workload or an eval set, admins see those of all
        workloads, and others their own.
        """
        query = LogQuery(kind="grade")
        mine = False
        if workload or eval_set:
            of, chosen = await _scope(sets, access, caller, workload, eval_set)
            query = replace(query, workload=of)
            if chosen is not None:
                pile = await desk.pile(of, chosen, "single")
                query = replace(query, workload="", inference_ids=frozenset(t.id for t in pile.things))
        else:
            await access.need(caller)
            mine = not await access.everything(caller)
        if after:
            query = replace(query, after=await _position(log, after))

        def wanted(grade: Grade) -> bool:
            return (
                rubric in ("", grade.rubric)
                and grader in ("", grade.grader, grade.judge.partition("@")[0] or grade.grader)
                and (not mine or grade.grader == caller.owner)
            )

        found = await listed(log, query, caller, wanted, Readable(index, caller).answer, limit + 1)
        blind = not await access.everything(caller)
        data = [
            grade_object(grade, None if blind and grade.grader != caller.owner else about)
            for grade, about in found[:limit]
        ]
        return GradeList(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=len(found) > limit,
        )

    @router.get("/v1/grades/next")
    async def next_grades(
        caller: CallerOf,
        workload: Workload = "",
        eval_set: EvalSetName = "",
        rubric: Rubric = "correct",
        mode: Mode = "single",
        limit: Limit = 1,
        skipped: bool = False,
    ) -> GradingTasks:
        """What you should grade next: what narrows the intervals most, drawn by chance so that they stay true; nothing
        that you graded already, and with `skipped` at the end what you skipped. `mode=pair` shows two answers to one
        question, in an order drawn by chance.
        """
        of, chosen = await _scope(sets, access, caller, workload, eval_set)
        pile = await desk.pile(of, chosen, mode)
        grades = await desk.grades(pile, rubric)
        readable = Readable(index, caller)
        turns = await asyncio.to_thread(turns_of, pile, grades, caller, limit, skipped=skipped)
        hidden = 0
        while not all([await readable.answer(answer) for turn in turns.turns for answer in turn.answers]):
            shown = tuple(t for t in pile.things if not any(readable.hides(answer.passages) for answer in t.answers))
            hidden += len(pile.things) - len(shown)
            pile = replace(pile, things=shown)
            turns = await asyncio.to_thread(turns_of, pile, grades, caller, limit, skipped=skipped)
        return GradingTasks(
            data=[task(turn, mode, rubric) for turn in turns.turns],
            eval_set=chosen.id if chosen else None,
            asks=rubric_of(rubric).asks or None,
            points=list(rubric_of(rubric).points),
            graded=turns.graded,
            skipped=turns.skipped,
            left=turns.left,
            unreadable=turns.unreadable + hidden,
        )

    @router.get("/v1/grades/summary")
    async def summarise_grades(
        caller: CallerOf,
        workload: Workload = "",
        eval_set: EvalSetName = "",
        rubric: Rubric = "correct",
        mode: Mode = "single",
    ) -> GradesSummary:
        """Each candidate's quality so far, with its interval, and how far people agree, also with the judge."""
        of, chosen = await _scope(sets, access, caller, workload, eval_set)
        pile = await desk.pile(of, chosen, mode)
        grades = await desk.grades(pile, rubric)
        summary = await asyncio.to_thread(summary_of, pile.things, grades, rubric, mode)
        return summary_object(summary, of, chosen.id if chosen else None)

    return router


async def _scope(
    sets: EvalSets, access: Access, caller: Caller, workload: str, eval_set: str
) -> tuple[str, EvalSet | None]:
    """The workload, and the eval set if one is named.

    Raises:
        BadRequest: neither is given, or they do not fit together.
        Forbidden: the caller does not grade the workload.
        NotFound: no such eval set, or none that the caller grades.
    """
    if not (workload or eval_set):
        raise BadRequest("Say whose answers: `workload` or `eval_set`.", code="missing_required_parameter")
    await access.need(caller, workload)
    if not eval_set:
        return workload, None
    try:
        chosen = await sets.get(eval_set)
    except NotFound:
        if await access.everything(caller):
            raise
        chosen = None
    if chosen is None or not await access.grades(caller, chosen.workload):
        raise NotFound(f"There is no eval set {eval_set!r} that you may grade.", param="eval_set")
    if workload not in ("", chosen.workload):
        raise BadRequest(f"{chosen.id} is of the workload {chosen.workload!r}.", param="workload")
    return chosen.workload, chosen


async def _about(log: InferenceLog, access: Access, readable: Readable, grade: Grade) -> tuple[Inference, ...]:
    """The answers that a grade is about, as far as they are in the log.

    Raises:
        Forbidden: its caller grades nothing.
        NotFound: one of them is not the caller's to grade. It is told in the same words whatever the reason.
    """
    await access.need(grade.caller)
    try:
        found = await answers_to(log, grade)
    except Unavailable:
        return ()  # the grade waits in the spool, as its answers may
    for param, id in (("inference_id", grade.inference_id), ("over", grade.over)):
        answer = found.get(id)
        if answer and not (await access.grades(grade.caller, answer.workload) and await readable.answer(answer)):
            raise NotFound(f"There is no answer {id!r} that you may grade.", param=param)
    return tuple(found.values())


async def _unless_other(log: InferenceLog, record: Grade) -> None:
    """Refuse an id that stands for something else already."""
    try:
        async for had in log.read(LogQuery(kind="grade", ids=frozenset({record.id}))):
            if isinstance(had, Grade) and _said(had) != _said(record):
                raise Conflict(f"A grade with the id {record.id!r} exists and says something else.", param="id")
    except Unavailable:
        return  # the log keeps the first of two with one id, whenever it comes back


def _said(grade: Grade) -> tuple[object, ...]:
    g = grade
    return (g.inference_id, g.rubric, g.grader, g.value, g.scale, g.over, g.reason, g.example)


async def _position(log: InferenceLog, id: str) -> int:
    async for grade in log.read(LogQuery(kind="grade", ids=frozenset({id}))):
        return grade.position
    raise BadRequest(f"There is no grade {id!r} to go on after.", param="after")
