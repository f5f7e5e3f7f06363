"""`rungwise sweep`: which settings of a workload are worth their money."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table

if TYPE_CHECKING:
    from rungwise_pipelines.sweep.job import Order
    from rungwise_pipelines.sweep.result import Sweep
    from rungwise_pipelines.sweep.run import Prepared
    from rungwise_server.config.settings import Settings

_ASK_COST, _ASK_SECONDS = 1.0, 600.0


def sweep(
    workload: Annotated[str, typer.Argument(help="A workload.", metavar="WORKLOAD")],
    set: Annotated[
        str,
        typer.Option("--set", help="The eval set, or one version of it; else the workload's own.", metavar="NAME[@vN]"),
    ] = "",
    grid: Annotated[
        Path | None,
        typer.Option(
            help="The settings to try: `candidates`, `passages`, `collections`, `prompts`, each a list, and `routes`, "
            "rules by name. Else each candidate, half and twice the passages, and no retrieval at all.",
            metavar="FILE.yaml",
        ),
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="In place of a file: passages=3,6,12 or prompt=grounded,terse or candidate=a,b or "
            "collections=docs+wiki,docs,none; may be repeated.",
            metavar="NAME=V,W,…",
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="What quality is: a metric of programs (right, contains, f1, exact, declines, grounded, cites), or a "
            "judge by name. Else the first of these metrics that tells something of the examples.",
            metavar="NAME",
        ),
    ] = "",
    max_cost: Annotated[
        float | None, typer.Option(help="Stop before this sweep costs more, judges included.", min=0)
    ] = None,
    optimise_prompt: Annotated[
        int,
        typer.Option(
            help="Have a model rewrite the prompt up to so many times from what went wrong on one half of the "
            "examples. The sweep is run on the other half, with the best of them as one more prompt.",
            min=0,
            max=50,
            metavar="N",
        ),
    ] = 0,
    optimise_with: Annotated[
        str, typer.Option(help="The candidate that rewrites it; else the dearest.", metavar="CANDIDATE")
    ] = "",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Take examples that a model wrote, too, where there are real ones.")
    ] = False,
    level: Annotated[float, typer.Option(help="Of the verdict and every interval.", min=0.5, max=0.999)] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the order of the examples.")] = 0,
    concurrency: Annotated[
        int, typer.Option(help="Answers at once of each candidate, at most; how many is found by trying.", min=1)
    ] = 16,
    yes: Annotated[
        bool, typer.Option("--yes", help=f"Do not ask, though it may cost more than {_ASK_COST:g} or take long.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture, too.", metavar="FILE")] = None,
    diff: Annotated[
        Path | None, typer.Option(help="Write the change of rungwise.yaml here, too.", metavar="FILE")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Try settings of a workload on its eval set, and name the cheapest that is not shown to be worse than the best.

    All answer a few examples first, then more; what is shown to be worse than another that costs no more is asked
    nothing further. Nothing is applied: the choice is printed as a change of rungwise.yaml, to be reviewed.

    What the log has already is not asked for again: stop it at any moment, run it again, and it goes on.

    Exit code 1: it stopped before its end. What to do is said.
    """
    from rungwise_pipelines.evaluation.run import Bounds
    from rungwise_pipelines.sweep.grid import default_grid, grid_of, read_grid
    from rungwise_pipelines.sweep.job import Order
    from rungwise_server.errors import NotFound

    if grid is not None and axis:
        raise typer.BadParameter("give --grid or --axis, not both")
    settings = settings_of(config)
    if workload not in settings.workloads:
        there = ", ".join(settings.workloads)
        raise NotFound(f"There is no workload {workload!r}. There are: {there}.", param="workload")
    if grid is not None:
        chosen = read_grid(grid, settings)
    else:
        chosen = grid_of(axis, settings) if axis else default_grid(settings, settings.workloads[workload])
    order = Order(
        workload=workload,
        set=set or workload,
        grid=chosen,
        metric=metric,
        bounds=Bounds(concurrency, max_cost),
        proposals=optimise_prompt,
        proposer=optimise_with,
        synthetic=synthetic,
        level=level,
        seed=seed,
    )
    try:
        found = asyncio.run(_sweep(settings, order, yes, config))
    except KeyboardInterrupt:
        note("Stopped. Run the same command again to go on: what is answered is not asked for again.")
        raise
    _write(found, html, diff)
    if as_json:
        from rungwise_pipelines.sweep.result import as_json as told

        emit(told(found))
    else:
        _show(found)
    if found.stopped:
        raise typer.Exit(1)


