"""`rungwise eval report | compare`: what a run has measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.report import Part, Report
    from rungwise_pipelines.evaluation.run import Outcome
    from rungwise_server.config.settings import Settings
    from rungwise_server.eval_sets import EvalSets

Of = Annotated[str, typer.Argument(help="A workload.", metavar="WORKLOAD")]
Set = Annotated[
    str,
    typer.Option("--set", help="The eval set, or one version of it; else the workload's own.", metavar="NAME[@vN]"),
]
Html = Annotated[Path | None, typer.Option(help="Write a page with a picture, too.", metavar="FILE")]
Metric = Annotated[str, typer.Option(help="Compare by this metric or judge.", metavar="NAME")]


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
    write_page(found, html)
    if as_json:
        emit_report(found)
        return
    show_report(found, whole=True)


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
        raise NotFound(f"{', '.join(sorted(missing))} did not run in {found.run}; there: {', '.join(sorted(there))}.")
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
        if part.pairs:
            table(PAIR_COLUMNS, pair_rows(part))
        else:
            say("There is no pair to compare: it takes two candidates that answered the same examples.")
        say()


def show_report(found: "Report", *, whole: bool) -> None:
    """For people; without `whole` only who is better."""
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


def emit_report(found: "Report", outcome: "Outcome | None" = None) -> None:
    """For programs; of a run that was just made, what came of it too."""
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


def _pairs_json(part: "Part") -> dict[str, object]:
    import msgspec

    told = msgspec.to_builtins(part)
    return {name: told[name] for name in ("origin", "examples", "headline", "pairs")}


def write_page(found: "Report", html: Path | None) -> None:
    """The page, where one is wanted. Raises SetupError."""
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
