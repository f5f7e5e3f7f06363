"""What the verbs on eval sets share: opening the sets, taking examples in, showing them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rungwise_pipelines.commands.output import note

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.duplicates import Refused
    from rungwise_server.config.settings import Settings
    from rungwise_server.database import Database
    from rungwise_server.eval_sets import EvalSets
    from rungwise_server.evals import EvalSet, Example

_TOLD = 20
_SHORT = 100
"""Characters of a question in a table."""


@asynccontextmanager
async def opened(settings: "Settings") -> "AsyncIterator[tuple[EvalSets, Database]]":
    """The eval sets, and the database that they are in."""
    from rungwise_server import bootstrap
    from rungwise_server.eval_sets import EvalSets

    database = await bootstrap.open_house_database(settings)
    try:
        yield EvalSets(bootstrap.open_kept(database)), database
    finally:
        database.close()


async def newest(sets: "EvalSets", name: str) -> "EvalSet | None":
    """The set's draft, or its newest version where there is none."""
    return max((one for one in await sets.list() if one.name == name), key=lambda one: one.version, default=None)


async def take_in(
    settings: "Settings", sets: "EvalSets", name: str, workload: str, examples: "Sequence[Example]"
) -> "tuple[EvalSet, Sequence[Example], list[Refused]]":
    """Add to the draft what no training data has; the draft, what was new or changed, what was refused."""
    from rungwise_pipelines.evaluation.duplicates import refuse, training_files

    kept, refused = await asyncio.to_thread(refuse, examples, training_files(settings.home))
    tell_refused(refused)
    drafted = await sets.draft(name, workload)
    added = await sets.add(drafted, kept, update=True)
    return await sets.get(drafted.id), added, refused


def tell_refused(refused: "Sequence[Refused]") -> None:
    """Name what was trained on."""
    for one in refused:
        note(f"Refused, since it was trained on ({one.file}:{one.line}): {short(one.example.question)}")


async def tell_unknown(
    settings: "Settings", database: "Database", workload: str, examples: "Sequence[Example]"
) -> None:
    """Name gold documents that the workload does not have: each counts as never found."""
    from difflib import get_close_matches

    from rungwise_pipelines.evaluation.passages import ids_of

    gold = {document for one in examples for document in one.gold}
    collections = settings.workloads[workload].collections
    if not gold or not collections:
        return
    there = await ids_of(database, collections)
    for document in sorted(gold - there)[:_TOLD]:
        ends = sorted(id for id in there if document.endswith(f"/{id}") or id.endswith(f"/{document}"))
        near = ends or get_close_matches(document, there, n=1)
        hint = f" Is it {near[0]!r}?" if near else ""
        note(f"There is no document {document!r} in {', '.join(collections)}: it counts as never found.{hint}")


def next_steps(drafted: "EvalSet") -> None:
    """What to do with a draft."""
    note(
        f"Look at it with `rungwise eval show {drafted.id}`, take out what does not belong with `rungwise eval remove "
        f"{drafted.name} ID`, then `rungwise eval freeze {drafted.name}`."
    )


def rows_of(examples: "Sequence[Example]") -> list[tuple[str, ...]]:
    """Examples in a table for people."""
    return [
        (
            one.id,
            short(one.question),
            one.caller.owner + "".join(f", {group}" for group in sorted(one.caller.groups)),
            _known_of(one),
            one.topic,
            one.why,
            f"{one.weight:,.1f}",
        )
        for one in examples
    ]


COLUMNS = ("id", "question", "asked by", "known", "topic", "why", "weight")


def _known_of(one: "Example") -> str:
    """What is known of the right answer."""
    said = ["reference"] if one.reference else []
    said += [f"gold: {', '.join(one.gold)}"] if one.gold else []
    said += ["unanswerable"] if one.answerable is False else []
    return "; ".join(said)


def short(text: str) -> str:
    """The text in one line, its end left out where that is long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
