"""The engine, over everything that happens to a source: one life told in one file, longer than most for that."""

import gzip
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.records import Records
from rungwise_connectors.testing import ListConnector
from rungwise_connectors.types import Batch, Cursor, Deletion, Document, Fault, SourceError
from rungwise_pipelines.ingest.flow import AHEAD
from rungwise_pipelines.ingest.state import SourceState
from rungwise_server.database import Database, open_database
from rungwise_server.errors import EmbedderMismatch, UpstreamError, UpstreamRefused
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Vector

if TYPE_CHECKING:
    from tests.unit.pipelines.ingest.conftest import Room

    from rungwise_pipelines.ingest.report import SourceReport


def counts(report: "SourceReport") -> tuple[int, int, int, int, int, int]:
    return (
        report.new,
        report.changed,
        report.unchanged,
        report.readers_changed,
        report.deleted,
        len(report.failed),
    )


async def test_a_folder_through_its_life(room: "Room", folder: Path) -> None:
    source = Folder("handbook", folder)
    (folder / "leave.md").write_text("# Leave\n\nThirty days a year.\n")
    (folder / "pay.txt").write_text("Pay day is the 25th.")
    (folder / "sub").mkdir()
    (folder / "sub" / "it.md").write_text("---\nreaders: [staff]\n---\n# IT\n\nPasswords have 14 characters.\n")

    report = await room.run(source)
    assert counts(report) == (3, 0, 0, 0, 0, 0)
    assert report.passages == room.embedded() == 3
    assert (await room.readers())["sub/it.md"] == {"group:staff"}
    first = await room.passages()

    report = await room.run(source)
    assert counts(report) == (0, 0, 3, 0, 0, 0)
    assert room.embedded() == 0
    assert await room.passages() == first

    (folder / "pay.txt").write_text("Pay day is the 27th.")
    (folder / "new.txt").write_text("A new one.")
    report = await room.run(source)
    assert counts(report) == (1, 1, 2, 0, 0, 0)
    assert room.embedded() == 2
    assert (await room.texts())["pay.txt"] == "Pay day is the 27th."

    (folder / "new.txt").unlink()
    (folder / "leave.md").rename(folder / "holidays.md")
    report = await room.run(source)
    assert counts(report) == (1, 0, 2, 0, 2, 0)
    assert (await room.texts()).keys() == {"holidays.md", "pay.txt", "sub/it.md"}

    room.embedded()
    (folder / "sub" / "it.md").write_text("---\nreaders: [finance]\n---\n# IT\n\nPasswords have 14 characters.\n")
    report = await room.run(source)
    assert counts(report) == (0, 0, 2, 1, 0, 0)
    assert room.embedded() == 0
    assert (await room.readers())["sub/it.md"] == {"group:finance"}


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
    assert counts(report) == (0, 1, 2, 0, 0, 0)
    assert "Second words." in (await room.texts())["a.md"]


async def test_records_with_readers_of_their_own(room: "Room", tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl.gz"

    def write(*records: Mapping[str, object]) -> None:
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))

    one = {"id": "1", "title": "One", "text": "For all.", "readers": ["everyone"]}
    two = {"id": "2", "title": "Two", "text": "For finance and Ana.", "readers": ["finance", "user:ana"]}
    three = {"id": "3", "title": "Three", "text": "Nobody said."}
    write(one, two, three)
    source = Records("records", file)
    report = await room.run(source, readers=())
    assert [failure.id for failure in report.failed] == ["3"]
    assert "no readers" in report.failed[0].reason
    assert await room.readers() == {"1": {"everyone"}, "2": {"group:finance", "user:ana"}}

    room.embedded()
    write(one, {**two, "readers": "staff"}, three)
    report = await room.run(source, readers=())
    assert counts(report) == (0, 0, 1, 1, 0, 1)
    assert room.embedded() == 0
    assert (await room.readers())["2"] == {"group:staff"}


