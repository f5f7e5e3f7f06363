"""`rungwise ingest`: documents into the index, as often as one likes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, table

if TYPE_CHECKING:
    from rungwise_connectors.sandbox import Parser
    from rungwise_pipelines.ingest.report import IngestReport, SourceReport
    from rungwise_pipelines.ingest.sync import Source
    from rungwise_server.config.settings import Settings
    from rungwise_server.protocols import Embedder

_SHOWN = 50
"""Failures told to a person; --json has them all."""

_RETRY_SECONDS = 10.0
"""Between two attempts at a round while watching, when a part of the house is away."""


def ingest(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Sources of the configuration; all where none is named.", metavar="SOURCE"),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(help="A folder, a file, or records as .jsonl or .jsonl.gz.", metavar="PATH"),
    ] = None,
    collection: Annotated[
        str, typer.Option(help="With --path: the collection to fill; else `default`.", metavar="NAME")
    ] = "",
    readers: Annotated[
        str,
        typer.Option(
            help="With --path: who may read documents that do not say it themselves: everyone, or groups (finance) "
            "and users (user:ana) with commas between them.",
            metavar="everyone|GROUP,...",
        ),
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and ingest again whenever files change.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Empty the collections first, for another embedder.")
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Believe at once a source that has lost nearly all its documents."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Bring the index up to date with its sources: what is new, changed or gone, and nothing else.

    Safe to stop at any time: the next run goes on from there.

    Exit code 1: some documents could not be read. They are named at the end and tried again in the next run.
    """
    from rungwise_pipelines.ingest.sources import configured, from_path

    if path is None and (collection or readers):
        raise typer.BadParameter("--collection and --readers go with --path; sources have theirs in rungwise.yaml")
    if path is not None and names:
        raise typer.BadParameter("give either SOURCE names or --path")
    settings = settings_of(config)
    if path is not None:
        given = [name.strip() for name in readers.split(",") if name.strip()]
        sources = [from_path(path, collection or "default", given)]
    else:
        sources = configured(settings, names or [])
    if not sources:
        raise typer.BadParameter(
            "no sources are configured: give --path FOLDER --readers everyone, or name some under `sources`"
        )
    if rebuild:
        filled = {source.collection for source in sources}
        running = {source.connector.name for source in sources}
        others = (source for source in configured(settings, []) if source.collection in filled)
        sources += [source for source in others if source.connector.name not in running]
    if not asyncio.run(_ingest(settings, sources, watch, rebuild, allow_empty, as_json)):
        raise typer.Exit(1)


async def _ingest(
    settings: "Settings",
    sources: Sequence["Source"],
    watch: bool,
    rebuild: bool,
    allow_empty: bool,
    as_json: bool,
) -> bool:
    from rungwise_connectors.sandbox import Parser
    from rungwise_server import bootstrap

    embedder = await bootstrap.open_embedder(settings)
    ok = True
    async with Parser() as parser:
        rounds = _rounds(settings, sources) if watch else _once(sources)
        async with aclosing(rounds):
            told = False
            async for chosen in rounds:
                report = await _round(settings, chosen, embedder, parser, rebuild, allow_empty, retry=told)
                if not told or report.eventful or ok != report.ok:
                    _tell(report, as_json)
                ok, told, rebuild = report.ok, True, False
    await embedder.close()
    return ok


async def _round(
    settings: "Settings",
    sources: Sequence["Source"],
    embedder: "Embedder",
    parser: "Parser",
    rebuild: bool,
    allow_empty: bool,
    *,
    retry: bool,
) -> "IngestReport":
    """One run; with `retry`, until it goes through."""
    from rungwise_pipelines.ingest.progress import Progress
    from rungwise_pipelines.ingest.run import run
    from rungwise_pipelines.progress import on_stderr
    from rungwise_server.errors import RungwiseError

    said = ""
    while True:
        try:
            with on_stderr() as shown:
                return await run(
                    settings, sources, embedder, parser, Progress(shown), rebuild=rebuild, allow_empty=allow_empty
                )
        except RungwiseError as error:
            if not retry:
                raise
            if error.message != said:
                said = error.message
                note(said)
            await asyncio.sleep(_RETRY_SECONDS)


async def _once(sources: Sequence["Source"]) -> AsyncGenerator[Sequence["Source"], None]:
    yield sources


async def _rounds(settings: "Settings", sources: Sequence["Source"]) -> AsyncGenerator[Sequence["Source"], None]:
    """All sources, and then again those whose files changed."""
    from rungwise_pipelines.ingest.watch import changes

    followed = [(source, source.place) for source in sources if source.place]
    watched = changes([place for _, place in followed], settings.home.resolve())
    async with aclosing(watched):
        coming = asyncio.ensure_future(anext(watched))
        try:
            yield sources
            note("Watching for changes; Ctrl-C ends it.")
            while True:
                numbers = await coming
                coming = asyncio.ensure_future(anext(watched))
                yield [source for number, (source, _) in enumerate(followed) if number in numbers]
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _tell(report: "IngestReport", as_json: bool) -> None:
    if as_json:
        emit(report.as_json())
        return
    table(("source", "collection", "documents", "passages", "seconds"), [_row(source) for source in report.sources])
    for source in report.sources:
        for failure in source.failed[:_SHOWN]:
            note(f"{source.source}: {failure.id}: {failure.reason}")
        if len(source.failed) > _SHOWN:
            note(f"{source.source}: and {len(source.failed) - _SHOWN:,} more (--json has them all)")
        for message in filter(None, (source.warning, source.error)):
            note(message if source.source in message else f"{source.source}: {message}")
    if report.left_out:
        note(f"The collection was filled from these as well; ingest them again: {', '.join(report.left_out)}")


def _row(source: "SourceReport") -> tuple[str, ...]:
    counts = {
        "new": source.new,
        "changed": source.changed,
        "with other readers": source.readers_changed,
        "deleted": source.deleted,
        "unchanged": source.unchanged,
        "failed": len(source.failed),
    }
    documents = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "none"
    rate = f" ({source.passages / source.seconds:.1f}/s)" if source.passages and source.seconds else ""
    return source.source, source.collection, documents, f"{source.passages:,}{rate}", f"{source.seconds:.1f}"
