"""`rungwise judge grade` with a judge of pairs: how often each candidate's answer is the better one."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from rungwise_pipelines.commands.judge_options import affordable_pairs
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_pipelines.progress import on_stderr

if TYPE_CHECKING:
    from rungwise_pipelines.judges.answers import Answers
    from rungwise_pipelines.judges.compare import Compared
    from rungwise_server.config.settings import Settings
    from rungwise_server.evals import Preference
    from rungwise_server.grading.things import Thing

_SHOWN = 90


def compare(settings: "Settings", name: str, ref: str, show: int, max_cost: float | None, as_json: bool) -> None:
    """Let a judge of pairs compare the candidates' answers to an eval set, and show what it says."""
    judge, answers, compared = asyncio.run(_compared(settings, name, ref, max_cost))
    told = {thing.id: compared.said[thing.id].share for thing in answers.things if thing.id in compared.said}
    systems: dict[tuple[str, ...], list[Thing]] = defaultdict(list)
    for thing in answers.things:
        if told.get(thing.id) is not None:
            systems[thing.candidates].append(thing)
    rows = [_row(names, [compared.said[thing.id] for thing in of]) for names, of in sorted(systems.items())]
    if as_json:
        emit(
            {
                "eval_set": answers.of.id,
                "judge": judge,
                "asked": compared.asked,
                "failed": compared.failed,
                "pairs": rows,
                "grades": [_grade(thing, compared.said[thing.id]) for thing in answers.things if thing.id in told],
            }
        )
    else:
        _tell(answers, compared, rows, told, show)
    if compared.failed:
        note(f"{compared.failed} pairs could not be compared: {compared.trouble} The same command again goes on.")
        raise typer.Exit(1)


async def _compared(
    settings: "Settings", name: str, ref: str, max_cost: float | None
) -> "tuple[str, Answers, Compared]":
    from rungwise_pipelines.judges.answers import pairs_of
    from rungwise_pipelines.judges.ask import judge_id
    from rungwise_pipelines.judges.compare import compare_all
    from rungwise_pipelines.judges.room import open_room

    async with open_room(settings) as room:
        judge = room.pairs[name]
        answers = await pairs_of(room.sets, room.log, ref, judge.rubric)
        await affordable_pairs(judge, answers, room.log, max_cost)
        with on_stderr() as shown:
            return judge_id(judge), answers, await compare_all(judge, answers.things, room.log, shown)


def _row(names: tuple[str, ...], said: "Sequence[Preference]") -> Mapping[str, object]:
    shares = [share for one in said if (share := one.share) is not None]
    return {
        "first": names[0],
        "second": names[1],
        "pairs": len(said),
        "share": sum(shares) / len(shares),
        "wins": sum(share > 0.5 for share in shares),
        "ties": sum(share == 0.5 for share in shares),
        "losses": sum(share < 0.5 for share in shares),
        "same_in_both_orders": sum(one.value == one.swapped for one in said) / len(said),
    }


def _grade(thing: "Thing", said: "Preference") -> Mapping[str, object]:
    return {
        "inference_id": thing.answers[0].id,
        "over": thing.answers[1].id,
        "example": thing.example.id if thing.example else None,
        "candidates": list(thing.candidates),
        "value": said.value,
        "swapped": said.swapped,
        "reason": said.reason,
        "swapped_reason": said.swapped_reason,
    }


def _tell(
    answers: "Answers",
    compared: "Compared",
    rows: "Sequence[Mapping[str, object]]",
    told: Mapping[str, float | None],
    show: int,
) -> None:
    from rungwise_pipelines.judges.answers import question_of

    known = sum(share is not None for share in told.values())
    say(f"{answers.of.id}: {known} of {len(answers.things)} pairs compared, {compared.asked} of them now.")
    table(
        ("candidate", "against", "pairs", "better", "tie", "worse", "share", "same in both orders"),
        [
            (
                str(row["first"]),
                str(row["second"]),
                str(row["pairs"]),
                str(row["wins"]),
                str(row["ties"]),
                str(row["losses"]),
                f"{row['share']:.3f}",
                f"{100 * float(str(row['same_in_both_orders'])):.0f} %",
            )
            for row in rows
        ],
    )
    say("This is the judge alone: `rungwise judge certify` says what it is worth.")
    apart = [one for one in answers.things if told.get(one.id) is not None]
    shown = sorted(apart, key=lambda one: (told[one.id] or 0, one.id))[:show]
    if shown:
        say()
        table(
            ("share", "candidate", "against", "question", "reason"),
            [
                (
                    f"{told[one.id]:.2f}",
                    *one.candidates,
                    question_of(one)[:_SHOWN],
                    " ".join(compared.said[one.id].reason.split())[:_SHOWN],
                )
                for one in shown
            ],
        )
