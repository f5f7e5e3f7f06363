"""Files into vector stores: makes the index hold what a file's row says, whatever was begun before.

The file is read in a process with limits, cut, embedded and written by the same parts as every other document. While
that takes its time, the row may change - other attributes, other readers, cancelled, removed - so the row is read once
more after the passages are in: what it says then holds.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from rungwise_connectors.parsers.formats import ENDINGS, ending
from rungwise_connectors.types import Document, Parsed
from rungwise_pipelines.ingest.prepare import Failed, Parser, Preparer, Ready, Setup
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.split import VERSION
from rungwise_pipelines.ingest.state import Known, Mark
from rungwise_pipelines.ingest.write import Writer
from rungwise_pipelines.work.worker import Duty, StillMine
from rungwise_pipelines.work.workshop import Workshop
from rungwise_server.errors import Conflict, EmbedderMismatch, NotFound, Unavailable
from rungwise_server.keeping import BlobStore, Job, Kept, KeptStore
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import CollectionSpec
from rungwise_server.vector_stores import (
    REMOVING,
    ErrorCode,
    FileBody,
    clear_away,
    encode,
    file_body,
    live_store,
    readers_of,
    take_out,
)

ATTEMPTS: Final = 6
"""Over about a minute: an embedder or a database that was away may be back."""


class VectorStoreFiles:
    """Does jobs of kind `vector_store_file`."""

    def __init__(self, kept: KeptStore, blobs: BlobStore, workshop: Workshop) -> None:
        self._kept = kept
        self._blobs = blobs
        self._workshop = workshop

    @property
    def duty(self) -> Duty:
        """For the worker."""
        return Duty(self.run, self.give_up, attempts=ATTEMPTS, at_once=2)

    async def run(self, job: Job, still_mine: StillMine) -> None:
        """Make the index hold what the row says.

        Raises:
            Unavailable, UpstreamError, SetupError: a part of the house is away, or is not as the store needs it.
        """
        row = await self._kept.get("vector_store_file", job.subject, None)
        store_id, _, file_id = job.subject.partition("/")
        store = await live_store(self._kept, store_id)
        if store is None:
            await clear_away(self._kept, await self._workshop.index(), store_id)
        elif row is None:
            await (await self._workshop.index()).remove(store_id, store_id, file_id)
        elif row.state == REMOVING:
            await take_out(self._kept, await self._workshop.index(), row)
        elif row.state == "in_progress":
            await self._fill(store, row, still_mine)
        elif row.state != "completed":
            await (await self._workshop.index()).remove(store_id, store_id, file_id)

    async def give_up(self, job: Job, reason: str) -> None:
        """Note on the row that the file cannot be read here."""
        await self._fail(job.subject, "server_error", f"It could not be indexed: {reason}")

    async def _fill(self, store: Kept, row: Kept, still_mine: StillMine) -> None:
        from rungwise_server.retrieval.language import guess

        body = file_body(row)
        try:
            path = await self._blobs.path(body.file_id)
        except NotFound:
            if await self._kept.get("file", body.file_id, row.owner) is not None:
                raise Unavailable(
                    "this worker does not have the file's bytes: servers and workers need one RUNGWISE_HOME to share"
                ) from None
            await self._fail(row.id, "invalid_file", "The file was deleted before it was read: upload it again.")
            return
        terms, embedder = self._workshop.terms(), await self._workshop.embedder()
        index = await self._workshop.index()
        try:
            await index.create(store.id, CollectionSpec(embedder.name, embedder.dimensions, terms.name))
        except EmbedderMismatch:
            told = "This store was filled with another embedder: create a new one, and add the files to that."
            await self._fail(row.id, "server_error", told)
            return
        readers = readers_of(store)
        kind = ENDINGS.get(ending(body.filename), "")
        document = Document(body.file_id, title=body.filename, media_type=kind, readers=readers, path=path)
        made_by = (embedder.name, terms.name, VERSION, str(body.chunk_tokens))
        setup = Setup(store.id, store.id, readers, made_by)
        splitter = self._workshop.splitter(body.chunk_tokens)
        item = await Preparer(setup, _AsUploaded(self._workshop.parser()), splitter, guess).prepare(document, {})
        if isinstance(item, Failed):
            known = kind or not path.stat().st_size
            await self._fail(row.id, "invalid_file" if known else "unsupported_file", f"{body.filename} {item.reason}")
            return
        assert isinstance(item, Ready)
        passages = [replace(passage, attributes=body.attributes) for passage in item.passages or ()]
        if not passages:
            await self._fail(row.id, "invalid_file", f"{body.filename} holds no text")
            return
        if not await still_mine():
            return
        writer = Writer(index, embedder, terms, _Anew(store.id), store.id, {body.file_id}, Progress())
        await writer.write([replace(item, passages=passages)], Mark())
        if reason := writer.outcome.failed.get(body.file_id):
            await self._fail(row.id, "server_error", f"{body.filename} {reason}")
            return
        usage = sum(len(passage.text.encode()) for passage in passages) + len(passages) * embedder.dimensions * 4
        written = replace(body, usage_bytes=usage, version=item.content)
        await self._settle(row.id, written, readers, index)

    async def _settle(self, row_id: str, written: FileBody, readers: frozenset[str], index: PassageIndex) -> None:
        """The passages are in: what the row says by now holds for them."""
        while True:
            row = await self._kept.get("vector_store_file", row_id, None)
            store_id, file_id = row_id.split("/")
            store = await live_store(self._kept, store_id)
            if store is None:
                await clear_away(self._kept, index, store_id)
                return
            if row is None or row.state != "in_progress":
                await index.remove(store_id, store_id, file_id)
                if row is not None and row.state == REMOVING:
                    await take_out(self._kept, index, row)
                return
            body = file_body(row)
            if (now := readers_of(store)) != readers:
                readers = now
                await index.set_readers(store_id, store_id, file_id, readers)
                continue
            if body.attributes != written.attributes:
                written = replace(written, attributes=body.attributes)
                await index.set_attributes(store_id, store_id, file_id, body.attributes)
                continue
            done = replace(body, usage_bytes=written.usage_bytes, version=written.version, error=None, message="")
            try:
                await self._kept.change(replace(row, state="completed", body=encode(done)))
            except (Conflict, NotFound):
                continue
            return

    async def _fail(self, row_id: str, code: ErrorCode, message: str) -> None:
        """What an earlier attempt may have left leaves the index first."""
        while row := await self._kept.get("vector_store_file", row_id, None):
            if row.state != "in_progress":
                return
            body = file_body(row)
            await (await self._workshop.index()).remove(row.parent, row.parent, body.file_id)
            failed = replace(body, error=code, message=message, usage_bytes=0, version="")
            try:
                await self._kept.change(replace(row, state="failed", body=encode(failed)))
            except (Conflict, NotFound):
                continue
            return


class _AsUploaded:
    """A Parser that leaves to the store who reads a document, and to its name what it is called: what a file says of
    itself is an uploader's word.
    """

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    async def parse(self, document: Document) -> Parsed:
        """See Parser."""
        parsed = await self._parser.parse(document)
        return replace(parsed, title=document.title, url="", readers=None)


class _Anew:
    """The state of a document of which nothing is remembered: all of it is written, over what was there."""

    def __init__(self, collection: str) -> None:
        self.collection = collection
        self.documents: Mapping[str, Known] = {}

    async def void(self, ids: Iterable[str]) -> None:
        """See State."""

    async def save(self, known: Iterable[Known] = (), gone: Iterable[str] = (), mark: Mark | None = None) -> None:
        """See State."""
