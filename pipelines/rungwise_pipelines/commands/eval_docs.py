"""`rungwise eval new --from-docs`: questions that a model writes from passages."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import typer

from rungwise_pipelines.commands.eval_examples import COLUMNS, newest, next_steps, rows_of, tell_refused
from rungwise_pipelines.commands.options import caller_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import NotFound, SetupError, UpstreamError

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.write import Cost, Tally
    from rungwise_server.config.settings import Settings
    from rungwise_server.evals import EvalSet, Example
    from rungwise_server.types import Passage

_LOOKED_AT = 20
"""Passages that the estimate is made from."""


async def from_documents(
    settings: "Settings",
    workload: str,
    name: str,
    count: int,
    seed: int,
    candidate: str,
    yes: bool,
    user: str,
    group: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Let a model write `count` questions, and add them to the draft."""
    from rungwise_pipelines.evaluation.duplicates import refuse, training_files
    from rungwise_pipelines.evaluation.passages import documents_of, passages_of
    from rungwise_pipelines.evaluation.write import Writer, cost_of, first
    from rungwise_pipelines.progress import on_stderr
    from rungwise_server.bootstrap import open_house
    from rungwise_server.eval_sets import EvalSets

    collections = settings.workloads[workload].collections
    if not collections:
        raise SetupError(
            f"The workload {workload!r} has no collections: there are no passages to write questions from."
        )
    candidate = writer_of(settings, workload, candidate)
    caller = await caller_of(settings, user, group)
    house = await open_house(settings, role="rungwise eval new")
    try:
        documents = await documents_of(house.database, collections, caller)
        passages = passages_of(house.index, documents, caller, seed)
        looked_at = [passage async for passage in first(passages, _LOOKED_AT)]
        if not looked_at:
            raise NotFound(
                f"There is no passage in {', '.join(collections)} that {caller.owner} may read. Fill it with `rungwise "
                "ingest`, or name somebody who may read it with --as or --group."
            )
        _agree(cost_of(count, looked_at, house.engine.candidates[candidate].price), candidate, yes)
        sets = EvalSets(house.kept)
        current = await newest(sets, name)
        had = await sets.examples(current) if current else ()
        writer = Writer(house.engine, workload, candidate, caller)
        written: list[Example] = []
        with on_stderr() as shown:
            shown.begin("questions", count, label=candidate)
            async for examples in writer.write(_chained(looked_at, passages), count, had):
                # At once: whoever stops this keeps what was paid for.
                written += await sets.add(await sets.draft(name, workload), examples)
                shown.advance(len(written))
            shown.end()
        tally = writer.tally
        if not written:
            raise _nothing(tally, candidate)
        drafted = await sets.draft(name, workload)
        kept, refused = await asyncio.to_thread(refuse, written, training_files(settings.home))
        tell_refused(refused)
        await sets.remove(drafted, [one.example.id for one in refused])
        drafted = await sets.get(drafted.id)
    finally:
        await house.close()
    _tell(candidate, len(documents), tally, drafted, kept, [one.example.id for one in refused], as_json)


def _tell(
    candidate: str,
    documents: int,
    tally: "Tally",
    drafted: "EvalSet",
    kept: "Sequence[Example]",
    refused: Sequence[str],
    as_json: bool,
) -> None:
    from rungwise_pipelines.evaluation.read import as_line

    if as_json:
        emit(
            {
                "set": drafted.id,
                "synthetic": True,
                "candidate": candidate,
                "documents": documents,
                "tried": tally.tried,
                "dropped": dict(tally.dropped),
                "unfound": tally.unfound,
                "trouble": tally.trouble,
                "refused": list(refused),
                "examples": [as_line(one) for one in kept],
            }
        )
        return
    table(COLUMNS, rows_of(kept))
    say()
    say(
        f"{len(kept)} synthetic questions, written by {candidate} from {tally.tried} passages of {documents:,} "
        f"documents, added to {drafted.id}: {drafted.size - drafted.synthetic} real, {drafted.synthetic} synthetic."
    )
    for reason, times in tally.dropped.most_common():
        say(f"Dropped: {times}, {reason}.")
    if tally.unfound:
        say(f"Of {tally.unfound} the workload's search does not find the passage; each says so.")
    if tally.trouble:
        note(f"It ended early: {tally.trouble}")
    next_steps(drafted)


def writer_of(settings: "Settings", workload: str, candidate: str) -> str:
    """Who writes: `candidate`, or the workload's first that generates. Raises NotFound, SetupError."""
    able = [name for name in settings.workloads[workload].candidates if settings.candidates[name].kind != "extractive"]
    if candidate:
        if candidate not in settings.candidates:
            raise NotFound(f"There is no candidate {candidate!r}. There are: {', '.join(settings.candidates)}.")
        if settings.candidates[candidate].kind == "extractive":
            raise SetupError(f"{candidate!r} answers in the documents' own sentences and can write no questions.")
        return candidate
    if not able:
        raise SetupError(
            f"Nobody can write questions: no candidate of {workload!r} generates. Give it one (a model of kind "
            "openai_compatible or litellm under `candidates`; OPENAI_API_KEY, ANTHROPIC_API_KEY or VLLM_URL where "
            "there is no configuration), or name one with --candidate. Real questions need none: --from-log."
        )
    return able[0]


def _agree(cost: "Cost", candidate: str, yes: bool) -> None:
    money = "its price is not known" if cost.money is None else f"about {cost.money:,.4f}"
    note(
        f"About {cost.calls} calls of {candidate}: {cost.input_tokens:,} tokens in, {cost.output_tokens:,} out, "
        f"{money}."
    )
    if yes or cost.money == 0:
        return
    if not sys.stdin.isatty():
        note("Nothing was asked: agree with --yes.")
        raise typer.Exit(1)
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)


def _nothing(tally: "Tally", candidate: str) -> UpstreamError:
    reasons = "; ".join(f"{times} times: {reason}" for reason, times in tally.dropped.most_common())
    return UpstreamError(
        f"{candidate} wrote no question that could be taken. {tally.trouble or reasons} Try another with --candidate."
    )


async def _chained(begun: "Sequence[Passage]", others: "AsyncIterator[Passage]") -> "AsyncIterator[Passage]":
    for passage in begun:
        yield passage
    async for passage in others:
        yield passage
