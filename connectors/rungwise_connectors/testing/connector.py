# ruff: noqa: D102  (a test's name says what it holds)
"""What every connector promises, as tests, and the connector in memory that keeps these promises."""

import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from rungwise_connectors.types import Batch, Change, Connector, Cursor, Deletion, Document, Listing, SourceError


class ListConnector:
    """A source in memory: what `put` and `delete` leave is what it holds.

    A cursor is the number of the last change; deletions are told as changes, and `ids` lists what is there.
    """

    def __init__(self, name: str = "list", documents: Mapping[str, str] | None = None, batch: int = 100) -> None:
        self.name = name
        self.gone = False
        """Set to make the source vanish."""
        self._batch = batch
        self._clock = 0
        self._changes: dict[str, tuple[int, Change]] = {}
        for id, text in (documents or {}).items():
            self.put(id, text)

    def put(self, id: str, text: str, readers: frozenset[str] | None = frozenset({"everyone"})) -> None:
        """Add a document, or change it."""
        self._tell(
            id,
            Document(id, version=hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), text=text, readers=readers),
        )

    def tell(self, change: Change) -> None:
        """Let `change` be what the source says of its document: any Document, a Fault, a Deletion."""
        self._tell(change.id, change)

    def delete(self, id: str) -> None:
        """Take a document away."""
        self._tell(id, Deletion(id))

    def _tell(self, id: str, change: Change) -> None:
        self._clock += 1
        self._changes.pop(id, None)
        self._changes[id] = (self._clock, change)

    async def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
        """Every document's last change since `since`. Raises SourceError once it is gone."""
        self._check()
        after = int(since or 0)
        news = [(number, change) for number, change in self._changes.values() if number > after]
        for start in range(0, len(news), self._batch):
            some = news[start : start + self._batch]
            yield Batch(tuple(change for _, change in some), str(some[-1][0]))

    async def ids(self) -> AsyncIterator[str]:
        """What is there now. Raises SourceError once it is gone."""
        self._check()
        for id in [id for id, (_, change) in self._changes.items() if not isinstance(change, Deletion)]:
            yield id

    def _check(self) -> None:
        if self.gone:
            raise SourceError(f"source {self.name}: it is gone")


class Source(Protocol):
    """A source that the suite can change, and its connector. Ids are names such as `a.md`, texts short prose."""

    def connector(self) -> Connector:
        """A connector to the source as it is now, with nothing remembered from earlier ones."""

    def write(self, documents: Mapping[str, str]) -> None:
        """Add or change these documents; all at one moment, where the source has change times."""

    def rename(self, old: str, new: str) -> None:
        """Give a document another id."""

    def delete(self, id: str) -> None:
        """Take a document away."""

    def vanish(self) -> None:
        """Make the source as a whole unreachable."""


