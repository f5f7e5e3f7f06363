"""The engine, over everything that happens to a source."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from rungwise_connectors.folder import Folder
from rungwise_connectors.testing import ListConnector
from rungwise_connectors.types import Batch, Cursor, Deletion, Document
from rungwise_pipelines.ingest.flow import AHEAD

if TYPE_CHECKING:
    from tests.unit.pipelines.ingest.conftest import Room


async def test_a_folder_through_its_life(room: "Room", folder: Path) -> None:
    source = Folder("handbook", folder)
    (folder / "leave.md").write_text("# Leave\n\nThirty days a year.\n")
    (folder / "pay.txt").write_text("Pay day is the 25th.")
    (folder / "sub").mkdir()
    (folder / "sub" / "it.md").write_text("---\nreaders: [staff]\n---\n# IT\n\nPasswords have 14 characters.\n")

    report = await room.run(source)
    assert room.counts(report) == (3, 0, 0, 0, 0, 0)
    assert report.passages == room.embedded() == 3
    assert (await room.readers())["sub/it.md"] == {"group:staff"}
    first = await room.passages()

    report = await room.run(source)
    assert room.counts(report) == (0, 0, 3, 0, 0, 0)
    assert room.embedded() == 0
    assert await room.passages() == first

    (folder / "pay.txt").write_text("Pay day is the 27th.")
    (folder / "new.txt").write_text("A new one.")
    report = await room.run(source)
    assert room.counts(report) == (1, 1, 2, 0, 0, 0)
    assert room.embedded() == 2
    assert (await room.texts())["pay.txt"] == "Pay day is the 27th."

    (folder / "new.txt").unlink()
    (folder / "leave.md").rename(folder / "holidays.md")
    report = await room.run(source)
    assert room.counts(report) == (1, 0, 2, 0, 2, 0)
    assert (await room.texts()).keys() == {"holidays.md", "pay.txt", "sub/it.md"}

    room.embedded()
    (folder / "sub" / "it.md").write_text("---\nreaders: [finance]\n---\n# IT\n\nPasswords have 14 characters.\n")
    report = await room.run(source)
    assert room.counts(report) == (0, 0, 2, 1, 0, 0)
    assert room.embedded() == 0
    assert (await room.readers())["sub/it.md"] == {"group:finance"}


async def test_no_more_is_read_ahead_than_is_allowed(room: "Room") -> None:
    source = ListConnector("wiki", {str(n): f"Document {n}." for n in range(300)}, batch=7)
    assert room.counts(await room.run(source)) == (300, 0, 0, 0, 0, 0)
    assert room.parser.most <= AHEAD + 1
    assert room.counts(await room.run(source)) == (0, 0, 300, 0, 0, 0)
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
    assert room.counts(report) == (2, 0, 0, 0, 0, 0)
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
    assert room.counts(report) == (0, 0, 0, 0, 12, 0)
    assert await room.texts() == {}


async def test_an_empty_listing_is_believed_at_once_where_somebody_says_so(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    await room.run(Folder("handbook", folder))
    (folder / "a.txt").unlink()
    assert room.counts(await room.run(Folder("handbook", folder), allow_empty=True)) == (0, 0, 0, 0, 1, 0)


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
    assert room.counts(await room.run(source)) == (1, 0, 1, 0, 0, 0)
    assert (await room.texts()).keys() == {"a", "moved"}


async def test_a_dropped_collection_is_filled_again(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source)
    before = await room.passages()
    await room.index.drop("docs")
    assert room.counts(await room.run(source)) == (1, 0, 0, 0, 0, 0)
    assert await room.passages() == before


async def test_a_source_that_moves_takes_its_documents_along(room: "Room") -> None:
    source = ListConnector("wiki", {"a": "Words."})
    await room.run(source, collection="old")
    await room.run(source, collection="new")
    assert await room.texts("old") == {}
    assert (await room.texts("new")).keys() == {"a"}
