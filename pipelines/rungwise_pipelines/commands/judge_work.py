"""`rungwise judge list`, `grade` and `queue`: which judges there are, what they say, what people should grade next."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.judge_options import MaxCost, Name, Set, affordable, is_of_pairs
from rungwise_pipelines.commands.judge_pairs import compare
from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_pipelines.progress import on_stderr
from rungwise_server.errors import NotFound

if TYPE_CHECKING:
    from rungwise_pipelines.judges.answers import Answers
    from rungwise_pipelines.judges.ask import Judged
    from rungwise_server.config.settings import Settings
    from rungwise_server.grading.order import Next
    from rungwise_server.judging.trust import Standing
    from rungwise_server.protocols import Judge, PairJudge

_SHOWN = 90
Row = tuple["Judge | PairJudge", str, str, "Standing"]


def list_judges(
    workload: Annotated[str, typer.Option(help="Only certificates for this workload.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Every judge: what it is, what it grades, and whether its certificates hold."""
    settings = settings_of(config)
    rows = asyncio.run(_standings(settings, workload))
    if as_json:
        emit([_row(*row) for row in rows])
        return
    certified = {judge.name for judge, _, _, standing in rows if standing.word != "none"}
    shown: dict[tuple[str, str], tuple[str, ...]] = {}
    for judge, kind, of, standing in rows:
        told = (judge.name, kind, judge.rubric, judge.hash)
        if workload or standing.word != "none":
            shown[judge.name, of] = (*told, of, standing.word, standing.why)
        elif judge.name not in certified:
            shown[judge.name, ""] = (*told, "", "none", "never certified")
    table(("judge", "kind", "rubric", "hash", "workload", "certificate", ""), shown.values(), {"expired": "yellow"})


async def _standings(settings: "Settings", workload: str) -> "Sequence[Row]":
    from rungwise_pipelines.judges.room import open_room
    from rungwise_server.bootstrap import judge_settings

    kinds = judge_settings(settings)
    if workload and workload not in settings.workloads:
        there = ", ".join(settings.workloads)
        raise NotFound(f"There is no workload {workload!r}. There are: {there}.", param="workload")
    async with open_room(settings) as room:
        judges: list[tuple[str, Judge | PairJudge]] = [*room.judges.items(), *room.pairs.items()]
        return [
            (judge, kinds[name].kind if name in kinds else "program", of, await room.trust.find(judge, of))
            for name, judge in judges
            for of in ([workload] if workload else settings.workloads)
        ]


def _row(judge: "Judge | PairJudge", kind: str, workload: str, standing: "Standing") -> Mapping[str, object]:
    certified, drift = standing.certified, standing.drift
    return {
        "judge": judge.name,
        "kind": kind,
        "rubric": judge.rubric,
        "hash": judge.hash,
        "workload": workload,
        "certificate": standing.word,
        "why": standing.why,
        "verdict": certified.verdict if certified else None,
        "usable": standing.usable,
        "eval_set": certified.set_id if certified else None,
        "at": certified.at if certified else None,
        "drift": {"index": drift.index, "limit": drift.limit, "questions": drift.questions} if drift else None,
    }


