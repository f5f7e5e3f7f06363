"""`rungwise ledger`: what each workload costs, how good it is, and what the rung above would cost and pay back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say
from rungwise_server.errors import SetupError

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings
    from rungwise_server.ledger.book import Page
    from rungwise_server.ledger.ledger import Ledger
    from rungwise_server.ledger.sheet import Rows

_IDS = 50


def ledger(
    workload: Annotated[str, typer.Argument(help="One workload; else all.", metavar="WORKLOAD")] = "",
    since: Annotated[str, typer.Option(help="How far back, today included: 90d, 12w, 1y.", metavar="SPAN")] = "90d",
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, too.", metavar="FILE")] = None,
    volumes: Annotated[
        str, typer.Option("--simulate", help="Replay the year at other volumes: 2x,10x or 5000/day.", metavar="VOLUMES")
    ] = "",
    trace: Annotated[
        str,
        typer.Option(help="Show what a line of --sums is made of, down to rows of the log.", metavar="LINE"),
    ] = "",
    sums: Annotated[bool, typer.Option("--sums", help="Show every sum line by line.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show, by workload, spend and quality, today's rung, and what the rungs above would take, cost and pay back.

    Nothing is asked of a model: every figure is from the log, the configuration, or an assumption that is told.
    """
    asyncio.run(_ledger(settings_of(config), workload, since, html, volumes, trace, sums, as_json))


async def _ledger(
    settings: "Settings", workload: str, since: str, html: Path | None, volumes: str, trace: str, sums: bool, json: bool
) -> None:
    from rungwise_pipelines.commands.ledger_show import show
    from rungwise_server.ledger.html import html_of
    from rungwise_server.ledger.ledger import parse_days
    from rungwise_server.ledger.simulate import parse_volumes
    from rungwise_server.ledger.wire import page_json

    asked = parse_volumes(volumes)
    async with _open(settings) as opened:
        pages = await opened.pages(workload, parse_days(since), asked)
        if trace:
            await _trace(opened, pages, trace, json)
            return
    if html is not None:
        _write(html, html_of(pages))
    if json:
        emit([page_json(page) for page in pages])
        return
    for number, page in enumerate(pages):
        if number:
            say()
        show(page, replayed=bool(asked), sums=sums)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}.") from None
    note(f"Written to {file}.")


@asynccontextmanager
async def _open(settings: "Settings") -> "AsyncIterator[Ledger]":
    from rungwise_server import bootstrap
    from rungwise_server.judging.trust import any_certificate

    async with AsyncExitStack() as opened:
        database = await bootstrap.open_house_database(settings)
        opened.callback(database.close)
        log = bootstrap.open_log(settings, database)
        opened.push_async_callback(log.close)
        kept = bootstrap.open_kept(database)
        embedder = None
        if await any_certificate(kept):  # whether one holds is told by the traffic, embedded
            embedder = await bootstrap.open_embedder(settings)
            opened.push_async_callback(embedder.close)
        yield bootstrap.open_ledger(settings, database, log, kept, embedder)


async def _trace(opened: "Ledger", pages: "Sequence[Page]", name: str, as_json: bool) -> None:
    from rungwise_pipelines.commands.ledger_show import show_lines
    from rungwise_server.ledger.ledger import lines_behind
    from rungwise_server.ledger.wire import line_json

    lines = lines_behind(pages, name)
    if not as_json:
        show_lines(lines)
    told = []
    for line in lines:
        for rows in line.source.rows:
            ids = [record.id async for record in opened.rows(rows)]
            if as_json:
                told.append({"line": line.name, "ids": ids})
                continue
            say()
            say(f"{line.name}: {len(ids):,} rows of the log. {_command(rows)}")
            say(
                "  "
                + " ".join(ids[:_IDS])
                + (f" … and {len(ids) - _IDS:,} more (--json has all)" if len(ids) > _IDS else "")
            )
    if as_json:
        emit({"lines": [line_json(line) for line in lines], "rows": told})


def _command(rows: "Rows") -> str:
    query = rows.query
    if query.kind != "feedback":
        return ""
    kind = f" --kind {rows.kinds[0]}" if rows.kinds else ""
    return f"With questions and answers: rungwise feedback export --workload {query.workload}{kind} -o rows.jsonl"