class Holding:
    """What an engine would hold of a source: the version of every document, and the cursor."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.cursor: Cursor | None = None

    async def sync(self, connector: Connector) -> set[str]:
        """Take in what changed since the cursor, then drop what is gone. The ids that were new or had a new version."""
        written: set[str] = set()
        async for batch in connector.changes(self.cursor):
            written |= self.take(batch)
        if isinstance(connector, Listing):
            there = {id async for id in connector.ids()}
            self.versions = {id: version for id, version in self.versions.items() if id in there}
        return written

    def take(self, batch: Batch) -> set[str]:
        """Take in one batch. The ids that were new or had a new version."""
        written = set()
        for change in batch.changes:
            match change:
                case Document(id=id, version=version):
                    if not version or self.versions.get(id) != version:
                        written.add(id)
                    self.versions[id] = version
                case Deletion(id=id):
                    self.versions.pop(id, None)
                case fault:
                    pytest.fail(f"a sound source has no faults: {fault}")
        self.cursor = batch.cursor
        return written


@pytest.mark.asyncio
class ConnectorContract:
    """Inherit as `class TestMine(ConnectorContract)` and give the fixture `source`; pytest-asyncio runs it."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """An empty source."""
        raise NotImplementedError

    async def test_first_load_brings_everything(self, source: Source) -> None:
        source.write({"a.md": "Apples.", "b.md": "Pears.", "c.md": "Plums."})
        holding = Holding()
        assert await holding.sync(source.connector()) == {"a.md", "b.md", "c.md"}

    async def test_documents_are_whole(self, source: Source) -> None:
        source.write({"a.md": "Apples."})
        async for batch in source.connector().changes(None):
            for change in batch.changes:
                assert isinstance(change, Document)
                assert sum(content is not None for content in (change.text, change.data, change.path)) == 1
                assert change.path is None or change.path.read_text() == "Apples."

    async def test_nothing_changed_writes_nothing(self, source: Source) -> None:
        source.write({"a.md": "Apples.", "b.md": "Pears."})
        holding = Holding()
        await holding.sync(source.connector())
        assert await holding.sync(source.connector()) == set()
        assert set(holding.versions) == {"a.md", "b.md"}

    async def test_a_change_and_an_addition_come_alone(self, source: Source) -> None:
        source.write({"a.md": "Apples.", "b.md": "Pears."})
        holding = Holding()
        await holding.sync(source.connector())
        source.write({"b.md": "Quinces."})
        source.write({"c.md": "Plums."})
        assert await holding.sync(source.connector()) == {"b.md", "c.md"}

    async def test_a_change_of_the_same_length_comes(self, source: Source) -> None:
        source.write({"a.md": "It costs 10 EUR."})
        holding = Holding()
        await holding.sync(source.connector())
        source.write({"a.md": "It costs 20 EUR."})
        assert await holding.sync(source.connector()) == {"a.md"}

    async def test_a_renamed_document_is_another(self, source: Source) -> None:
        source.write({"a.md": "Apples.", "b.md": "Pears."})
        holding = Holding()
        await holding.sync(source.connector())
        source.rename("a.md", "z.md")
        assert await holding.sync(source.connector()) == {"z.md"}
        assert set(holding.versions) == {"b.md", "z.md"}

    async def test_a_deleted_document_is_gone(self, source: Source) -> None:
        source.write({"a.md": "Apples.", "b.md": "Pears."})
        holding = Holding()
        await holding.sync(source.connector())
        source.delete("a.md")
        await holding.sync(source.connector())
        assert set(holding.versions) == {"b.md"}

    async def test_one_moment_for_two(self, source: Source) -> None:
        """A cursor that stands on the first of two documents of one moment must not lose the second."""
        source.write({f"{number:03}.md": f"Number {number}." for number in range(250)})
        holding = Holding()
        async for batch in source.connector().changes(None):
            holding.take(batch)
            await holding.sync(source.connector())
            break
        assert len(holding.versions) == 250

    async def test_every_cursor_leads_to_exactly_the_rest(self, source: Source) -> None:
        for start in range(0, 350, 50):
            source.write({f"{number:03}.md": f"Number {number}." for number in range(start, start + 50)})
        whole = Holding()
        batches = [(whole.take(batch), batch.cursor) async for batch in source.connector().changes(None)]
        assert len(batches) > 1
        before: set[str] = set()
        for written, cursor in batches:
            before |= written
            resumed = Holding()
            resumed.cursor = cursor
            resumed.versions = {id: whole.versions[id] for id in before}
            assert await resumed.sync(source.connector()) == set(whole.versions) - before
            assert resumed.versions == whole.versions

    async def test_ten_thousand_documents_in_bounded_memory(self, source: Source) -> None:
        source.write({f"{number:05}.md": f"Number {number}. " + "Words go on. " * 300 for number in range(10_000)})
        connector, ids = source.connector(), set()
        tracemalloc.start()
        try:
            async for batch in connector.changes(None):
                assert len(batch.changes) <= 1000
                ids |= {change.id for change in batch.changes}
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(ids) == 10_000
        assert peak < 24 * 2**20, f"{peak / 2**20:.0f} MB for documents of 40 MB"

    async def test_an_empty_source_is_no_error(self, source: Source) -> None:
        holding = Holding()
        assert await holding.sync(source.connector()) == set()

    async def test_a_vanished_source_is_an_error_and_never_an_empty_one(self, source: Source) -> None:
        source.write({"a.md": "Apples."})
        holding = Holding()
        await holding.sync(source.connector())
        source.vanish()
        for since in (None, holding.cursor):
            with pytest.raises(SourceError):
                [batch async for batch in source.connector().changes(since)]
        connector = source.connector()
        if isinstance(connector, Listing):
            with pytest.raises(SourceError):
                [id async for id in connector.ids()]