def grade(
    name: Name,
    eval_set: Set,
    show: Annotated[int, typer.Option(help="Show so many of its grades, the worst first.", min=0)] = 10,
    max_cost: MaxCost = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let a judge grade the answers to an eval set. What it graded before it is not asked again.

    A judge of pairs compares the answers of the newest run's candidates, question by question.
    """
    settings = settings_of(config)
    if is_of_pairs(settings, name):
        compare(settings, name, eval_set, show, max_cost, as_json)
        return
    answers, judged = asyncio.run(_graded(settings, name, eval_set, max_cost))
    things = {thing.answers[0].id: thing for thing in answers.things}
    grades = [judged.grades[id] for id in things if id in judged.grades]
    values: dict[str, list[float]] = {}
    for one in grades:
        if one.value is not None:
            values.setdefault(things[one.inference_id].candidates[0], []).append(one.value)
    if as_json:
        emit(
            {
                "eval_set": answers.of.id,
                "judge": next((one.judge for one in grades), None),
                "asked": judged.asked,
                "failed": judged.failed,
                "means": {system: sum(given) / len(given) for system, given in sorted(values.items())},
                "grades": [
                    {
                        "inference_id": one.inference_id,
                        "example": one.example,
                        "candidate": things[one.inference_id].candidates[0],
                        "value": one.value,
                        "reason": one.reason,
                    }
                    for one in grades
                ],
            }
        )
    else:
        _tell(answers, judged, values, show)
    if judged.failed:
        note(f"{judged.failed} answers could not be judged: {judged.trouble} The same command again goes on.")
        raise typer.Exit(1)


async def _graded(settings: "Settings", name: str, ref: str, max_cost: float | None) -> "tuple[Answers, Judged]":
    from rungwise_pipelines.judges.answers import answers_of
    from rungwise_pipelines.judges.ask import judge_all
    from rungwise_pipelines.judges.room import open_room

    async with open_room(settings) as room:
        judge = room.judge(name)
        answers = await answers_of(room.sets, room.log, ref, judge.rubric)
        await affordable(judge, answers, room.log, max_cost)
        with on_stderr() as shown:
            return answers, await judge_all(judge, answers.things, room.log, shown)


def _tell(answers: "Answers", judged: "Judged", values: Mapping[str, Sequence[float]], show: int) -> None:
    from rungwise_pipelines.judges.answers import question_of

    things = {thing.answers[0].id: thing for thing in answers.things}
    told = [one for one in judged.grades.values() if one.value is not None]
    say(f"{answers.of.id}: {len(told)} of {len(things)} answers graded, {judged.asked} of them now.")
    table(
        ("candidate", "answers", "mean grade"),
        [(system, str(len(given)), f"{sum(given) / len(given):.3f}") for system, given in sorted(values.items())],
    )
    say("This is the judge alone: `rungwise judge certify` says what it is worth.")
    worst = sorted(told, key=lambda one: (one.value or 0, one.id))[:show]
    if worst:
        say()
        table(
            ("grade", "candidate", "question", "reason"),
            [
                (
                    f"{one.value:.2f}",
                    things[one.inference_id].candidates[0],
                    question_of(things[one.inference_id])[:_SHOWN],
                    " ".join(one.reason.split())[:_SHOWN],
                )
                for one in worst
            ],
        )


def queue(
    name: Name,
    eval_set: Set,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Which answers people should grade next, to learn most about this judge and what it judges."""
    answers, turns, judged = asyncio.run(_queue(settings_of(config), name, eval_set, limit))
    from rungwise_pipelines.judges.answers import question_of

    if as_json:
        emit(
            [
                {
                    "inference_id": turn.thing.answers[0].id,
                    **({"over": turn.thing.answers[1].id} if len(turn.thing.answers) > 1 else {}),
                    "example": turn.thing.example.id if turn.thing.example else None,
                    "candidate": " vs ".join(turn.thing.candidates),
                    "question": question_of(turn.thing),
                    "why": turn.why,
                }
                for turn in turns
            ]
        )
        return
    if not turns:
        say(f"People graded all {len(answers.things)} answers to {answers.of.id}.")
        return
    table(
        ("candidate", "question", "why", "answer"),
        [(" vs ".join(t.thing.candidates), question_of(t.thing)[:_SHOWN], t.why, t.thing.id) for t in turns],
    )
    say(answers.to_grade)
    if judged < len(answers.things):
        note(
            f"The judge has graded {judged} of {len(answers.things)} answers. `rungwise judge grade {name} --eval "
            f"{eval_set}` grades the others, and then its grades say more about what to grade next."
        )


async def _queue(settings: "Settings", name: str, ref: str, limit: int) -> "tuple[Answers, Sequence[Next], int]":
    from rungwise_pipelines.judges.answers import answers_of, pairs_of
    from rungwise_pipelines.judges.ask import judge_id
    from rungwise_pipelines.judges.room import open_room
    from rungwise_server.grading.order import order

    async with open_room(settings) as room:
        judge = room.pairs[name] if name in room.pairs else room.judge(name)
        read = pairs_of if name in room.pairs else answers_of
        answers = await read(room.sets, room.log, ref, judge.rubric)
    mine = judge_id(judge)
    grades = {
        thing.id: {who: one for who, one in answers.grades.get(thing.id, {}).items() if not one.judge or who == mine}
        for thing in answers.things
    }
    left = {thing.id for thing in answers.things if not any(not g.judge for g in grades[thing.id].values())}
    return answers, order(answers.things, grades, "", left, limit), sum(mine in by for by in grades.values())
