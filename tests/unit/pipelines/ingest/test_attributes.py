"""Attributes, from where somebody wrote them to a search that asks for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.records import Records
from rungwise_pipelines.ingest.state import Known, SourceState
from rungwise_server.database import Database
from rungwise_server.errors import Unavailable
from rungwise_server.filters import Compare, Filter, Scalar
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.types import IndexQuery, SparseVector

if TYPE_CHECKING:
    from tests.unit.pipelines.ingest.conftest import Room


class Dying(MemoryIndex):
    """An index that goes away when it is to change attributes, once."""

    dies = False

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        if self.dies:
            self.dies = False
            raise Unavailable("gone")
        await super().set_attributes(collection, source, document_id, attributes)


async def found(room: "Room", filter: Filter) -> set[str]:
    """The documents that a search with this filter finds."""
    everything = np.ones(room.embedder.dimensions, np.float32)
    query = IndexQuery(everything, SparseVector((), ()), frozenset({"everyone", "group:staff"}), 1000, filter)
    return {passage.document_id for passage in (await room.index.search("docs", query)).dense}


async def said(room: "Room") -> dict[str, Mapping[str, Scalar]]:
    return {passage.document_id: passage.attributes for passage in await room.passages()}


async def test_records_and_front_matter_bring_them(room: "Room", folder: Path) -> None:
    (folder / "r.jsonl").write_text('{"id": 1, "text": "One.", "attributes": {"kind": "memo", "year": 2024}}\n')
    (folder / "a.md").write_text("---\nattributes: {kind: memo, year: 2020}\n---\n# A\n\n" + "Words. " * 400)
    (folder / "b.html").write_text("---\nattributes: {new: true}\n---\n<p>Words.</p>")
    (folder / "c.txt").write_text("None.")
    await room.run(Folder("f", folder))
    assert await said(room) == {
        "r.jsonl#1": {"kind": "memo", "year": 2024},
        "a.md": {"kind": "memo", "year": 2020},
        "b.html": {"new": True},
        "c.txt": {},
    }
    assert await found(room, Compare("eq", "kind", ("memo",))) == {"r.jsonl#1", "a.md"}
    assert await found(room, Compare("gt", "year", (2020,))) == {"r.jsonl#1"}


async def test_other_attributes_alone_cost_no_embedding(room: "Room", folder: Path) -> None:
    file = folder / "a.md"

    async def write(front: str) -> tuple[int, int, int, int]:
        file.write_text(f"---\n{front}\n---\nWords.")
        report = await room.run(Folder("f", folder))
        assert not report.failed
        return report.changed, report.readers_changed, report.unchanged, room.embedded()

    await write("attributes: {year: 2020}")
    assert await write("attributes: {year: 2024}") == (1, 0, 0, 0)
    assert await said(room) == {"a.md": {"year": 2024}}
    assert await write("attributes: {year: 2024.0}\ntags: x") == (0, 0, 1, 0)
    assert await write("attributes: {year: '2024'}") == (1, 0, 0, 0)
    assert await write("attributes: {year: true}\nreaders: staff") == (1, 0, 0, 0)
    assert await said(room) == {"a.md": {"year": True}}
    assert await room.readers() == {"a.md": {"group:staff"}}
    assert await write("attributes: {year: true}") == (0, 1, 0, 0)
    assert await write("tags: x") == (1, 0, 0, 0)
    assert await said(room) == {"a.md": {}}
    assert await write("tags: y") == (0, 0, 1, 0)


async def test_an_index_that_goes_away_meanwhile_gets_them_in_the_next_run(room: "Room", tmp_path: Path) -> None:
    index = room.index = Dying()
    file = tmp_path / "r.jsonl"
    for year in (2020, 2024):
        file.write_text(json.dumps({"id": "1", "text": "One.", "attributes": {"year": year}}))
        if year == 2024:
            index.dies = True
            with pytest.raises(Unavailable):
                await room.run(Records("r", file))
        await room.run(Records("r", file))
        assert await said(room) == {"1": {"year": year}}


@pytest.mark.parametrize("text", ["", "New words."])
async def test_a_document_of_no_use_is_named_and_narrowed_all_the_same(room: "Room", folder: Path, text: str) -> None:
    front = "attributes: {year: [2024]}" if text else "title: T"
    for number in (1, 2):
        file, records = folder / "a.md", folder / "r.jsonl"
        if number == 1:
            file.write_text("Old words.")
            records.write_text('{"id": 1, "text": "Old words."}')
        else:
            file.write_text(f"---\n{front}\nreaders: [everyone, staff]\n---\n{text}")
            records.write_text(json.dumps({"id": 1, "text": text, "attributes": {"a": {}}, "readers": "staff"}))
        report = await room.run(Folder("f", folder), readers=("everyone", "group:staff"))
    assert {failure.id for failure in report.failed} == {"a.md", "r.jsonl#1"}
    if text:
        assert all("attribute" in failure.reason for failure in report.failed)
    assert await room.readers() == {"a.md": {"everyone", "group:staff"}, "r.jsonl#1": {"group:staff"}}

    file.write_text(f"---\n{front}\nreaders: hr\n---\n{text}")
    await room.run(Folder("f", folder), readers=("everyone", "group:staff"))
    assert await room.readers() == {"r.jsonl#1": {"group:staff"}}


@pytest.mark.parametrize(("content", "attributes"), [("c", "a"), ("c", ""), ("", "a"), ("", "")])
async def test_both_fingerprints_outlive_the_process(database: Database, content: str, attributes: str) -> None:
    state = await SourceState.load(database, "s")
    await state.begin("docs", "1")
    known = Known("d", "seen", content, frozenset({"everyone"}), 3, "", attributes)
    await state.save([known])
    assert (await SourceState.load(database, "s")).documents == {"d": known}
