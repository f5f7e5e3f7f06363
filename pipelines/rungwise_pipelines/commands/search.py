"""`rungwise search`: what retrieval finds, for one question or for a file of them."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from rungwise_pipelines.commands.options import As, Config, Group, Json, caller_of, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import BadRequest, SetupError

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings
    from rungwise_server.types import Passage


class Query(NamedTuple):
    """A question with the id that its results are told apart by."""

    id: str
    text: str


def search(
    collection: Annotated[str, typer.Argument(help="The collection to search.", metavar="COLLECTION")],
    query: Annotated[str, typer.Argument(help="What to search for.", metavar="QUERY")] = "",
    queries: Annotated[
        Path | None, typer.Option(help='Search for each line {"id", "text"} of this .jsonl(.gz).', metavar="F.jsonl")
    ] = None,
    limit: Annotated[int, typer.Option(help="Passages for each query.", min=1, max=1000)] = 10,
    user: As = "",
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Search a collection, as everyone or as a user."""
    if bool(query) == (queries is not None):
        raise typer.BadParameter("give either QUERY or --queries F.jsonl")
    asked = [Query("", query)] if queries is None else list(read_queries(queries))
    asyncio.run(_search(settings_of(config), collection, asked, limit, user, group, as_json))


def read_queries(file: Path) -> Iterator[Query]:
    """The queries of a .jsonl or .jsonl.gz. Raises BadRequest with the line that is none."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _query(line, f"{file}:{number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SetupError(f"{file} cannot be read: {error}.") from None


def _query(line: str, place: str) -> Query:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise BadRequest(f"{place}: this is not JSON: {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str) or "id" not in record:
        raise BadRequest(f'{place}: a query is {{"id": …, "text": "…"}}')
    return Query(str(record["id"]), record["text"])


async def _search(
    settings: "Settings",
    collection: str,
    queries: Sequence[Query],
    limit: int,
    user: str,
    groups: Sequence[str] | None,
    as_json: bool,
) -> None:
    from rungwise_server import bootstrap

    caller = await caller_of(settings, user, groups)
    embedder = await bootstrap.open_embedder(settings)
    index = await bootstrap.open_index(settings, role="rungwise search")
    try:
        if await index.describe(collection) is None:
            raise SetupError(
                f"There is no collection {collection!r}. Fill it with "
                f"`rungwise ingest --path FOLDER --collection {collection} --readers everyone`."
            )
        await bootstrap.check_collections(settings, index, embedder)
        retriever = bootstrap.open_retriever(index, embedder, (collection,))
        found = ((q, await retriever.retrieve(q.text, caller, limit)) async for q in _shown(queries))
        async for asked, passages in found:
            if as_json:
                emit(_result(asked, passages))
            elif asked.id:
                say(f"{asked.id}: {asked.text}")
                _show(passages)
            else:
                _show(passages)
    finally:
        await index.close()
        await embedder.close()


async def _shown(queries: Sequence[Query]) -> AsyncIterator[Query]:
    """The queries, with a progress bar on standard error where there are many and a person looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    hidden = len(queries) == 1 or not console.is_terminal
    began = time.perf_counter()
    with Progress(console=console, disable=hidden, transient=True) as progress:
        for query in progress.track(queries, description="Searching"):
            yield query
    if len(queries) > 1:
        seconds = time.perf_counter() - began
        note(f"{len(queries)} queries in {seconds:.1f} s, {1000 * seconds / len(queries):.1f} ms each")


def _result(query: Query, passages: Sequence["Passage"]) -> dict[str, object]:
    results = [{"document_id": p.document_id, "passage_id": p.id, "score": p.score, "text": p.text} for p in passages]
    return {"id": query.id, "results": results}


def _show(passages: Sequence["Passage"]) -> None:
    if not passages:
        say("Nothing found that this caller may read.")
        return
    rows = [(f"{p.score:.4f}", p.place, " ".join(p.text.split())[:240], p.document_id) for p in passages]
    table(("score", "place", "text", "document"), rows)
