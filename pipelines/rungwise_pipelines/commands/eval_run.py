"""`rungwise eval run`: candidates on an eval set."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.eval_report import Html, Metric, Of, Set, emit_report, show_report, write_page
from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import note

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.job import Order, Prepared
    from rungwise_pipelines.evaluation.run import Outcome, Progress
    from rungwise_server.config.settings import Settings
    from rungwise_server.evals import EvalRun

_ASK_COST, _ASK_SECONDS = 1.0, 600.0
_AGAIN = "Run the same command again: only what is missing is asked."


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
    try:
        whole = asyncio.run(_run(settings, order, yes, metric, html, as_json))
    except KeyboardInterrupt:
        note(f"Stopped. {_AGAIN}")
        raise
    if not whole:
        raise typer.Exit(1)


async def _run(settings: "Settings", order: "Order", yes: bool, metric: str, html: Path | None, as_json: bool) -> bool:
    from rungwise_pipelines.lease import lease

    # Two that ask the same at once would pay for it twice, and the log keeps one.
    with lease(settings.home, "eval", order.workload, f"candidates of {order.workload!r} are being run"):
        return await _run_alone(settings, order, yes, metric, html, as_json)


async def _run_alone(
    settings: "Settings", order: "Order", yes: bool, metric: str, html: Path | None, as_json: bool
) -> bool:
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
    if as_json:
        emit_report(found, outcome)
    else:
        show_report(found, whole=False)
    _advise(ran, outcome, settings.ledger.currency)
    write_page(found, html)
    return not outcome.failures and not outcome.left and not outcome.ungraded


def _foretell(prepared: "Prepared", currency: str) -> None:
    from rungwise_pipelines.progress import duration

    expected = prepared.estimate
    note(f"{prepared.set.id}: {_so_many(len(prepared.examples), 'example')}, {', '.join(prepared.candidates)}.")
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
        unpriced = ", ".join(expected.unpriced)
        other = f"give {unpriced} a `price` in rungwise.yaml" if unpriced else "bound it with --max-cost"
        note(f"Nothing was asked: agree with --yes, or {other}.")
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
    missing = [_so_many(outcome.left, "answer")] if outcome.left else []
    missing += [f"grades of {_so_many(outcome.ungraded, 'answer')}"] if outcome.ungraded else []
    left = f"Missing: {' and '.join(missing) or 'nothing'}"
    match outcome.end:
        case "budget":
            again = _AGAIN if outcome.spent else "Give it a larger one."
            note(f"{left}: it might cost more than --max-cost. {again}")
        case "unpriced":
            note(f"{left}: a price is not known, so --max-cost cannot be kept.")
        case "upstream":
            note(f"{left}: a model stayed away. {_AGAIN}")
        case "done":
            if outcome.failures:
                note(_AGAIN)


def _so_many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _names(given: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in given.split(",")) if name)
