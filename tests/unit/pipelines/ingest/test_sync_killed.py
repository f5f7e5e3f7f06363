"""Runs that die at any of their steps: the next one ends with exactly what an undisturbed run ends with."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_connectors.parsers.parse import parse
from rungwise_connectors.testing import ListConnector
from rungwise_connectors.types import Document, Fault, Parsed
from rungwise_pipelines.ingest import flow, write
from rungwise_pipelines.ingest.sync import Source, Sync
from rungwise_server.database import Database, open_database
from rungwise_server.retrieval.language import guess
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import IndexedPassage


class InProcess:
    """The parser, without a process of its own."""

    async def parse(self, document: Document) -> Parsed:
        return parse(document)


class Killed(BaseException):
    """The process is gone."""


class Fate:
    """Counts the steps that leave a trace, and ends the process before or after one of them."""

    def __init__(self) -> None:
        self.step = 0
        self.dies_at = -1
        self.after = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        self.step += 1
        if self.step == self.dies_at and not self.after:
            raise Killed
        yield
        if self.step == self.dies_at:
            raise Killed


class MortalIndex(MemoryIndex):
    """An index whose process may die with each write."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        with self.fate.passing():
            await super().upsert(collection, entries)

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        with self.fate.passing():
            await super().remove(collection, source, document_id, keep_version=keep_version)

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        with self.fate.passing():
            await super().set_readers(collection, source, document_id, readers)


class MortalDatabase(Database):
    """A database whose process may die with each transaction."""

    fate: Fate

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with self.fate.passing(), super().write() as connection:
            yield connection


@pytest.fixture(scope="module")
def mortal_database() -> Iterator[MortalDatabase]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(flow, "DOCUMENTS", 2)
        patch.setattr(write, "WRITE", 1)
        path = Path(folder) / "state.db"
        database = open_database(f"sqlite:///{path}")
        mortal = MortalDatabase(database.engine, path)
        mortal.fate = Fate()
        yield mortal
        database.close()


@pytest.mark.parametrize("back", [False, True], ids=["onward", "back"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_death_at_each_step_then_onward_or_all_as_it_was(
    mortal_database: MortalDatabase, after: bool, back: bool
) -> None:
    fate = mortal_database.fate
    long = "Pumps have valves. " * 150
    for dies_at in count(1):
        name = f"source{next(_numbers)}"
        index = MortalIndex(fate)
        source = ListConnector(name, {"text": long, "readers": "Words.", "gone": "Words.", "broken": "Words."}, batch=3)
        fate.dies_at = -1
        await _sync(index, mortal_database).run(Source(source, "docs"))
        before = [change for _, change in source._changes.values()]
        source.put("text", long.replace("Pumps", "Taps"))
        source.put("readers", "Words.", frozenset({"finance"}))
        source.delete("gone")
        source.tell(Fault("broken", "cannot be read"))
        source.put("new", long)
        fate.step, fate.dies_at, fate.after = 0, dies_at, after
        with suppress(Killed):
            await _sync(index, mortal_database).run(Source(source, "docs"))
        survived, fate.dies_at = fate.step < dies_at, -1
        if back:
            source._changes.clear()
            for change in before:
                source.tell(change)
        await _sync(index, mortal_database).run(Source(source, "docs"))
        if not back:
            source.put("broken", "Words.")
        assert _dump(index) == await _undisturbed(source, mortal_database), f"after dying at step {dies_at}"
        if survived:
            assert dies_at > 15
            return


async def test_half_written_words_are_for_none_but_those_whom_the_source_names_now(
    mortal_database: MortalDatabase,
) -> None:
    fate = mortal_database.fate
    fate.dies_at = -1
    index = MortalIndex(fate)
    source = ListConnector(f"source{next(_numbers)}")
    source.put("a", "Old words.", frozenset({"finance"}))
    await _sync(index, mortal_database).run(Source(source, "docs"))
    source.put("a", "New words. " * 200, frozenset({"everyone", "finance"}))
    deaths = 0
    for dies_at in count(1):
        fate.step, fate.dies_at, fate.after = 0, dies_at, True
        with suppress(Killed):
            await _sync(index, mortal_database).run(Source(source, "docs"))
        if any("everyone" in entry.passage.readers for entry in index._entries["docs"].values()):
            break
        deaths += 1
    assert deaths, "the first step already wrote new words"
    fate.dies_at = -1
    source.tell(Document("a", "3", data=b"\0no text\0", readers=frozenset({"finance", "staff"})))
    await _sync(index, mortal_database).run(Source(source, "docs"))
    assert {entry.passage.readers for entry in index._entries["docs"].values()} == {frozenset({"group:finance"})}


Step = tuple[Literal["put", "delete", "fault", "readers"], str, int]
_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "fault", "readers"]), st.sampled_from("abc"), st.integers(0, 3)
    ),
    max_size=6,
)
_numbers = count()
_READERS = [frozenset({"everyone"}), frozenset({"finance"}), frozenset({"staff", "user:ana"}), frozenset[str]()]


def _apply(source: ListConnector, held: dict[str, tuple[int, int]], steps: Sequence[Step]) -> None:
    for kind, id, number in steps:
        text, readers = held.get(id, (0, 0))
        match kind:
            case "delete":
                held.pop(id, None)
                source.delete(id)
                continue
            case "fault":
                source.tell(Fault(id, "cannot be read"))
                continue
            case "put":
                text = number
            case "readers":
                readers = number
        held[id] = (text, readers)
        source.put(id, f"Document {id} says {'something long ' * 60 * text}. The end.", readers=_READERS[readers])


@given(st.lists(st.tuples(_steps, st.integers(0, 24), st.booleans()), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_history_of_changes_and_deaths_ends_as_if_nothing_had_died(
    mortal_database: MortalDatabase, history: list[tuple[list[Step], int, bool]]
) -> None:
    async def scenario() -> None:
        name = f"source{next(_numbers)}"
        fate = mortal_database.fate
        index = MortalIndex(fate)
        source = ListConnector(name, batch=2)
        held: dict[str, tuple[int, int]] = {}
        for steps, dies_at, after in history:
            _apply(source, held, steps)
            fate.step, fate.dies_at, fate.after = 0, dies_at, after
            with suppress(Killed):
                await _sync(index, mortal_database).run(Source(source, "docs"), allow_empty=True)
            fate.dies_at = -1
        # Faults would leave old words standing, which depend on the history: let every document be readable at the end.
        for id, (text, readers) in held.items():
            _apply(source, {id: (text, readers)}, [("put", id, text)])
        for change in [change for _, change in source._changes.values() if isinstance(change, Fault)]:
            if change.id not in held:
                source.delete(change.id)
        await _sync(index, mortal_database).run(Source(source, "docs"), allow_empty=True)

        assert _dump(index) == await _undisturbed(source, mortal_database)

    asyncio.run(scenario())


def _sync(index: MemoryIndex, database: Database) -> Sync:
    return Sync(
        index=index, embedder=HashEmbedder(), terms=Bm25Encoder(), parser=InProcess(), database=database, detect=guess
    )


async def _undisturbed(source: ListConnector, database: Database) -> dict[str, tuple[object, bytes]]:
    """What a first run over the source as it is now leaves; its index is another one, so all state is void for it."""
    fresh = MemoryIndex()
    await _sync(fresh, database).run(Source(source, "docs"), allow_empty=True)
    return _dump(fresh)


def _dump(index: MemoryIndex) -> dict[str, tuple[object, bytes]]:
    entries = index._entries["docs"]
    return {id: (entry.passage, entry.dense.tobytes()) for id, entry in entries.items()}
