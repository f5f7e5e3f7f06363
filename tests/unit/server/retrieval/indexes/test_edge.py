import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from os import stat
from pathlib import Path

import pytest

from rungwise_server.errors import IndexBusy, SetupError, Unavailable
from rungwise_server.filters import Compare
from rungwise_server.retrieval.indexes.attributes import MARKS
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.testing.retrieval_index import ALL, SPEC, entry, query, texts
from rungwise_server.testing.scratch import scratch


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as path:
        yield path / "index"


def names(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def damage(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.write_text("{")


async def fill(folder: Path, words: str = "apple pear plum") -> None:
    index = EdgeIndex(folder)
    await index.create("docs", SPEC)
    await index.upsert("docs", [entry(word, start=i) for i, word in enumerate(words.split())])
    await index.close()


async def test_what_was_written_is_there_when_it_is_opened_again(folder: Path) -> None:
    await fill(folder)
    index = EdgeIndex(folder)
    await index.load()
    assert await index.count("docs") == 3
    assert texts((await index.search("docs", query("pear"))).sparse) == ["pear"]
    spec = await index.describe("docs")
    assert spec == await index.create("docs", SPEC)
    await index.close()
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await index.count("docs")


async def test_nobody_else_may_read_the_folder(folder: Path) -> None:
    await fill(folder)
    assert stat(folder).st_mode & 0o077 == 0


async def test_one_at_a_time(folder: Path) -> None:
    index = EdgeIndex(folder, "rungwise serve")
    with pytest.raises(IndexBusy, match=rf"pid {os.getpid()}, rungwise serve.*stop that one"):
        EdgeIndex(folder)
    await index.close()
    await EdgeIndex(folder).close()


async def test_a_long_document_comes_back_whole(folder: Path) -> None:
    index = EdgeIndex(folder)
    await index.create("docs", SPEC)
    long = [entry(f"word {i}", start=i, document_id="long") for i in range(4500)]
    await index.upsert("docs", long)
    await index.upsert("docs", [entry("word", document_id=f"d{i}") for i in range(4500)])
    around = await index.neighbours(long[7].passage, ALL)
    assert [p.start for p in around] == list(range(4500))
    assert len(await index.documents("docs", "folder")) == 4501
    await index.close()


async def test_what_a_process_that_died_left_behind_is_swept(folder: Path) -> None:
    await fill(folder)
    shutil.copytree(folder / "docs", folder / ".making-other")
    (folder / ".dropped-shard-1" / "x").mkdir(parents=True)
    (folder / "docs" / "shard-00000000").mkdir()
    index = EdgeIndex(folder)
    assert await index.describe("other") is None
    assert await index.count("docs") == 3
    assert names(folder) == ["docs", "lock"]
    assert len(names(folder, "docs/shard-*")) == 1
    await index.create("other", SPEC)
    await index.close()


async def test_a_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    (folder / "Photos").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"Photos is no collection.*move it elsewhere"):
        EdgeIndex(folder)
    assert (folder / "Photos").is_dir()
    (folder / "Photos").rmdir()
    await EdgeIndex(folder).close()  # the lock was let go


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    with pytest.raises(SetupError, match="cannot use"):
        EdgeIndex(tmp_path / "index")


async def test_a_damaged_description_says_what_to_do(folder: Path) -> None:
    await fill(folder)
    (folder / "docs" / "collection.json").write_text("{")
    with pytest.raises(SetupError, match=r"damaged.*rungwise ingest"):
        EdgeIndex(folder)


async def test_a_format_of_tomorrow_is_not_guessed_at(folder: Path) -> None:
    await fill(folder)
    description = folder / "docs" / "collection.json"
    description.write_text(description.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(SetupError, match=r"format 2.*upgrade"):
        EdgeIndex(folder)


async def test_damaged_segments_say_what_to_do(folder: Path) -> None:
    await fill(folder)
    damage(folder, "docs/shard-*/segments/*/segment.json")
    index = EdgeIndex(folder)
    with pytest.raises(SetupError, match=r"cannot be read.*delete .*docs and run `rungwise ingest`"):
        await index.load()
    await index.drop("docs")
    await index.create("docs", SPEC)
    assert await index.count("docs") == 0
    await index.close()


async def test_a_full_disk_is_noticed_before_it_kills(folder: Path) -> None:
    await fill(folder)
    index = EdgeIndex(folder, reserve=1 << 60)
    with pytest.raises(Unavailable, match=r"nearly full.*make room"):
        await index.upsert("docs", [entry("fig")])
    with pytest.raises(Unavailable, match="nearly full"):
        await index.create("more", SPEC)
    with pytest.raises(Unavailable, match="nearly full"):
        await index.set_readers("docs", "folder", "doc", frozenset({"group:hr"}))
    assert await index.describe("more") is None
    assert len((await index.search("docs", query("pear"))).dense) == 3
    await index.close()


async def test_optimising_gives_the_same_answers_while_others_search(folder: Path) -> None:
    index = EdgeIndex(folder)
    await index.create("docs", SPEC)
    await index.upsert("docs", [entry(f"apple {i}", start=i, attributes={"n": i / 7}) for i in range(3000)])
    await index.remove("docs", "folder", "other")
    before = await index.search("docs", query("apple 77"))
    last = query("apple", filter=Compare("gte", "n", (2995 / 7,)))
    optimising = asyncio.create_task(index.optimise("docs"))
    writing = asyncio.create_task(index.upsert("docs", [entry("plum")]))
    while not optimising.done():
        assert texts((await index.search("docs", query("apple 77"))).dense)[0] == "apple 77"
    await asyncio.gather(optimising, writing)
    after = await index.search("docs", query("apple 77"))
    assert texts(after.dense)[0] == texts(before.dense)[0] == "apple 77"
    found = (await index.search("docs", last)).dense
    assert {passage.attributes["n"] for passage in found} == {i / 7 for i in range(2995, 3000)}
    assert await index.count("docs") == 3001
    assert len(names(folder, "docs/shard-*")) == 1
    await index.close()
    index = EdgeIndex(folder)
    assert await index.count("docs") == 3001
    await index.close()


async def test_a_shard_of_an_earlier_version_gets_the_indexes_that_it_lacks(folder: Path) -> None:
    import qdrant_edge

    await fill(folder)
    path = folder / "docs" / names(folder / "docs", "shard-*")[0]
    for _ in range(2):
        old = qdrant_edge.EdgeShard.load(str(path))
        old.update(qdrant_edge.UpdateOperation.delete_field_index(MARKS))
        old.close()
        index = EdgeIndex(folder)
        await index.set_attributes("docs", "folder", "doc", {"kind": "memo"})
        assert len((await index.search("docs", query("pear", filter=Compare("eq", "kind", ("memo",))))).dense) == 3
        await index.close()
        old = qdrant_edge.EdgeShard.load(str(path))
        assert MARKS in old.info().payload_schema
        old.close()


async def test_a_collection_that_grows_too_large_says_so_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = EdgeIndex(folder, large=20)
    await index.create("docs", SPEC)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await index.upsert("docs", [entry(f"apple {i}", start=i) for i in range(20)])
        assert not caplog.records, "what is written over does not count"
        await index.upsert("docs", [entry("plum")])
        await index.upsert("docs", [entry("fig")])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "index: {kind: qdrant, url:" in caplog.text
    await index.close()
