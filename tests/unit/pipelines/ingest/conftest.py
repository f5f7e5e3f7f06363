"""A whole ingestion, small: real parts, an index in memory, an embedder that counts."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest

from rungwise_connectors.parsers.parse import parse
from rungwise_connectors.types import Connector, Document, Parsed
from rungwise_pipelines.ingest.report import SourceReport
from rungwise_pipelines.ingest.sync import Source, Sync
from rungwise_server.database import Database, open_database
from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.retrieval.language import guess
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import IndexQuery, Passage, SparseVector, Vector

EVERYBODY = frozenset({"everyone", "group:finance", "group:staff", "user:ana"})


class InProcess:
    """The parser, without a process of its own; remembers how many it ever had at a time."""

    def __init__(self) -> None:
        self.now = self.most = self.parsed = 0

    async def parse(self, document: Document) -> Parsed:
        self.now += 1
        self.most = max(self.most, self.now)
        self.parsed += 1
        try:
            return parse(document)
        finally:
            self.now -= 1


class Counting:
    """An embedder that counts what it is asked for."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.texts: list[str] = []
        self.name = inner.name
        self.dimensions = inner.dimensions
        self.languages = inner.languages

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        self.texts += texts
        return await self._inner.embed(texts, kind)

    async def close(self) -> None:
        await self._inner.close()


class Room:
    """Runs sources into one index, and shows what is in it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.index: PassageIndex = MemoryIndex()
        self.embedder = Counting(HashEmbedder())
        self.parser = InProcess()

    async def run(
        self,
        connector: Connector,
        readers: Sequence[str] = ("everyone",),
        collection: str = "docs",
        *,
        allow_empty: bool = False,
    ) -> SourceReport:
        return await self.sync().run(Source(connector, collection, frozenset(readers)), allow_empty=allow_empty)

    def sync(self) -> Sync:
        return Sync(
            index=self.index,
            embedder=self.embedder,
            terms=Bm25Encoder(),
            parser=self.parser,
            database=self.database,
            detect=guess,
        )

    async def passages(self, collection: str = "docs") -> list[Passage]:
        """All that is in the index, in an order of its own."""
        if await self.index.describe(collection) is None:
            return []
        everything = IndexQuery(
            np.ones(self.embedder.dimensions, np.float32), SparseVector((), ()), EVERYBODY, 1_000_000
        )
        found = (await self.index.search(collection, everything)).dense
        assert len(found) == await self.index.count(collection), "a passage has readers that nobody here is"
        bare = (msgspec.structs.replace(passage, score=0.0) for passage in found)
        return sorted(bare, key=lambda p: (p.source, p.document_id, p.start))

    async def texts(self, collection: str = "docs") -> dict[str, str]:
        """What the index holds of each document."""
        texts: dict[str, str] = {}
        for passage in await self.passages(collection):
            texts[passage.document_id] = f"{texts.get(passage.document_id, '')}\n{passage.text}".strip()
        return texts

    async def readers(self, collection: str = "docs") -> dict[str, frozenset[str]]:
        return {passage.document_id: passage.readers for passage in await self.passages(collection)}

    @staticmethod
    def counts(report: SourceReport) -> tuple[int, int, int, int, int, int]:
        """New, changed, unchanged, with other readers, deleted, failed."""
        return (
            report.new,
            report.changed,
            report.unchanged,
            report.readers_changed,
            report.deleted,
            len(report.failed),
        )

    def embedded(self) -> int:
        """How many passages were embedded since the last call."""
        count = len(self.embedder.texts)
        self.embedder.texts.clear()
        return count


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    yield database
    database.close()


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    room = Room(database)
    yield room
    await room.index.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    return folder
