"""Who may read what a source holds, through everything that happens to it."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.records import Records
from rungwise_connectors.testing import ListConnector
from rungwise_connectors.types import Document
from rungwise_server.errors import UpstreamError
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Vector

if TYPE_CHECKING:
    from tests.unit.pipelines.ingest.conftest import Room


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
    assert room.counts(report) == (0, 0, 1, 1, 0, 1)
    assert room.embedded() == 0
    assert (await room.readers())["2"] == {"group:staff"}


async def test_nothing_is_indexed_without_readers(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    report = await room.run(Folder("handbook", folder), readers=())
    assert room.counts(report) == (0, 0, 0, 0, 0, 1)
    assert "readers: [everyone]" in report.failed[0].reason
    assert await room.passages() == []
    assert room.embedded() == 0

    report = await room.run(Folder("handbook", folder), readers=("group:staff",))
    assert room.counts(report) == (1, 0, 0, 0, 0, 0)
    assert await room.readers() == {"a.txt": {"group:staff"}}


async def test_other_readers_of_the_source_reach_documents_that_did_not_change(room: "Room", folder: Path) -> None:
    (folder / "a.txt").write_text("Words.")
    (folder / "b.md").write_text("---\nreaders: [finance]\n---\nMore words.")
    source = Folder("handbook", folder)
    await room.run(source, readers=("everyone",))
    room.embedded()
    report = await room.run(source, readers=("group:staff",))
    assert room.counts(report) == (0, 0, 1, 1, 0, 0)
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
    assert room.counts(await room.run(source)) == (0, 1, 1, 0, 0, 0)
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


class Down(HashEmbedder):
    """Is down when told to be."""

    down = False

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        if self.down:
            raise UpstreamError("no connection")
        return await super().embed(texts, kind)


async def test_narrower_readers_hold_before_new_words_are_there_and_nobody_is_let_in(room: "Room") -> None:
    embedder = Down()
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
    assert room.counts(await room.run(source)) == (0, 1, 0, 0, 0, 0)
    assert await room.readers() == {"a": {"group:staff", "group:finance"}}
