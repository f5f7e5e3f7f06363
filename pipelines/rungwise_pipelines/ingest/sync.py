"""The engine: makes the index say what the sources say, and do no more work for it than what changed.

A source's changes come first. Each document is skipped when its version is known, else read and compared by content;
what is new is split, embedded and written. Then the source's listing, where it has one, tells what is gone and what was
missed. Nothing is removed because a source broke off, or because it seems to be empty all of a sudden.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from rungwise_connectors.types import Connector, Listing, SourceError
from rungwise_pipelines.ingest.flow import Flow
from rungwise_pipelines.ingest.prepare import Parser, Preparer, Setup
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.report import Failure, SourceReport
from rungwise_pipelines.ingest.split import VERSION, Splitter
from rungwise_pipelines.ingest.state import SourceState, sources_of
from rungwise_pipelines.ingest.write import Terms, Writer
from rungwise_server.database import Database
from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.types import CollectionSpec


class Source(Struct, frozen=True):
    """A connector, where its documents go, and who reads those that do not say it themselves (principals).

    `nothing` is what a person is told when it turns out to have no documents at all; `place` is where its files are,
    for those who watch them.
    """

    connector: Connector
    collection: str
    readers: frozenset[str] = frozenset()
    nothing: str = "has no documents"
    place: Path | None = None


class Sync:
    """Ingests sources into an index. `detect` tells a text's language (ISO 639-1; empty: unknown)."""

    def __init__(
        self,
        *,
        index: PassageIndex,
        embedder: Embedder,
        terms: Terms,
        parser: Parser,
        database: Database,
        detect: Callable[[str], str],
        progress: Progress | None = None,
    ) -> None:
        self.index = index
        self._embedder = embedder
        self._terms = terms
        self._parser = parser
        self._database = database
        self._detect = detect
        self._progress = progress or Progress()
        self._splitter = Splitter()

    async def rebuild(self, collection: str) -> list[str]:
        """Drop a collection, so that the next run of each source fills it anew: state about the dropped one is void by
        itself. Returns the names of all sources that it was filled from.
        """
        await self.index.drop(collection)
        return await sources_of(self._database, collection)

    async def run(self, source: Source, *, allow_empty: bool = False) -> SourceReport:
        """Bring the index up to date with one source.

        `allow_empty` believes at once a listing with next to nothing in it. What goes wrong with single documents or
        with the source is in the report.

        Raises:
            EmbedderMismatch: the collection was filled by another embedder.
            Unavailable: index or database are out of reach; the next run goes on where this one ended.
            UpstreamError: the embedder does not answer; likewise.
        """
        started = time.monotonic()
        name, collection = source.connector.name, source.collection
        wanted = CollectionSpec(self._embedder.name, self._embedder.dimensions, self._terms.name)
        spec = await self.index.create(collection, wanted)
        state = await SourceState.load(self._database, name)
        if (state.collection, state.incarnation) != (collection, spec.id):
            if state.collection not in ("", collection):
                await self._leave(state.collection, name)
            await state.begin(collection, spec.id)
        setup = Setup(collection, name, source.readers, (self._embedder.name, self._terms.name, VERSION))
        indexed = await self.index.documents(collection, name)
        preparer = Preparer(setup, self._parser, self._splitter, self._detect)
        writer = Writer(self.index, self._embedder, self._terms, state, name, indexed, self._progress)
        flow = Flow(source.connector, preparer, writer, state, setup.fingerprint)
        run = _Run(source.connector, flow, writer, state, setup.fingerprint, self._progress)
        report = SourceReport(name, collection)
        try:
            report.warning = await run.whole(allow_empty)
            if not state.documents and not report.warning and not allow_empty:
                report.warning = source.nothing
        except SourceError as error:
            report.error = str(error)
        finally:
            self._progress.end()
        run.count(report)
        report.seconds = time.monotonic() - started
        return report

    async def _leave(self, collection: str, source: str) -> None:
        for id in await self.index.documents(collection, source):
            await self.index.remove(collection, source, id)


class _Run:
    """One run of one source."""

    def __init__(
        self, connector: Connector, flow: Flow, writer: Writer, state: SourceState, setup: str, progress: Progress
    ) -> None:
        self.connector = connector
        self.flow = flow
        self.writer = writer
        self.state = state
        self.setup = setup
        self.progress = progress

    def count(self, report: SourceReport) -> None:
        """Write into the report what became of the documents."""
        outcome = self.writer.outcome
        good = {id for id, known in self.state.documents.items() if not known.failed}
        new, changed = outcome.new & good, (outcome.changed - outcome.new) & good
        readers = (outcome.readers_changed - outcome.changed - outcome.new) & good
        report.new, report.changed, report.readers_changed = len(new), len(changed), len(readers)
        report.unchanged = len(good - new - changed - readers)
        report.deleted, report.passages = len(outcome.deleted), outcome.passages
        report.failed = [Failure(id, reason) for id, reason in sorted(outcome.failed.items())]

    async def whole(self, allow_empty: bool) -> str:
        """Changes, then the listing. Returns what a person should know."""
        failed = any(known.failed for known in self.state.documents.values())
        since = None if failed or self.state.mark.setup != self.setup else self.state.mark.cursor
        listing = self.connector if isinstance(self.connector, Listing) else None
        total = None
        if listing and since is None and self.progress.wants_total:
            total = sum([1 async for _ in listing.ids()])
        self.progress.begin(self.connector.name, total)
        await self.flow.changes(since)
        if listing is None:
            if since is None:
                await self.state.save(gone=self._stale_failures())
            await self.writer.remove([id for id in self.writer.indexed if id not in self.state.documents])
            return ""
        listed = {id async for id in listing.ids()}
        if since is not None and not listed <= self.state.documents.keys():
            await self.flow.changes(None)
            since = None
        return await self.compare(listed, allow_empty, whole=since is None)

    async def compare(self, listed: set[str], allow_empty: bool, *, whole: bool) -> str:
        """Remove what the source does not list, unless that is nearly everything and it says so for the first time."""
        mark = self.state.mark
        held = self.writer.indexed | {
            id for id, known in self.state.documents.items() if known.content or not known.failed
        }
        if len(listed) * 10 < len(held) and not allow_empty and not mark.emptied:
            await self.state.save(mark=msgspec.structs.replace(mark, emptied=True))
            return (
                f"lists {len(listed)} documents, where {len(held)} are indexed: nothing was removed. If that is right, "
                "run the same command again, or with --allow-empty"
            )
        gone = held - listed
        await self.writer.remove(sorted(gone))
        if whole:
            stale = [id for id in self._stale_failures() if id not in listed]
            await self.state.save(gone=stale)
        await self.state.save(mark=msgspec.structs.replace(mark, emptied=False))
        return ""

    def _stale_failures(self) -> list[str]:
        """Faults of earlier runs that a reading of everything did not meet again, and that are no documents."""
        return [
            id
            for id, known in self.state.documents.items()
            if known.failed and not known.content and id not in self.writer.outcome.failed
        ]
