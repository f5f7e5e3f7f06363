import pytest

from rungwise_server.errors import EmbedderMismatch
from rungwise_server.filters import Compare
from rungwise_server.retrieval.hybrid import Hybrid
from rungwise_server.retrieval.indexes.points import passage_id
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import EVERYONE, Caller, CollectionSpec, IndexedPassage, Passage

SPARSE = Bm25Encoder()


async def fill(
    index: MemoryIndex, embedder: HashEmbedder, collection: str, *texts: str, reader: str = EVERYONE
) -> None:
    await index.create(collection, CollectionSpec(embedder.name, embedder.dimensions, SPARSE.name))
    dense = await embedder.embed(texts, "passage")
    await index.upsert(
        collection,
        [
            IndexedPassage(
                Passage(
                    id=passage_id(collection, "s", text, text, 0),
                    document_id=text,
                    collection=collection,
                    text=text,
                    readers=frozenset({reader}),
                    source="s",
                ),
                vector,
                SPARSE.passage(text),
            )
            for text, vector in zip(texts, dense, strict=True)
        ],
    )


async def test_all_collections_are_one_ranking() -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "one", "moss on the north side", "a refund takes five days")
    await fill(index, embedder, "two", "refund refund refund", "the price of a stamp")
    hybrid = Hybrid(index, embedder, SPARSE, ("one", "two", "one", "missing"))
    found = await hybrid.retrieve("refund", Caller(), 10)
    assert {passage.collection for passage in found[:2]} == {"one", "two"}
    assert all("refund" in passage.text for passage in found[:2])
    assert len({passage.id for passage in found}) == len(found) == 4
    assert found == sorted(found, key=lambda passage: -passage.score)
    assert len(await hybrid.retrieve("refund", Caller(), 1)) == 1


async def test_only_what_the_caller_may_read() -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "c", "salaries of the board", reader="group:finance")
    await fill(index, embedder, "c", "salaries in general")
    hybrid = Hybrid(index, embedder, SPARSE, ("c",))
    assert [p.text for p in await hybrid.retrieve("salaries of the board", Caller(), 5)] == ["salaries in general"]
    finance = Caller(user="ana", groups=frozenset({"finance"}))
    assert len(await hybrid.retrieve("salaries of the board", finance, 5)) == 2


async def test_what_is_found_by_meaning_says_how_near_it_is() -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "c", "a refund takes five days", "moss on the north side")
    found = await Hybrid(index, embedder, SPARSE, ("c",)).retrieve("a refund takes five days", Caller(), 5)
    assert found[0].similarity == pytest.approx(1.0)
    query, other = await embedder.embed(["a refund takes five days", "moss on the north side"], "query")
    assert found[1].similarity == pytest.approx(max(0.0, float(query @ other)))


async def test_a_filter_holds_before_anything_is_ranked() -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "c", *(f"refund number {i}" for i in range(300)))
    await index.set_attributes("c", "s", "refund number 7", {"kind": "memo"})
    hybrid = Hybrid(index, embedder, SPARSE, ("c",), Compare("eq", "kind", ("memo",)))
    assert [passage.text for passage in await hybrid.retrieve("refund", Caller(), 5)] == ["refund number 7"]


@pytest.mark.parametrize("query", ["", "  \n"])
async def test_nothing_is_asked_nothing_is_found(query: str) -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "c", "text")
    assert await Hybrid(index, embedder, SPARSE, ("c",)).retrieve(query, Caller(), 5) == []
    assert await Hybrid(index, embedder, SPARSE, ()).retrieve("text", Caller(), 5) == []
    assert await Hybrid(index, embedder, SPARSE, ("c",)).retrieve("text", Caller(), 0) == []


async def test_a_query_without_words_is_found_by_meaning_alone() -> None:
    index, embedder = MemoryIndex(), HashEmbedder()
    await fill(index, embedder, "c", "???", "text")
    found = await Hybrid(index, embedder, SPARSE, ("c",)).retrieve("???", Caller(), 5)
    assert found[0].text == "???"


async def test_a_foreign_embedder_has_less_of_a_say() -> None:
    query = "wo ist die Kasse und wann ist sie offen"
    # Shares all function words with the query, and so the fake's vector, but nothing that it is about.
    near, right = "wo ist die und wann ist sie", "Kasse offen"
    scores = []
    for languages in ({"de"}, {"en"}):
        index, embedder = MemoryIndex(), HashEmbedder(256, frozenset(languages))
        await fill(index, embedder, "c", near, right)
        found = await Hybrid(index, embedder, SPARSE, ("c",)).retrieve(query, Caller(), 5)
        scores.append({passage.text: passage.score for passage in found})
    at_home, abroad = scores
    assert abroad[near] < at_home[near]
    assert abroad[right] > at_home[right]


async def test_another_embedder_is_refused() -> None:
    index = MemoryIndex()
    await fill(index, HashEmbedder(64), "c", "text")
    with pytest.raises(EmbedderMismatch):
        await Hybrid(index, HashEmbedder(32), SPARSE, ("c",)).retrieve("text", Caller(), 5)
