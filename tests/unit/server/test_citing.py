from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.citing import Citer
from rungwise_server.types import Citation, Passage

PASSAGES = [Passage(f"p{n}", f"d{n}.md", "c", "text", frozenset({"everyone"}), title=f"Title {n}") for n in (1, 2, 3)]


def cited(*pieces: str) -> list[Citation]:
    citer = Citer(PASSAGES)
    return [citation for piece in pieces for citation in citer.feed(piece)]


def test_a_marker_cites_its_passage_where_it_stands() -> None:
    assert cited("Leave is 25 days [2].") == [Citation("p2", "Title 2", 17, 20)]


def test_several_numbers_in_one_marker() -> None:
    assert [c.passage_id for c in cited("Both agree [1, 3] and【2】")] == ["p1", "p3", "p2"]


def test_numbers_without_a_passage_and_other_brackets_cite_nothing() -> None:
    assert cited("see [4], [0], [x], [], array[i], [1") == []


@given(st.text(alphabet="ab[]123, 【】", max_size=60), st.data())
def test_however_the_text_is_cut_the_citations_are_the_same(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert cited(*pieces) == cited(text)
    for citation in cited(text):
        assert text[citation.start] in "[【"
        assert text[citation.end - 1] in "]】"
