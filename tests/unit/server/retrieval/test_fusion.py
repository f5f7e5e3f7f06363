import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rungwise_server.retrieval.fusion import FLAT, Fusion, blend, fuse, ranked
from rungwise_server.testing.retriever import FixedRetriever
from rungwise_server.types import EVERYONE, Caller, Passage


def passage(id: str, score: float = 0.0, text: str = "") -> Passage:
    return Passage(
        id=id,
        document_id=id,
        collection="c",
        text=text or f"text of {id}",
        readers=frozenset({EVERYONE}),
        score=score,
    )


def ids(passages: list[Passage]) -> str:
    return "".join(found.id for found in passages)


def test_ties_go_by_id_and_noise_is_a_tie() -> None:
    assert ids(ranked([passage("b", 0.500001), passage("a", 0.5), passage("c", 0.6)])) == "cab"


def test_reciprocal_ranks() -> None:
    first = [passage("a"), passage("b"), passage("c")]
    second = [passage("b"), passage("d")]
    fused = fuse([first, second], [1, 1], 10)
    assert ids(fused) == "badc"
    assert fused[0].score == pytest.approx((1 / 62 + 1 / 61) / (2 / 61))
    assert ids(fuse([first, second], [1, 0.01], 2)) == "ab"
    assert fuse([[passage("a")], [passage("a")]], [1, 3], 1)[0].score == pytest.approx(1)


def test_the_best_by_both_in_a_clear_ranking_has_one() -> None:
    dense = [passage("a", 0.9), passage("b", 0.4)]
    sparse = [passage("a", 12.0), passage("c", 6.0)]
    blended = blend(dense, sparse, 0.4, 10)
    assert ids(blended) == "acb"
    assert [found.score for found in blended] == pytest.approx([1.0, 0.3, 0.0])


def test_a_flat_dense_ranking_counts_little() -> None:
    dense = [passage("a", 0.71), passage("b", 0.70)]
    sparse = [passage("b", 10.0), passage("a", 9.5)]
    assert ids(blend(dense, sparse, 0.4, 10)) == "ba"
    clear = [passage("a", 0.70 + FLAT), passage("b", 0.70)]
    assert ids(blend(clear, sparse, 0.4, 10)) == "ab"


def test_the_cosine_stays_beside_the_score() -> None:
    dense = [passage("a", 1.0000001), passage("b", 0.4), passage("c", -0.2)]
    sparse = [passage("b", 12.0), passage("d", 6.0)]
    found = {found.id: found.similarity for found in blend(dense, sparse, 0.4, 10)}
    assert found == {"a": 1.0, "b": 0.4, "c": 0.0, "d": 0.0}
    assert ids(blend(dense, sparse, 0.4, 1)) == "b", "found both ways, and by meaning alone far behind"


@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_cosine_stays_when_rankings_are_fused(order: int) -> None:
    rankings = [[structs.replace(passage("a"), similarity=0.5)], [passage("a"), passage("b")]][::order]
    assert [(found.id, found.similarity) for found in fuse(rankings, [1, 1], 10)] == [("a", 0.5), ("b", 0.0)]


def test_one_ranking_may_be_empty() -> None:
    assert ids(blend([], [passage("a", 2.0), passage("b", 1.0)], 0.4, 10)) == "ab"
    assert ids(blend([passage("a", 0.5), passage("b", 0.4)], [], 0.4, 10)) == "ab"
    assert blend([], [], 0.4, 10) == []


def test_a_text_comes_once() -> None:
    sparse = [passage("a", 3.0, "same"), passage("b", 2.0, " same\n"), passage("c", 1.0)]
    assert ids(blend([], sparse, 0.4, 10)) == "ac"
    assert ids(blend([], sparse, 0.4, 2)) == "ac"


scored = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1)), unique_by=lambda pair: pair[0])


@given(scored, scored, st.floats(0, 1))
def test_blending_is_a_ranking_of_all(
    dense: list[tuple[str, float]], sparse: list[tuple[str, float]], w: float
) -> None:
    blended = blend(
        ranked([passage(id, score) for id, score in dense]),
        ranked([passage(id, score * 20) for id, score in sparse]),
        w,
        100,
    )
    assert {found.id for found in blended} == {id for id, _ in dense + sparse}
    assert ids(ranked(blended)) == ids(blended)
    assert all(-1e-9 <= found.score <= 1 + 1e-9 for found in blended)


async def test_retrievers_as_one() -> None:
    first = FixedRetriever([passage("a"), passage("b")])
    second = FixedRetriever([passage("b"), passage("c")])
    assert ids(await Fusion([first, second]).retrieve("text", Caller(), 2)) == "ba"
