"""`rungwise eval run | report | compare`: candidates on an eval set, and what came of it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.job import Order, Prepared
    from rungwise_pipelines.evaluation.report import Report
    from rungwise_pipelines.evaluation.run import Outcome, Progress
    from rungwise_server.config.settings import Settings
    from rungwise_server.eval_sets import EvalSets
    from rungwise_server.evals import EvalRun

_ASK_COST, _ASK_SECONDS = 1.0, 600.0

Of = Annotated[str, typer.Argument(help="A workload.", metavar="WORKLOAD")]
Set = Annotated[
    str,
    typer.Option("--set", help="The eval set, or one version of it; else the workload's own.", metavar="NAME[@vN]"),
]
Html = Annotated[Path | None, typer.Option(help="Write a page with a picture, too.", metavar="FILE")]
Metric = Annotated[str, typer.Option(help="Compare by this metric or judge.", metavar="NAME")]


def run(
    workload: Of,
    set: Set = "",
    candidates: Annotated[
        str,
        typer.Option(
            help="Who is to answer; `route`: whoever the workload's route chooses. Else all of the workload's.",
            metavar="A,B,…",
        ),
    ] = "",
    judges: Annotated[
        str,
        typer.Option(help="Who grades the answers; `none`: nobody. Else all of the configuration's.", metavar="J,K,…"),
    ] = "",
    rubric: Annotated[str, typer.Option(help="Only judges of this rubric.")] = "",
    concurrency: Annotated[
        int, typer.Option(help="Answers at once of each candidate, at most; how many is found by trying.", min=1)
    ] = 16,
    max_cost: Annotated[float | None, typer.Option(help="Stop before this run costs more.", min=0)] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Do not ask, though it costs more than {_ASK_COST:g} or takes long.")
    ] = False,
    metric: Metric = "",
    html: Html = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let candidates answer an eval set, through the same engine as everybody, and say who is better.

    A draft is frozen first. Answers that the log has already, to the same question with the same passages by the same
    model, are not asked for again: stop it at any moment, run it again, and only what is missing is asked.

    Exit code 1: some examples have no answer, or the run stopped before its end.
    """
    from rungwise_pipelines.evaluation.job import Order

    settings = settings_of(config)
    order = Order(
        workload=workload,
        set=set,
        candidates=_names(candidates),
        judges=_names(judges),
        rubric=rubric,
        concurrency=concurrency,
        max_cost=max_cost,
    )
    whole = asyncio.run(_run(settings, order, yes, metric, html, as_json))
    if not whole:
        raise typer.Exit(1)


def report(
    workload: Of,
    run: Annotated[str, typer.Argument(help="A run's id; else the newest.", metavar="[RUN]")] = "",
    set: Set = "",
    metric: Metric = "",
    html: Html = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say what a run has measured: candidates, topics, and the examples that went worst."""
    settings = settings_of(config)
    found = asyncio.run(_report(settings, set or workload, run, metric))
    _write(found, html)
    if as_json:
        _emit(found)
        return
    _show(found, whole=True)


def compare(
    workload: Of,
    first: Annotated[str, typer.Argument(help="A candidate; else all pairs.", metavar="[A]")] = "",
    second: Annotated[str, typer.Argument(help="Another one.", metavar="[B]")] = "",
    run: Annotated[str, typer.Option("--run", help="A run's id; else the newest.", metavar="RUN")] = "",
    set: Set = "",
    metric: Metric = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Hold candidates against each other on the same examples: how far apart, by chance or not, and what would tell."""
    import msgspec

    from rungwise_pipelines.evaluation.words import PAIR_COLUMNS, lines_of, pair_rows
    from rungwise_server.errors import NotFound

    found = asyncio.run(_report(settings_of(config), set or workload, run, metric))
    asked = {name for name in (first, second) if name}
    there = {one.candidate for part in found.parts for one in part.standings}
    if missing := asked - there:
        raise NotFound(f"{', '.join(missing)} did not run in {found.run}; there: {', '.join(sorted(there))}.")
    parts = [
        msgspec.structs.replace(
            part,
            pairs={
                name: tuple(pair for pair in pairs if asked <= {pair.first, pair.second})
                for name, pairs in part.pairs.items()
                if metric in ("", name)
            },
        )
        for part in found.parts
    ]
    if as_json:
        emit({"run": found.run, "set": found.set, "parts": [_pairs_json(part) for part in parts]})
        return
    for part in parts:
        for line in lines_of(part):
            say(line)
        table(PAIR_COLUMNS, pair_rows(part))
        say()


async def _run(settings: "Settings", order: "Order", yes: bool, metric: str, html: Path | None, as_json: bool) -> bool:
    from rungwise_pipelines.evaluation.job import carry_out, prepare
    from rungwise_pipelines.evaluation.report import report_of
    from rungwise_pipelines.progress import on_stderr
    from rungwise_server.bootstrap import open_house

    house = await open_house(settings, role="rungwise eval")
    try:
        prepared = await prepare(house, order)
        if prepared.froze:
            note(f"{prepared.set.id} is frozen now: {prepared.set.size} examples that never change again.")
        _foretell(prepared, settings.ledger.currency)
        _agree(prepared, yes)
        with on_stderr() as shown:
            part = ""

            def told(progress: "Progress") -> None:
                nonlocal part
                if progress.part != part:
                    part = progress.part
                    shown.begin(part, progress.total, done=progress.reused)
                shown.advance(progress.done, _far(progress, settings.ledger.currency))

            ran, outcome = await carry_out(house, prepared, told)
            shown.end()
    finally:
        await house.close()
    found = report_of(ran, prepared.set, prepared.examples, metric)
    _write(found, html)
    if as_json:
        _emit(found, outcome)
    else:
        _show(found, whole=False)
    _advise(ran, outcome, settings.ledger.currency)
    return not outcome.failures and not outcome.left and not outcome.ungraded


def _foretell(prepared: "Prepared", currency: str) -> None:
    from rungwise_pipelines.progress import duration

    expected = prepared.estimate
    note(f"{prepared.set.id}: {len(prepared.examples)} examples, {len(prepared.candidates)} candidates.")
    for one in expected.candidates:
        cost = "price unknown" if one.cost is None else f"about {currency} {one.cost:,.2f}"
        reused = f"{one.reused} in the log already, " if one.reused else ""
        tokens = f"{one.input_tokens:,} + {one.output_tokens:,} tokens, " if one.asked else ""
        note(f"  {one.candidate}: {reused}{one.asked} to ask, {tokens}{cost}")
    for judge in expected.judges:
        cost = "price unknown" if judge.each is None else f"at most about {currency} {judge.grades * judge.each:,.2f}"
        note(f"  judge {judge.judge}: {judge.grades} answers, {cost}")
    if expected.seconds >= 1 or expected.cost:
        note(f"  together about {currency} {expected.cost:,.2f}, {duration(max(1, expected.seconds))}")


def _agree(prepared: "Prepared", yes: bool) -> None:
    """Raises typer.Exit where a person must agree and does not."""
    expected, most = prepared.estimate, prepared.order.max_cost
    if most is not None and expected.unpriced:
        note(
            f"--max-cost cannot be kept: the price of {', '.join(expected.unpriced)} is not known. Give the candidate "
            "a `price` in rungwise.yaml."
        )
        raise typer.Exit(1)
    dear = most is None and (expected.cost > _ASK_COST or expected.unpriced)
    if yes or not (dear or expected.seconds > _ASK_SECONDS):
        return
    if not sys.stdin.isatty():
        note("Nothing was asked: agree with --yes, or bound it with --max-cost.")
        raise typer.Exit(1)
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)


