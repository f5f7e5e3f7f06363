"""A source, a document, an embedder or a state that fails: it is named, and nothing else is lost."""

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.testing import ListConnector
from rungwise_connectors.types import Batch, Cursor, Fault, SourceError
from rungwise_pipelines.ingest.state import SourceState
from rungwise_server.database import Database, open_database
from rungwise_server.errors import EmbedderMismatch, UpstreamError, UpstreamRefused
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Vector

if TYPE_CHECKING:
    from tests.unit.pipelines.ingest.conftest import Room


async def test_a_broken_file_is_named_and_the_others_go_on(room: "Room", folder: Path) -> None:
    source = Folder("handbook", folder)
    (folder / "a.md").write_text("# A\n\nFirst words.\n")
    (folder / "b.txt").write_text("Good words.")
    await room.run(source)

    (folder / "a.md").write_bytes(b"\x00\x01\x02 no text \x00")
    (folder / "c.pdf").write_bytes(b"")
    (folder / "d.txt").write_text("More good words.")
    for _ in range(2):
        report = await room.run(source)
        assert {failure.id for failure in report.failed} == {"a.md", "c.pdf"}
        assert all(failure.reason for failure in report.failed)
    texts = await room.texts()
    assert texts.keys() == {"a.md", "b.txt", "d.txt"}
    assert "First words." in texts["a.md"], "a document that cannot be read keeps its old passages"

    (folder / "a.md").write_text("# A\n\nSecond words.\n")
    (folder / "c.pdf").unlink()
    report = await room.run(source)
    assert room.counts(report) == (0, 1, 2, 0, 0, 0)
    assert "Second words." in (await room.texts())["a.md"]


class Breaking(ListConnector):
    """Breaks after so many batches."""

    breaks_after = 1

    async def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
        told = 0
        async for batch in super().changes(since):
            if told == self.breaks_after:
                raise SourceError("the wiki does not answer: renew its token")
            told += 1
            yield batch


async def test_a_source_that_breaks_off_keeps_what_it_told_and_loses_nothing(room: "Room") -> None:
    source = Breaking("wiki", {str(n): f"Document {n}." for n in range(6)}, batch=2)
    report = await room.run(source)
    assert report.error == "the wiki does not answer: renew its token"
    assert (await room.texts()).keys() == {"0", "1"}
    source.delete("0")
    source.breaks_after = 2
    report = await room.run(source)
    assert report.error
    assert (await room.texts()).keys() == {"0", "1", "2", "3", "4", "5"}, "nothing goes while the source is broken"
    source.breaks_after = 99
    report = await room.run(source)
    assert not report.error
    assert (await room.texts()).keys() == {"1", "2", "3", "4", "5"}


async def test_faults_are_forgotten_once_they_are_gone(room: "Room", database: Database) -> None:
    source = ListConnector("wiki", {"a": "Words."})
    source.tell(Fault("line 7", "is no JSON"))
    report = await room.run(source)
    assert [(failure.id, failure.reason) for failure in report.failed] == [("line 7", "is no JSON")]
    source._changes.pop("line 7")
    assert room.counts(await room.run(source)) == (0, 0, 1, 0, 0, 0)
    assert (await SourceState.load(database, "wiki")).documents.keys() == {"a"}


async def test_lost_state_leaves_nothing_behind_in_the_index(room: "Room", tmp_path: Path) -> None:
    source = ListConnector("wiki", {"a": "Words.", "b": "Other words."})
    await room.run(source)
    source.delete("b")
    room.database = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    await room.run(source)
    room.database.close()
    assert (await room.texts()).keys() == {"a"}


async def test_another_embedder_is_refused_with_what_to_do_and_can_rebuild(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source)
    room.embedder = type(room.embedder)(HashEmbedder(32))
    with pytest.raises(EmbedderMismatch, match="rungwise ingest --rebuild"):
        await room.run(source)
    assert await room.sync().rebuild("docs") == ["wiki"]
    assert room.counts(await room.run(source)) == (1, 0, 0, 0, 0, 0)


class Picky(HashEmbedder):
    """Refuses texts with a word in them, or is down."""

    down = False

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        if self.down:
            raise UpstreamError("no connection")
        if any("poison" in text for text in texts):
            raise UpstreamRefused("this input is refused", status=400)
        return await super().embed(texts, kind)


async def test_a_document_that_the_embedder_refuses_is_set_aside(room: "Room") -> None:
    room.embedder = type(room.embedder)(Picky())
    source = ListConnector("wiki", {"a": "Old words.", "b": "Words."})
    await room.run(source)
    source.put("a", "A drop of poison.")
    source.put("c", "More words.")
    report = await room.run(source)
    assert [(failure.id, failure.reason) for failure in report.failed] == [
        ("a", "cannot be indexed: this input is refused")
    ]
    assert await room.texts() == {"a": "Old words.", "b": "Words.", "c": "More words."}


async def test_an_embedder_that_is_down_costs_nothing_but_time(room: "Room") -> None:
    embedder = Picky()
    room.embedder = type(room.embedder)(embedder)
    source = ListConnector("wiki", {"a": "Old words."})
    await room.run(source)
    source.put("a", "New words.")
    embedder.down = True
    with pytest.raises(UpstreamError):
        await room.run(source)
    assert await room.texts() == {"a": "Old words."}
    embedder.down = False
    assert room.counts(await room.run(source)) == (0, 1, 0, 0, 0, 0)
    assert await room.texts() == {"a": "New words."}


async def test_ids_that_cannot_be_stored_are_named(room: "Room") -> None:
    ids: Iterable[str] = ("nul\0byte", "half \ud800 character", "長" * 1000, "good")
    for _ in range(2):
        report = await room.run(ListConnector("wiki", dict.fromkeys(ids, "Words.")))
        assert {failure.id for failure in report.failed} == {"nul\\0byte", "half \\ud800 character", "長" * 666}
    assert (await room.texts()).keys() == {"good"}
