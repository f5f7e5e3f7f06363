"""One run over several sources: the parts opened, the sources held, a report."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

from rungwise_pipelines.ingest.prepare import Parser
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.report import IngestReport
from rungwise_pipelines.ingest.sync import Source, Sync
from rungwise_pipelines.lease import lease
from rungwise_server.config.settings import Settings
from rungwise_server.errors import IndexBusy, RungwiseError, Unavailable, UpstreamError
from rungwise_server.protocols import Embedder, PassageIndex

logger = logging.getLogger(__name__)

LARGE = 20_000
"""Passages embedded in one run from which the collection's search graph is built at its end: minutes of work that make
searches among some ten thousand passages several times as fast, and that a smaller collection does without."""

AGAIN = "What is written stays; run the same command again to go on from there."


async def run(
    settings: Settings,
    sources: Sequence[Source],
    embedder: Embedder,
    parser: Parser,
    progress: Progress,
    *,
    rebuild: bool = False,
    allow_empty: bool = False,
    large: int = LARGE,
) -> IngestReport:
    """Bring the index up to date with `sources`, one after the other.

    Index and database are open for the run only, so that a server may start between two. `rebuild` drops the sources'
    collections first.

    Raises:
        Conflict: another process ingests one of the sources.
        EmbedderMismatch: a collection was filled by another embedder.
        Unavailable, UpstreamError: a part went away in mid-run; the message says that running again goes on.
    """
    started = time.monotonic()
    report = IngestReport()
    with ExitStack() as leases:
        for source in sources:
            name = source.connector.name
            leases.enter_context(lease(settings.home, "ingest", name, f"source {name!r} is being ingested"))
        async with _opened(settings, embedder, parser, progress) as sync:
            try:
                if rebuild:
                    report.left_out = await _rebuild(sync, sources)
                for source in sources:
                    report.sources.append(await sync.run(source, allow_empty=allow_empty))
                await _build_graphs(report, sync.index, progress, large)
            except IndexBusy:
                raise
            except Unavailable as error:
                raise Unavailable(f"{error.message}\n{AGAIN}") from error
            except UpstreamError as error:
                raise UpstreamError(f"The embedder failed: {error.message}\n{AGAIN}") from error
    report.seconds = time.monotonic() - started
    return report


async def _build_graphs(report: IngestReport, index: PassageIndex, progress: Progress, large: int) -> None:
    from rungwise_server import bootstrap

    for collection in dict.fromkeys(source.collection for source in report.sources):
        if sum(source.passages for source in report.sources if source.collection == collection) < large:
            continue
        progress.begin(f"{collection}, its search graph", None)
        try:
            await bootstrap.optimise(index, collection)
        except RungwiseError as error:
            # All passages are in and are found; they are only found more slowly.
            logger.warning("the search graph of %r was not built: %s", collection, error.message)
        finally:
            progress.end()


async def _rebuild(sync: Sync, sources: Sequence[Source]) -> list[str]:
    """Drop the collections; the names of sources that filled them and are not among `sources`."""
    running = {source.connector.name for source in sources}
    left: set[str] = set()
    for collection in dict.fromkeys(source.collection for source in sources):
        left.update(await sync.rebuild(collection))
    return sorted(left - running)


@asynccontextmanager
async def _opened(settings: Settings, embedder: Embedder, parser: Parser, progress: Progress) -> AsyncIterator[Sync]:
    from rungwise_server import bootstrap
    from rungwise_server.retrieval.language import guess
    from rungwise_server.retrieval.sparse import Bm25Encoder

    database = await bootstrap.open_house_database(settings)
    try:
        index = await bootstrap.open_index(settings, role="rungwise ingest")
        try:
            yield Sync(
                index=index,
                embedder=embedder,
                terms=Bm25Encoder(),
                parser=parser,
                database=database,
                detect=guess,
                progress=progress,
            )
        finally:
            await index.close()
    finally:
        database.close()
