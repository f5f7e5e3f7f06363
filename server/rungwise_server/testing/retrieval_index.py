# ruff: noqa: D102  (a test's name says what it holds)
"""The contract suite of `PassageIndex`. `MemoryIndex` is the fake.

A plugin's author subclasses `PassageIndexContract` and overrides the fixture `index` with an empty index:

    class TestMine(PassageIndexContract):
        @pytest.fixture
        async def index(self) -> AsyncIterator[PassageIndex]:
            yield Mine()
"""

import asyncio

import msgspec
import numpy as np
import pytest

from rungwise_server.errors import EmbedderMismatch, NotFound
from rungwise_server.protocols import PassageIndex
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_access import AccessContract
from rungwise_server.testing.retrieval_entries import (
    ALL,
    SCRIPTS,
    SPEC,
    WORDS,
    entry,
    query,
    texts,
    vector,
)
from rungwise_server.types import SparseVector

__all__ = ["ALL", "SPEC", "MemoryIndex", "PassageIndexContract", "entry", "query", "texts", "vector"]


class PassageIndexContract(AccessContract):
    """What every `PassageIndex` does. Subclasses override `index`."""

    @pytest.fixture
    def index(self) -> PassageIndex:
        """An index without collections. The fixture that overrides this one closes it."""
        raise NotImplementedError

    @pytest.fixture
    async def docs(self, index: PassageIndex) -> PassageIndex:
        """The index, with an empty collection `docs`."""
        await index.create("docs", SPEC)
        return index

    async def test_a_collection_is_made_once_and_keeps_its_id(self, index: PassageIndex) -> None:
        assert await index.describe("docs") is None
        made = await index.create("docs", SPEC)
        assert made.id
        assert msgspec.structs.replace(made, id="") == SPEC
        assert await index.create("docs", SPEC) == made
        assert await index.describe("docs") == made
        assert (await index.create("other", SPEC)).id != made.id

    @pytest.mark.parametrize("change", [{"embedder": "x"}, {"dimensions": 4}, {"sparse": "x"}])
    async def test_another_embedder_is_refused(self, docs: PassageIndex, change: dict[str, str | int]) -> None:
        with pytest.raises(EmbedderMismatch, match=r"docs.*rungwise ingest"):
            await docs.create("docs", msgspec.structs.replace(SPEC, **change))
        held = await docs.describe("docs")
        assert held
        assert (held.embedder, held.dimensions, held.sparse) == (SPEC.embedder, SPEC.dimensions, SPEC.sparse)

    @pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "a b", "x" * 65, "a\x00"])
    async def test_a_name_that_is_none_is_refused(self, index: PassageIndex, name: str) -> None:
        with pytest.raises(ValueError, match="no name"):
            await index.create(name, SPEC)
        assert await index.describe(name) is None

    async def test_a_collection_that_is_not_there_is_empty(self, index: PassageIndex) -> None:
        hits = await index.search("docs", query("apple"))
        assert (hits.dense, hits.sparse) == ([], [])
        assert await index.count("docs") == 0
        assert await index.documents("docs", "folder") == set()
        assert await index.neighbours(entry("apple").passage, ALL) == []
        await index.remove("docs", "folder", "doc")
        await index.set_readers("docs", "folder", "doc", ALL)
        await index.set_attributes("docs", "folder", "doc", {"a": 1})
        await index.drop("docs")
        with pytest.raises(NotFound, match="create it first"):
            await index.upsert("docs", [entry("apple")])
        assert await index.describe("docs") is None

    async def test_an_empty_collection_finds_nothing(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [])
        hits = await docs.search("docs", query("apple"))
        assert (hits.dense, hits.sparse) == ([], [])
        assert await docs.count("docs") == 0

    async def test_what_is_written_twice_is_there_once(self, docs: PassageIndex) -> None:
        entries = [entry(word, start=i) for i, word in enumerate(WORDS)]
        await docs.upsert("docs", entries)
        await docs.upsert("docs", entries[:2])
        assert await docs.count("docs") == len(WORDS)

    async def test_every_field_comes_back(self, docs: PassageIndex) -> None:
        plain = entry("apple pear")
        full = msgspec.structs.replace(
            plain.passage,
            readers=frozenset({"user:ana", "group:finance"}),
            title="Fruit",
            headings=("Trees", "Rosaceae › Malus"),
            page=7,
            start=1 << 33,
            end=(1 << 33) + 10,
            url="https://example.org/?a=1&b=ü#x",
            language="de",
            attributes={"year": 2024.0, "price": 0.1 + 0.2, "new": True, "kind": "ü"},
        )
        await docs.upsert("docs", [msgspec.structs.replace(plain, passage=full)])
        assert await docs.get(full.id, frozenset({"user:ana"})) == full
        assert await docs.neighbours(full, frozenset({"group:finance"})) == [full]
        hits = await docs.search("docs", query("apple", frozenset({"user:ana"})))
        for hit in (*hits.dense, *hits.sparse):
            assert hit.score != 0
            assert msgspec.structs.replace(hit, score=0.0) == full
        bare = entry("fig", source="", version="", document_id="x").passage
        await docs.upsert("docs", [msgspec.structs.replace(plain, passage=bare)])
        assert await docs.get(bare.id, ALL) == bare

    @pytest.mark.parametrize("text", SCRIPTS)
    async def test_every_script_comes_back(self, docs: PassageIndex, text: str) -> None:
        written = entry(text, document_id=text, source=text, version=text, readers=frozenset({f"group:{text}"}))
        await docs.upsert("docs", [written, entry("apple")])
        principals = written.passage.readers
        hits = await docs.search("docs", query(text, principals))
        assert texts(hits.dense) == [text]
        assert texts(hits.sparse) == ([text] if text.split() else [])
        assert await docs.get(written.passage.id, principals) == written.passage
        assert await docs.documents("docs", text) == {text}
        await docs.remove("docs", text, text, keep_version=text)
        assert await docs.count("docs") == 2
        await docs.remove("docs", text, text)
        assert await docs.count("docs") == 1

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"readers": frozenset()}, "no readers"),
            ({"readers": frozenset({""})}, "no readers"),
            ({"id": "1"}, "no UUID"),
            ({"id": "{9b2c3e1e-6b0c-5d0e-8f57-0f8c8d1d2a11}"}, "no UUID"),
            ({"collection": "other"}, "belongs to"),
            ({"text": "half \ud83d"}, "no Unicode"),
            ({"headings": ("\udc00",)}, "no Unicode"),
        ],
    )
    async def test_a_bad_passage_is_refused_with_its_whole_batch(
        self, docs: PassageIndex, change: dict[str, object], error: str
    ) -> None:
        bad = entry("pear")
        bad = msgspec.structs.replace(bad, passage=msgspec.structs.replace(bad.passage, **change))
        with pytest.raises(ValueError, match=error):
            await docs.upsert("docs", [entry("apple"), bad])
        assert await docs.count("docs") == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"dense": np.full(8, np.nan, np.float32)},
            {"dense": np.full(8, np.inf, np.float32)},
            {"sparse": SparseVector((1,), (float("nan"),))},
            {"sparse": SparseVector((1, 1), (1.0, 2.0))},
            {"sparse": SparseVector((1, 2), (1.0,))},
            {"sparse": SparseVector((1 << 32,), (1.0,))},
            {"sparse": SparseVector((-1,), (1.0,))},
        ],
    )
    async def test_a_vector_that_is_none_is_refused(self, docs: PassageIndex, change: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"NaN|sparse"):
            await docs.upsert("docs", [entry("apple"), msgspec.structs.replace(entry("pear"), **change)])
        assert await docs.count("docs") == 0
        with pytest.raises(ValueError, match=r"NaN|sparse"):
            await docs.search("docs", msgspec.structs.replace(query("pear"), **change))

    async def test_vectors_of_another_length_are_refused(self, docs: PassageIndex) -> None:
        short = msgspec.structs.replace(entry("pear"), dense=vector("pear", 3))
        with pytest.raises(EmbedderMismatch, match="8 dimensions"):
            await docs.upsert("docs", [entry("apple"), short])
        assert await docs.count("docs") == 0
        with pytest.raises(EmbedderMismatch, match="8 dimensions"):
            await docs.search("docs", msgspec.structs.replace(query("pear"), dense=vector("pear", 3)))

    async def test_the_nearest_comes_first(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [entry(word, document_id=word) for word in WORDS])
        for word in WORDS:
            dense = (await docs.search("docs", query(word))).dense
            scores = [hit.score for hit in dense]
            assert dense[0].text == word
            assert scores[0] == pytest.approx(1.0, abs=1e-4)
            assert scores == sorted(scores, reverse=True)
            assert scores == pytest.approx([float(vector(word) @ vector(hit.text)) for hit in dense], abs=1e-4)

    async def test_a_rare_word_weighs_more_than_a_common_one(self, docs: PassageIndex) -> None:
        common = [entry(f"apple {word}", document_id=word) for word in WORDS[1:]]
        await docs.upsert("docs", [*common, entry("quince", document_id="rare"), entry("  ", document_id="blank")])
        found = (await docs.search("docs", query("apple quince"))).sparse
        assert texts(found)[0] == "quince"
        assert set(texts(found)) == {"quince", *(e.passage.text for e in common)}
        assert found[0].score > found[1].score > 0

    async def test_a_query_without_words_searches_by_meaning_alone(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [entry("apple"), entry("  ", document_id="blank")])
        hits = await docs.search("docs", query("  "))
        assert texts(hits.dense)[0] == "  "
        assert hits.sparse == []

    @pytest.mark.parametrize("limit", [0, 1, 3, 100])
    async def test_no_more_than_the_limit(self, docs: PassageIndex, limit: int) -> None:
        await docs.upsert("docs", [entry(f"apple {word}", document_id=word) for word in WORDS])
        hits = await docs.search("docs", query("apple", limit=limit))
        assert len(hits.dense) == len(hits.sparse) == min(limit, len(WORDS))

    async def test_ties_go_by_id(self, docs: PassageIndex) -> None:
        same = [entry("apple", document_id=f"d{i}") for i in range(20)]
        await docs.upsert("docs", same[10:])
        await docs.upsert("docs", same[:10])
        hits = await docs.search("docs", query("apple", limit=20))
        ids = sorted(e.passage.id for e in same)
        assert [hit.id for hit in hits.dense] == [hit.id for hit in hits.sparse] == ids

    async def test_a_new_version_takes_the_place_of_the_old(self, docs: PassageIndex) -> None:
        old = [entry("kept", start=0), entry("gone", start=5)]
        new = [entry("kept", start=0, version="2"), entry("fresh", start=5, version="2")]
        await docs.upsert("docs", [*old, entry("other", document_id="other"), entry("gone", source="wiki")])
        await docs.upsert("docs", new)
        await docs.remove("docs", "folder", "doc", keep_version="2")
        found = (await docs.search("docs", query("kept"))).dense
        assert sorted((hit.text, hit.version, hit.source) for hit in found) == [
            ("fresh", "2", "folder"),
            ("gone", "1", "wiki"),
            ("kept", "2", "folder"),
            ("other", "1", "folder"),
        ]
        assert await docs.count("docs") == 4
        await docs.remove("docs", "folder", "doc")
        await docs.remove("docs", "folder", "not there")
        assert await docs.count("docs") == 2
        assert await docs.get(new[0].passage.id, ALL) is None

    async def test_documents_are_those_of_the_source(self, docs: PassageIndex) -> None:
        await docs.upsert("docs", [entry(w, document_id=f"d{i % 2}", start=i) for i, w in enumerate(WORDS)])
        await docs.upsert("docs", [entry("apple", document_id="w", source="wiki")])
        assert await docs.documents("docs", "folder") == {"d0", "d1"}
        assert await docs.documents("docs", "wiki") == {"w"}
        assert await docs.documents("docs", "nowhere") == set()

    async def test_neighbours_are_the_document_in_order(self, docs: PassageIndex) -> None:
        document = [entry(word, start=100 - i) for i, word in enumerate(WORDS)]
        await docs.upsert("docs", document)
        await docs.upsert("docs", [entry("apple", version="2", start=3), entry("apple", source="wiki")])
        await docs.upsert("docs", [entry("apple", document_id="other")])
        around = await docs.neighbours(document[0].passage, ALL)
        assert around == [e.passage for e in reversed(document)]

    async def test_a_passage_is_found_in_whichever_collection(self, docs: PassageIndex) -> None:
        await docs.create("more", SPEC)
        written = entry("apple", collection="more")
        await docs.upsert("more", [written])
        assert await docs.get(written.passage.id, ALL) == written.passage
        for junk in ("", "x", written.passage.id.upper(), f"urn:uuid:{written.passage.id}", "0", "../a", "a\x00"):
            assert await docs.get(junk, ALL) is None
        assert await docs.get(entry("pear").passage.id, ALL) is None

    async def test_a_dropped_collection_is_gone_alone(self, docs: PassageIndex) -> None:
        before = await docs.create("docs", SPEC)
        await docs.create("more", SPEC)
        await docs.upsert("docs", [entry("apple")])
        await docs.upsert("more", [entry("apple", collection="more")])
        await docs.drop("docs")
        assert await docs.describe("docs") is None
        assert await docs.get(entry("apple").passage.id, ALL) is None
        assert await docs.count("more") == 1
        again = await docs.create("docs", msgspec.structs.replace(SPEC, dimensions=4))
        assert again.id != before.id
        assert await docs.count("docs") == 0

    async def test_searches_go_on_while_passages_are_written(self, docs: PassageIndex) -> None:
        await docs.upsert(
            "docs", [entry("apple", document_id="first"), entry("apple", readers=frozenset({"group:hr"}))]
        )

        async def write() -> None:
            for i in range(20):
                batch = [entry(f"pear {i} {j}", document_id=f"d{i}", start=j) for j in range(10)]
                await docs.upsert("docs", batch)

        writing = asyncio.create_task(write())
        searches = 0
        while not writing.done() or not searches:
            hits = await docs.search("docs", query("apple", limit=300))
            assert texts(hits.sparse) == ["apple"]
            assert texts(hits.dense)[0] == "apple"
            assert all(hit.readers == ALL for hit in hits.dense)
            searches += 1
            await asyncio.sleep(0)
        await writing
        assert await docs.count("docs") == 202

    async def test_many_writers_lose_nothing(self, docs: PassageIndex) -> None:
        async def write(i: int) -> None:
            await docs.upsert("docs", [entry(f"pear {i}", document_id=f"d{i}")])
            if i % 2:
                await docs.remove("docs", "folder", f"d{i}")

        await asyncio.gather(*(write(i) for i in range(30)))
        assert await docs.documents("docs", "folder") == {f"d{i}" for i in range(0, 30, 2)}

    async def test_many_collections_are_made_at_once(self, index: PassageIndex) -> None:
        made = await asyncio.gather(*(index.create(f"c{i % 3}", SPEC) for i in range(9)))
        assert len({spec.id for spec in made}) == 3