async def _sweep(settings: "Settings", order: "Order", yes: bool, config: Path | None) -> "Sweep":
    from msgspec.structs import replace

    from rungwise_pipelines.progress import on_stderr
    from rungwise_pipelines.sweep.diff import change_of
    from rungwise_pipelines.sweep.job import ready
    from rungwise_pipelines.sweep.run import keep, prepare, run
    from rungwise_server.bootstrap import open_house
    from rungwise_server.config.file import find_file
    from rungwise_server.eval_sets import EvalSets

    house = await open_house(settings, role="rungwise sweep")
    try:
        frozen = [of for of in await EvalSets(house.kept).list() if of.frozen_at]
        tools, task, caution = await ready(house, order, os.environ)
        if task.set.id not in {of.id for of in frozen}:
            note(f"{task.set.id} is frozen now: {task.set.size} examples that never change again.")
        if len(task.examples) < task.set.size:
            left = task.set.size - len(task.examples)
            note(f"{left} examples that a model wrote are left out; --synthetic takes them, too.")
        prepared = await prepare(tools, task)
        _foretell(prepared, settings.ledger.currency)
        _agree(prepared, yes)
        with on_stderr() as shown:
            found, chosen = await run(tools, prepared, shown)
        change = change_of(chosen, settings, order.workload, find_file(config, os.environ), os.environ)
        found = replace(found, change=change, caution=caution)
        await keep(house.kept, found)
        return found
    finally:
        await house.close()


def _foretell(prepared: "Prepared", currency: str) -> None:
    from rungwise_pipelines.progress import duration

    task = prepared.task
    half = f" ({len(prepared.training)} others to rewrite the prompt on)" if prepared.training else ""
    note(f"{task.set.id}: {len(prepared.variants)} settings, {len(prepared.examples)} examples{half}.")
    for variant in prepared.variants:
        note(f"  {variant.name}")
    unknown = f" without {', '.join(prepared.unpriced)}, whose price is not known" if prepared.unpriced else ""
    note(
        f"At most {prepared.answers:,} answers, about {currency} {prepared.cost:,.2f}{unknown}, "
        f"{duration(max(1, prepared.seconds))}; what is dropped early is spared. Rounds: "
        f"{', '.join(map(str, prepared.sizes))} examples."
    )


def _agree(prepared: "Prepared", yes: bool) -> None:
    """Raises typer.Exit where a person must agree and does not."""
    most = prepared.task.bounds.max_cost
    if most is not None and prepared.unpriced:
        note(
            f"--max-cost cannot be kept: the price of {', '.join(prepared.unpriced)} is not known. Give the candidate "
            "a `price` in rungwise.yaml."
        )
        raise typer.Exit(1)
    dear = most is None and (prepared.cost > _ASK_COST or prepared.unpriced)
    if yes or not (dear or prepared.seconds > _ASK_SECONDS):
        return
    if not sys.stdin.isatty():
        note("Nothing was asked: agree with --yes, or bound it with --max-cost.")
        raise typer.Exit(1)
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)


def _show(found: "Sweep") -> None:
    from rungwise_pipelines.sweep.show import COLUMNS, lines_of, rows_of

    table(COLUMNS, rows_of(found))
    say()
    for line in lines_of(found):
        say(line)
    if found.change:
        say("\nTo review, and to apply where you agree (`patch -p1 < FILE`, in the folder of rungwise.yaml):\n")
        say(found.change.rstrip("\n"))
    say(f"\nSweep {found.id}: {found.metric} on {found.set_id}.")


def _write(found: "Sweep", html: Path | None, diff: Path | None) -> None:
    from rungwise_pipelines.sweep.page import page_of
    from rungwise_server.errors import SetupError

    written: Sequence[tuple[Path | None, str]] = ((html, page_of(found)), (diff, found.change))
    for file, text in written:
        if file is None:
            continue
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{file} cannot be written: {error.strerror}.") from None
        note(f"Written to {file}.")