async def test_nothing_is_indexed_without_readers(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    report = await room.run(Folder("handbook", folder), readers=())
    assert counts(report) == (0, 0, 0, 0, 0, 1)
    assert "readers: [everyone]" in report.failed[0].reason
    assert await room.passages() == []
    assert room.embedded() == 0

    report = await room.run(Folder("handbook", folder), readers=("group:staff",))
    assert counts(report) == (1, 0, 0, 0, 0, 0)
    assert await room.readers() == {"a.txt": {"group:staff"}}


async def test_other_readers_of_the_source_reach_documents_that_did_not_change(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    (folder / "b.md").write_text("---\nreaders: [finance]\n---\nMore words.")
    source = Folder("handbook", folder)
    await room.run(source, readers=("everyone",))
    room.embedded()
    report = await room.run(source, readers=("group:staff",))
    assert counts(report) == (0, 0, 1, 1, 0, 0)
    assert room.embedded() == 0
    assert await room.readers() == {"a.txt": {"group:staff"}, "b.md": {"group:finance"}}


@pytest.mark.parametrize("readers", [frozenset[str](), frozenset({"finance", "two words"}), frozenset({"robot:r2"})])
async def test_what_nobody_may_read_any_more_leaves_the_index(room: "Room", readers: frozenset[str]) -> None:
    source = ListConnector("wiki", {"a": "Open words.", "b": "Other words."})
    await room.run(source)
    source.put("a", "Open words.", readers=readers)
    report = await room.run(source)
    assert [failure.id for failure in report.failed] == ["a"]
    assert (await room.texts()).keys() == {"b"}
    source.put("a", "Open words.", readers=frozenset({"finance"}))
    assert counts(await room.run(source)) == (0, 1, 1, 0, 0, 0)
    assert (await room.readers())["a"] == {"group:finance"}


async def test_what_names_its_readers_wrongly_in_itself_leaves_the_index(room: "Room", folder: Path) -> None:
    (folder / "a.md").write_text("---\nreaders: [staff]\n---\nOpen words.")
    (folder / "r.jsonl").write_text('{"id": "1", "text": "A record.", "readers": ["staff"]}\n')
    source = Folder("handbook", folder)
    await room.run(source)
    assert (await room.texts()).keys() == {"a.md", "r.jsonl#1"}
    (folder / "a.md").write_text("---\nreaders: {staff: yes}\n---\nOpen words.")
    (folder / "r.jsonl").write_text('{"id": "1", "text": "A record.", "readers": 7}\n')
    report = await room.run(source)
    assert {failure.id for failure in report.failed} == {"a.md", "r.jsonl#1"}
    assert await room.texts() == {}


async def test_no_more_is_read_ahead_than_is_allowed(room: "Room") -> None:
    source = ListConnector("wiki", {str(n): f"Document {n}." for n in range(300)}, batch=7)
    assert counts(await room.run(source)) == (300, 0, 0, 0, 0, 0)
    assert room.parser.most <= AHEAD + 1
    assert counts(await room.run(source)) == (0, 0, 300, 0, 0, 0)
    assert room.parser.parsed == 300


async def test_a_document_that_comes_twice_is_its_last_word(room: "Room") -> None:
    class Twice(ListConnector):
        async def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
            words = ("first", "second", "third")
            documents = [
                Document("a", word, text=f"The {word} words.", readers=frozenset({"everyone"})) for word in words
            ]
            yield Batch((*documents, Deletion("b"), Document("b", "1", text="Back again.")), "1")

        async def ids(self) -> AsyncIterator[str]:
            for id in ("a", "b"):
                yield id

    report = await room.run(Twice())
    assert counts(report) == (2, 0, 0, 0, 0, 0)
    assert await room.texts() == {"a": "The third words.", "b": "Back again."}


async def test_sources_with_the_same_ids_never_touch_each_other(room: "Room") -> None:
    one = ListConnector("one", {"a": "Of one.", "b": "Of one."})
    two = ListConnector("two", {"a": "Of two.", "c": "Of two."})
    await room.run(one)
    await room.run(two)
    one.delete("a")
    one.put("b", "Of one, changed.")
    await room.run(one)
    held = [(passage.source, passage.document_id, passage.text) for passage in await room.passages()]
    assert held == [("one", "b", "Of one, changed."), ("two", "a", "Of two."), ("two", "c", "Of two.")]


async def test_an_empty_listing_is_believed_the_second_time(room: "Room", folder: Path) -> None:
    source = Folder("handbook", folder)
    files = [folder / f"{n}.txt" for n in range(12)]
    for file in files:
        file.write_text("Words.")
    await room.run(source)

    for file in files[1:]:
        file.unlink()
    report = await room.run(source)
    assert "nothing was removed" in report.warning
    assert len(await room.texts()) == 12

    for file in files[1:]:
        file.write_text("Words.")
    assert not (await room.run(source)).warning
    for file in files:
        file.unlink()
    assert (await room.run(source)).warning, "the listing in between was a good one: this is a first time again"
    report = await room.run(source)
    assert counts(report) == (0, 0, 0, 0, 12, 0)
    assert await room.texts() == {}


async def test_an_empty_listing_is_believed_at_once_where_somebody_says_so(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    await room.run(Folder("handbook", folder))
    (folder / "a.txt").unlink()
    assert counts(await room.run(Folder("handbook", folder), allow_empty=True)) == (0, 0, 0, 0, 1, 0)


async def test_a_source_without_documents_is_said_to_have_none(room: "Room", folder: Path) -> None:
    assert "no documents" in (await room.run(Folder("handbook", folder))).warning


async def test_what_is_listed_but_was_never_told_is_read(room: "Room") -> None:
    class Forgetful(ListConnector):
        def hide(self) -> None:
            self._changes = {id: (1, change) for id, (_, change) in self._changes.items()}

    source = Forgetful("wiki", {"a": "Known words."})
    await room.run(source)
    source.put("moved", "Words with an old date.")
    source.hide()
    assert counts(await room.run(source)) == (1, 0, 1, 0, 0, 0)
    assert (await room.texts()).keys() == {"a", "moved"}


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
    assert counts(await room.run(source)) == (0, 0, 1, 0, 0, 0)
    assert (await SourceState.load(database, "wiki")).documents.keys() == {"a"}


async def test_a_dropped_collection_is_filled_again(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source)
    before = await room.passages()
    await room.index.drop("docs")
    assert counts(await room.run(source)) == (1, 0, 0, 0, 0, 0)
    assert await room.passages() == before


async def test_lost_state_leaves_nothing_behind_in_the_index(room: "Room", tmp_path: Path) -> None:
    source = ListConnector("wiki", {"a": "Words.", "b": "Other words."})
    await room.run(source)
    source.delete("b")
    room.database = open_database(f"sqlite:///{tmp_path / 'other.db'}")
    await room.run(source)
    room.database.close()
    assert (await room.texts()).keys() == {"a"}


async def test_a_source_that_moves_takes_its_documents_along(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source, collection="old")
    await room.run(source, collection="new")
    assert await room.texts("old") == {}
    assert (await room.texts("new")).keys() == {"a"}


async def test_another_embedder_is_refused_with_what_to_do_and_can_rebuild(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source)
    room.embedder = type(room.embedder)(HashEmbedder(32))
    with pytest.raises(EmbedderMismatch, match="rungwise ingest --rebuild"):
        await room.run(source)
    assert await room.sync().rebuild("docs") == ["wiki"]
    assert counts(await room.run(source)) == (1, 0, 0, 0, 0, 0)


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
    assert counts(await room.run(source)) == (0, 1, 0, 0, 0, 0)
    assert await room.texts() == {"a": "New words."}


async def test_narrower_readers_hold_before_new_words_are_there_and_nobody_is_let_in(room: "Room") -> None:
    embedder = Picky()
    room.embedder = type(room.embedder)(embedder)
    source = ListConnector("wiki")
    before = {"narrowed": ["everyone", "finance"], "moved": ["staff"], "opened": ["staff"]}
    after = {"narrowed": ["finance"], "moved": ["finance"], "opened": ["staff", "everyone"]}
    for id, readers in before.items():
        source.put(id, "Old words.", frozenset(readers))
    await room.run(source)
    for id, readers in after.items():
        source.put(id, "New words.", frozenset(readers))
    embedder.down = True
    with pytest.raises(UpstreamError):
        await room.run(source)
    assert await room.readers() == {"narrowed": {"group:finance"}, "opened": {"group:staff"}}
    assert set((await room.texts()).values()) == {"Old words."}
    embedder.down = False
    await room.run(source)
    assert await room.readers() == {
        "narrowed": {"group:finance"},
        "moved": {"group:finance"},
        "opened": {"group:staff", "everyone"},
    }
    assert set((await room.texts()).values()) == {"New words."}


async def test_readers_that_a_source_takes_away_hold_for_a_document_that_cannot_be_read(room: "Room") -> None:
    source = ListConnector("wiki")
    source.put("a", "Words.", frozenset({"everyone", "staff"}))
    await room.run(source)
    source.tell(Document("a", "2", data=b"\0no text\0", readers=frozenset({"staff", "finance"})))
    report = await room.run(source)
    assert [failure.id for failure in report.failed] == ["a"]
    assert await room.readers() == {"a": {"group:staff"}}
    source.put("a", "Words.", frozenset({"staff", "finance"}))
    assert counts(await room.run(source)) == (0, 1, 0, 0, 0, 0)
    assert await room.readers() == {"a": {"group:staff", "group:finance"}}


async def test_ids_that_cannot_be_stored_are_named(room: "Room") -> None:
    ids: Iterable[str] = ("nul\0byte", "half \ud800 character", "長" * 1000, "good")
    for _ in range(2):
        report = await room.run(ListConnector("wiki", dict.fromkeys(ids, "Words.")))
        assert {failure.id for failure in report.failed} == {"nul\\0byte", "half \\ud800 character", "長" * 666}
    assert (await room.texts()).keys() == {"good"}