def _far(progress: "Progress", currency: str) -> str:
    parts = [f"{currency} {progress.spent:,.4f}"] if progress.spent else []
    if progress.running:
        parts.append(f"{progress.running} at once")
    if progress.trouble:
        parts.append(f"retrying: {progress.trouble[:100]}")
    return ", ".join(parts)


def _show(found: "Report", *, whole: bool) -> None:
    from rungwise_pipelines.evaluation import words

    for part in found.parts:
        table(words.columns_of(part), words.rows_of(part))
        say()
        for line in words.lines_of(part):
            say(line)
        if not whole:
            say()
            continue
        if topics := list(words.topic_rows(part)):
            say()
            table(("topic", "n", *(one.candidate for one in part.standings)), topics)
        if worst := list(words.worst_rows(part)):
            say("\nWorst:")
            table(("example", "question", part.headline, "inferences"), worst)
        say()
    for line in words.failures_of(found) if whole else ():
        say(line)
    say(f"Run {found.run} on {found.set}. Intervals are of 95 %; p-values are corrected for all pairs.")


def _advise(ran: "EvalRun", outcome: "Outcome", currency: str) -> None:
    from rungwise_pipelines.progress import duration

    note(
        f"{outcome.asked:,} asked, {outcome.reused:,} from the log, {duration(outcome.seconds)}"
        + (f", {currency} {outcome.spent:,.4f}" if outcome.spent else "")
    )
    for failure in outcome.failures[:20]:
        note(f"{failure.who} on {failure.example}: {failure.why}")
    if len(outcome.failures) > 20:
        note(f"and {len(outcome.failures) - 20:,} more")
    again = "Run the same command again: only what is missing is asked."
    left = f"{outcome.left:,} answers and the grades of {outcome.ungraded:,} are missing"
    match outcome.end:
        case "budget":
            note(f"{left}: they might cost more than --max-cost. {again}")
        case "unpriced":
            note(f"{left}: a price is not known, so --max-cost cannot be kept.")
        case "upstream":
            note(f"{left}: a model stayed away. {again}")
        case "done":
            if outcome.failures:
                note(again)


def _emit(found: "Report", outcome: "Outcome | None" = None) -> None:
    import msgspec

    told = msgspec.to_builtins(found)
    if outcome is not None:
        told |= {
            "end": outcome.end,
            "asked": outcome.asked,
            "reused": outcome.reused,
            "left": outcome.left,
            "ungraded": outcome.ungraded,
            "spent": outcome.spent,
            "failures": msgspec.to_builtins(outcome.failures),
        }
    emit(told)


def _pairs_json(part: object) -> dict[str, object]:
    import msgspec

    told = msgspec.to_builtins(part)
    return {name: told[name] for name in ("origin", "examples", "headline", "pairs")}


def _write(found: "Report", html: Path | None) -> None:
    from rungwise_pipelines.evaluation.page import page_of
    from rungwise_server.errors import SetupError

    if html is None:
        return
    try:
        html.write_text(page_of(found), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}.") from None
    note(f"Written to {html}.")


async def _report(settings: "Settings", name: str, run: str, metric: str) -> "Report":
    from rungwise_pipelines.evaluation.job import find_run
    from rungwise_pipelines.evaluation.report import report_of

    async with _sets(settings) as sets:
        ran, of, examples = await find_run(sets, name, run)
    return report_of(ran, of, examples, metric)


@asynccontextmanager
async def _sets(settings: "Settings") -> "AsyncIterator[EvalSets]":
    """The eval sets, and nothing else of the house."""
    from rungwise_server.bootstrap import open_house_database, open_kept
    from rungwise_server.eval_sets import EvalSets

    database = await open_house_database(settings)
    try:
        yield EvalSets(open_kept(database))
    finally:
        database.close()


def _names(given: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in given.split(",")) if name)
