"""`rungwise eval new | add | list | show | freeze | remove | export`: the questions that candidates are asked."""

import asyncio
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.eval_examples import (
    COLUMNS,
    newest,
    next_steps,
    opened,
    rows_of,
    short,
    take_in,
    tell_unknown,
)
from rungwise_pipelines.commands.options import As, Config, Group, Json, caller_of, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import NotFound, SetupError

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.read import Handed
    from rungwise_server.config.settings import Settings
    from rungwise_server.eval_sets import EvalSets
    from rungwise_server.evals import EvalSet, Example

Workload = Annotated[str, typer.Argument(help="The workload that is asked.", metavar="WORKLOAD")]
Name = Annotated[str, typer.Option("--name", help="The set's name; else the workload's.")]
Set = Annotated[str, typer.Argument(help="A set: the newest version, or NAME@v3.", metavar="SET")]
Draft = Annotated[str, typer.Argument(help="The set whose draft it is about.", metavar="SET")]


def new(
    workload: Workload,
    from_log: Annotated[
        int, typer.Option(help="Propose so many real questions of the workload's log.", min=0, max=5000)
    ] = 0,
    from_docs: Annotated[
        int, typer.Option(help="Let a model write so many questions from passages; they count separately.", min=0)
    ] = 0,
    name: Name = "",
    seed: Annotated[int, typer.Option(help="Another one proposes others; the same one the same.")] = 0,
    since: Annotated[
        datetime.datetime | None,
        typer.Option(
            "--since",
            help="Only questions from then on.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            show_default=False,
        ),
    ] = None,
    candidate: Annotated[
        str, typer.Option(help="With --from-docs: who writes; else the workload's first that generates.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="With --from-docs: do not ask before money is spent.")] = False,
    user: As = "",
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Propose examples for a draft: real questions, spread over topics, difficulty and callers, each with its reason.

    Real questions are asked as whoever asked them. With --from-docs, only passages that `--as` may read are used.
    """
    if not from_log and not from_docs:
        raise typer.BadParameter("say how many: --from-log 50 for real questions, --from-docs 30 for written ones")
    settings = settings_of(config)
    _known(settings, workload)
    name = name or workload
    if from_log:
        from rungwise_pipelines.commands.eval_log import from_log as propose_from_log

        asyncio.run(propose_from_log(settings, workload, name, from_log, seed, since, as_json))
    if from_docs:
        from rungwise_pipelines.commands.eval_docs import from_documents

        asyncio.run(from_documents(settings, workload, name, from_docs, seed, candidate, yes, user, group, as_json))


def add(
    workload: Workload,
    file: Annotated[
        Path | None,
        typer.Argument(
            help='.csv or .jsonl, also .gz: "question" or "messages"; "reference", "gold", "answerable", "as", "topic" '
            "where they are known.",
            metavar="[FILE]",
        ),
    ] = None,
    question: Annotated[str, typer.Option(help="In place of FILE: one question.")] = "",
    reference: Annotated[str, typer.Option(help="With --question: the right answer.")] = "",
    gold: Annotated[
        list[str] | None, typer.Option(help="With --question: the id of a document that holds it; may be repeated.")
    ] = None,
    unanswerable: Annotated[
        bool, typer.Option("--unanswerable", help="With --question: it is right to say that the documents do not say.")
    ] = False,
    name: Name = "",
    user: As = "",
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add examples of your own to the draft. One that is there is brought up to date with what is said here.

    An example without "as" is asked as `--as` and `--group` say.
    """
    if bool(question) == (file is not None):
        raise typer.BadParameter("give either FILE or --question")
    if file is not None and (reference or gold or unanswerable):
        raise typer.BadParameter("--reference, --gold and --unanswerable go with --question; a FILE says them itself")
    from rungwise_pipelines.evaluation.read import by_hand, read_examples

    settings = settings_of(config)
    _known(settings, workload)
    if file is None:
        handed: Sequence[Handed] = [by_hand(question, reference, gold or (), False if unanswerable else None)]
    else:
        contents = read_examples(file)
        handed = contents.examples
        if contents.ignored:
            note(f"Not read, since they mean nothing here: {', '.join(contents.ignored)}.")
    asyncio.run(_add(settings, workload, name or workload, handed, user, group, as_json))


def list_(config: Config = None, as_json: Json = False) -> None:
    """List all sets with their versions."""
    asyncio.run(_list(settings_of(config), as_json))


def show(ref: Set, config: Config = None, as_json: Json = False) -> None:
    """Show a set's examples: real ones first, those that a model wrote apart from them."""
    asyncio.run(_show(settings_of(config), ref, as_json))


def freeze(name: Draft, config: Config = None, as_json: Json = False) -> None:
    """Make the draft a version that never changes, with the hash of what it holds.

    Refused where training data has a question that is nearly the same as one of its examples.
    """
    asyncio.run(_freeze(settings_of(config), name, as_json))


def remove(
    name: Draft,
    ids: Annotated[list[str], typer.Argument(help="Examples, as `show` names them.", metavar="ID")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take examples out of the draft; versions that are frozen keep theirs."""
    asyncio.run(_remove(settings_of(config), name, ids, as_json))


def export(
    ref: Set,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; else standard output.", metavar="F.jsonl")
    ] = None,
    config: Config = None,
) -> None:
    """Write a set's examples as JSON lines, as `rungwise eval add` reads them."""
    asyncio.run(_export(settings_of(config), ref, output))


def _known(settings: "Settings", workload: str) -> None:
    if workload not in settings.workloads:
        raise NotFound(f"There is no workload {workload!r}. There are: {', '.join(settings.workloads)}.")


async def _add(
    settings: "Settings",
    workload: str,
    name: str,
    handed: "Sequence[Handed]",
    user: str,
    group: Sequence[str] | None,
    as_json: bool,
) -> None:
    from rungwise_pipelines.evaluation.duplicates import distinct
    from rungwise_pipelines.evaluation.read import as_line

    callers = {"": await caller_of(settings, user, group)}
    for asker in {one.user for one in handed} - {""}:
        callers[asker] = await caller_of(settings, asker, None)
    async with opened(settings) as (sets, database):
        current = await newest(sets, name)
        had = await sets.examples(current) if current else ()
        by_id = {example.id: example for example in had}
        examples = [one.example(callers[one.user]) for one in handed]
        examples = [_updated(by_id[one.id], one) if one.id in by_id else one for one in examples]
        kept, left = distinct(examples, had)
        for one, other in left:
            note(f"Left out, since it is nearly the same as {other.id}: {short(one.question)}")
        drafted, added, refused = await take_in(settings, sets, name, workload, kept)
        await tell_unknown(settings, database, workload, added)
    changed = sum(one.id in by_id for one in added)
    if as_json:
        emit(
            {
                "set": drafted.id,
                "added": len(added) - changed,
                "changed": changed,
                "near": [one.id for one, _ in left],
                "refused": [one.example.id for one in refused],
                "examples": [as_line(one) for one in added],
            }
        )
        return
    say(
        f"{len(added) - changed} added and {changed} brought up to date in {drafted.id}, which has {drafted.size} "
        f"({drafted.synthetic} written by a model)."
    )
    next_steps(drafted)


def _updated(old: "Example", new: "Example") -> "Example":
    """`old` with what `new` says beyond it; where it is from stays."""
    from msgspec.structs import replace

    return replace(
        old,
        reference=new.reference or old.reference,
        gold=new.gold or old.gold,
        answerable=old.answerable if new.answerable is None else new.answerable,
        topic=new.topic or old.topic,
        why=new.why or old.why,
        weight=old.weight if new.weight == 1.0 else new.weight,
    )


async def _list(settings: "Settings", as_json: bool) -> None:
    async with opened(settings) as (sets, _):
        found = await sets.list()
    if as_json:
        for one in found:
            emit(_told(one))
        return
    if not found:
        say("There is no eval set yet. `rungwise eval new WORKLOAD --from-log 50` proposes one.")
        return
    rows = [
        (
            one.id,
            one.workload,
            f"frozen {_day(one.frozen_at)}" if one.frozen_at else "draft",
            str(one.size - one.synthetic),
            str(one.synthetic),
            one.hash[:12],
        )
        for one in found
    ]
    table(("set", "workload", "state", "real", "synthetic", "hash"), rows)


async def _show(settings: "Settings", ref: str, as_json: bool) -> None:
    from rungwise_pipelines.evaluation.read import as_line

    async with opened(settings) as (sets, _):
        of = await sets.get(ref)
        examples = await sets.examples(of)
        last = await newest(sets, of.name)
    real = [one for one in examples if not one.synthetic]
    written = [one for one in examples if one.synthetic]
    if as_json:
        emit({**_told(of), "examples": [as_line(e) for e in real], "synthetic_examples": [as_line(e) for e in written]})
        return
    state = f"frozen {_day(of.frozen_at)}, hash {of.hash[:12]}" if of.frozen_at else "a draft"
    say(f"{of.id}, asked of {of.workload}: {state}")
    for title, part in (("real", real), ("written by a model", written)):
        if part:
            say(f"\n{len(part)} {title}")
            table(COLUMNS, rows_of(sorted(part, key=lambda one: -one.weight)))
    if last is not None and last.version > of.version:
        note(f"There is a draft of the next version, with {last.size}: `rungwise eval show {last.id}`.")


async def _freeze(settings: "Settings", name: str, as_json: bool) -> None:
    from rungwise_pipelines.evaluation.freezing import freeze_untrained

    async with opened(settings) as (sets, _):
        drafted = await _draft_of(sets, name)
        if drafted is None:
            frozen = await sets.get(name)
            note(f"{name} has no draft; its newest version is {frozen.id}.")
        else:
            frozen = await freeze_untrained(sets, drafted, settings.home)
            if frozen.version < drafted.version:
                note(f"The draft holds what {frozen.id} holds, so that stays the newest version.")
    if as_json:
        emit(_told(frozen))
    else:
        say(
            f"{frozen.id} is frozen: {frozen.size - frozen.synthetic} real, {frozen.synthetic} synthetic, hash "
            f"{frozen.hash[:12]}."
        )


async def _remove(settings: "Settings", name: str, ids: Sequence[str], as_json: bool) -> None:
    async with opened(settings) as (sets, _):
        current = await newest(sets, name.partition("@")[0])
        if current is None:
            current = await sets.get(name)  # says what there is
        unknown = set(ids) - {one.id for one in await sets.examples(current)}
        if unknown:
            raise NotFound(f"{current.id} has no {', '.join(sorted(unknown))}. Nothing was removed.")
        drafted = await sets.draft(current.name, current.workload)
        gone = await sets.remove(drafted, ids)
        drafted = await sets.get(drafted.id)
    if as_json:
        emit({"set": drafted.id, "removed": gone, "size": drafted.size})
    else:
        say(f"{gone} removed from {drafted.id}, which has {drafted.size}.")


async def _export(settings: "Settings", ref: str, output: Path | None) -> None:
    from rungwise_pipelines.evaluation.read import as_line

    async with opened(settings) as (sets, _):
        of = await sets.get(ref)
        examples = await sets.examples(of)
    if output is None:
        for one in examples:
            emit(as_line(one))
        return
    try:
        with output.open("w", encoding="utf-8") as file:
            for one in examples:
                file.write(json.dumps(as_line(one), ensure_ascii=False) + "\n")
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}.") from None
    note(f"{len(examples)} of {of.id} written to {output}.")


async def _draft_of(sets: "EvalSets", name: str) -> "EvalSet | None":
    wanted, _, version = name.partition("@")
    last = await newest(sets, wanted)
    if last is None or (version and last.id != name):
        last = await sets.get(name)  # says what there is
    return None if last.frozen_at else last


def _told(of: "EvalSet") -> dict[str, object]:
    return {
        "set": of.id,
        "name": of.name,
        "version": of.version,
        "workload": of.workload,
        "state": "frozen" if of.frozen_at else "draft",
        "real": of.size - of.synthetic,
        "synthetic": of.synthetic,
        "created_at": of.created_at,
        "frozen_at": of.frozen_at or None,
        "hash": of.hash or None,
    }


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).isoformat(" ", "minutes")
