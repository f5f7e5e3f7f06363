"""`rungwise eval grade`: a person grades answers in the terminal, one key per grade."""

import asyncio
import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from rungwise_pipelines.commands.options import Config, Group, Json, caller_of, open_keys, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import NotFound

if TYPE_CHECKING:
    from rungwise_pipelines.grading.session import Ended
    from rungwise_server.config.settings import Settings
    from rungwise_server.eval_sets import EvalSets
    from rungwise_server.grading.desk import Desk, Pile
    from rungwise_server.grading.people import AmongPeople
    from rungwise_server.grading.things import Mode
    from rungwise_server.judging.certificates.intervals import Interval
    from rungwise_server.log.sql import SqlLog
    from rungwise_server.types import Caller

Scale = Literal["pass", "five", "pair"]


def grade(
    workload: Annotated[str, typer.Argument(help="Whose answers.", metavar="WORKLOAD")],
    eval_set: Annotated[
        str,
        typer.Option(
            "--set",
            help="Answers to this eval set. Without it: to the workload's own, or where that has no answers yet, the "
            "newest of its traffic.",
            metavar="NAME[@vN]",
        ),
    ] = "",
    traffic: Annotated[bool, typer.Option("--traffic", help="The newest answers of the workload's traffic.")] = False,
    rubric: Annotated[str, typer.Option(help="What is asked of an answer.")] = "correct",
    scale: Annotated[
        Scale, typer.Option(help="Pass or fail; 1 (bad) to 5 (good); or two candidates' answers, blind.")
    ] = "pass",
    user: Annotated[
        str,
        typer.Option(
            help="Who grades, with the groups of this user's keys; else the name that you are logged in with.",
            metavar="USER",
        ),
    ] = "",
    group: Group = None,
    limit: Annotated[int, typer.Option(help="Stop after so many; 0: when you press q.", min=0)] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Grade answers, one key each. What teaches most comes first, and only what the grader may read.

    Stop whenever you like: each grade is kept at once, and next time it goes on from there. Without a terminal, keys
    are read from standard input, one a line.
    """
    if eval_set and traffic:
        raise typer.BadParameter("--set and --traffic are two different piles: give one of them")
    settings = settings_of(config)
    if workload not in settings.workloads:
        raise NotFound(f"There is no workload {workload!r}. There are: {', '.join(settings.workloads)}")
    with asyncio.Runner() as runner, _opened(runner, settings) as (log, sets):
        from rungwise_server.grading.desk import Desk

        desk = Desk(log, sets)
        caller = runner.run(_caller(settings, user, group))
        pile = runner.run(_pile(desk, sets, workload, eval_set, traffic, "pair" if scale == "pair" else "single"))
        ended = _session(runner, Asked(log, desk, pile, caller, rubric, scale, limit), as_json)
    _tell(ended, pile, caller, as_json)


class Asked(NamedTuple):
    """What a session is about."""

    log: "SqlLog"
    desk: "Desk"
    pile: "Pile"
    caller: "Caller"
    rubric: str
    scale: Scale
    limit: int


@contextmanager
def _opened(runner: asyncio.Runner, settings: "Settings") -> "Iterator[tuple[SqlLog, EvalSets]]":
    from rungwise_server import bootstrap
    from rungwise_server.eval_sets import EvalSets

    database = runner.run(bootstrap.open_house_database(settings))
    try:
        log = bootstrap.open_log(settings, database)
        try:
            yield log, EvalSets(bootstrap.open_kept(database))
        finally:
            runner.run(log.close())
    finally:
        database.close()


async def _caller(settings: "Settings", user: str, groups: Sequence[str] | None) -> "Caller":
    """Who grades. Raises BadParameter for a name that no user can have."""
    from rungwise_server.types import Caller, principal

    name = user
    if not name:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):
            name = ""
    try:
        principal(f"user:{name}")
    except ValueError:
        raise typer.BadParameter(f"{name!r} is no user's name: say who grades", param_hint="--user") from None
    if user:
        return await caller_of(settings, user, groups)
    async with open_keys(settings) as keys:
        mine = [key for key in await keys.list() if key.user == name and not key.revoked_at]
    return Caller(name, frozenset(groups or ()).union(*(key.groups for key in mine)))


async def _pile(desk: "Desk", sets: "EvalSets", workload: str, eval_set: str, traffic: bool, mode: "Mode") -> "Pile":
    """What there is to grade. Raises NotFound where there is nothing."""
    if not (eval_set or traffic):
        try:
            own = await sets.get(workload)
        except NotFound:
            own = None
        pile = await desk.pile(workload, own, mode) if own is not None else None
        if pile is not None and pile.things:
            return pile
    pile = await desk.pile(workload, await sets.get(eval_set) if eval_set else None, mode)
    if not pile.things:
        where = f"to {pile.eval_set.id}" if pile.eval_set else f"in the traffic of {workload!r}"
        if mode == "pair":
            raise NotFound(
                f"No question has different answers of two candidates {where}. "
                f"`rungwise eval run {workload} --candidates A,B` gets them."
            )
        way = f"`rungwise eval run {workload}`" if pile.eval_set else f"`rungwise ask {workload} QUESTION`"
        raise NotFound(f"There are no answers {where} yet: {way} makes some.")
    return pile


def _session(runner: asyncio.Runner, asked: Asked, as_json: bool) -> "Ended":
    from rich.console import Console

    from rungwise_pipelines.grading.keys import reading
    from rungwise_pipelines.grading.screen import Screen
    from rungwise_pipelines.grading.session import Session

    screen = Screen(Console(highlight=False, stderr=as_json))
    pile = asked.pile
    what = pile.eval_set.id if pile.eval_set else f"Traffic of {pile.workload}"
    screen.say(f"{what}, graded by {asked.caller.user}.")
    session = Session(asked.desk, asked.log, pile, asked.caller, asked.rubric, asked.scale, asked.limit)
    with reading() as keys:
        return session.run(runner, keys, screen)


def _tell(ended: "Ended", pile: "Pile", caller: "Caller", as_json: bool) -> None:
    turns, summary = ended.turns, ended.summary
    if as_json:
        import msgspec

        emit(
            {
                "workload": pile.workload,
                "eval_set": pile.eval_set.id if pile.eval_set else None,
                "rubric": summary.rubric,
                "mode": summary.mode,
                "grader": caller.owner,
                "given": ended.given,
                "skipped": ended.skipped,
                "left": turns.left,
                "unreadable": turns.unreadable,
                "candidates": msgspec.to_builtins(summary.standings),
                "people": msgspec.to_builtins(summary.among),
            }
        )
    else:
        skipped = f", {ended.skipped} skipped" if ended.skipped else ""
        say(f"\n{ended.given} graded now{skipped}; {turns.graded} in all, {turns.left} left.")
        graded = [standing for standing in summary.standings if standing.graded]
        if graded:
            say()
            table(
                ("candidate" if summary.mode == "single" else "wins", "quality", "interval", "graded", "of"),
                [
                    (
                        " against ".join(standing.candidates) + (", synthetic" if standing.synthetic else ""),
                        *_percent(standing.quality),
                        str(standing.graded),
                        str(standing.things),
                    )
                    for standing in graded
                ],
            )
        for line in _agreement(summary.among):
            say(line)
    if turns.unreadable:
        note(
            f"{turns.unreadable} are left out: {caller.user} may not read all that they rest on. "
            "--user and --group say who grades."
        )


def _percent(interval: "Interval | None") -> tuple[str, str]:
    if interval is None:
        return ("", "")
    return f"{100 * interval.estimate:.0f} %", f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"


def _agreement(among: "AmongPeople") -> Iterator[str]:
    """How far the people agree who graded the same."""
    if among.agreement is None:
        return
    share, between = _percent(among.agreement)
    yield (
        f"\n{len(among.graders)} people graded. They agree on {share} ({between}) of the {among.things} answers that "
        "several of them graded."
    )
    if among.kappa is not None:
        kappa = among.kappa
        yield f"Cohen's kappa {_number(kappa.estimate)} ({_number(kappa.low)} to {_number(kappa.high)})."
    if among.alpha is not None:
        yield f"Krippendorff's alpha {_number(among.alpha)}."


def _number(value: float) -> str:
    """Two places, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"
