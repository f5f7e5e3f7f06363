import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.retrieval.indexes.points import in_order, is_passage_id, passage_id, passage_of, payload_of
from rungwise_server.types import Passage

text = st.text(st.characters(codec="utf-8"))
passages = st.builds(
    Passage,
    id=st.uuids().map(str),
    document_id=text,
    collection=st.just("docs"),
    text=text,
    readers=st.frozensets(text.filter(bool), min_size=1),
    title=text,
    headings=st.lists(text, max_size=3).map(tuple),
    page=st.integers(0, 9999),
    start=st.integers(0, 1 << 40),
    end=st.integers(0, 1 << 40),
    url=text,
    source=text,
    language=text,
    version=text,
    attributes=st.dictionaries(
        text, st.one_of(text, st.booleans(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4
    ),
)


@given(passages)
def test_a_passage_survives_as_a_payload(passage: Passage) -> None:
    payload = payload_of(passage)
    assert not {"id", "collection", "score", "similarity"} & payload.keys()
    stored = msgspec.json.decode(msgspec.json.encode(payload), type=dict[str, object])
    assert passage_of(uuid.UUID(passage.id), stored, "docs") == passage
    assert passage_of(passage.id, stored, "docs", 0.5) == msgspec.structs.replace(passage, score=0.5)


def test_an_id_follows_from_place_and_words() -> None:
    base = ("docs", "folder", "a.md", "text", 0)
    same = passage_id(*base)
    assert same == passage_id("docs", "folder", "a.md", "text", 0)
    assert same == "d5c9ebf4-5bb4-5014-af58-d41bbbe2e5f6", "ids that change make every document be indexed again"
    others = [("x", *base[1:]), ("docs", "x", *base[2:]), ("docs", "folder", "b", "text", 0), (*base[:3], "x", 0)]
    ids = {passage_id(*other) for other in others} | {passage_id(*base[:4], 1), same}
    assert len(ids) == 6
    assert all(is_passage_id(id) for id in ids)


@given(st.lists(text, min_size=4, max_size=4), st.lists(text, min_size=4, max_size=4))
def test_fields_never_run_into_each_other(a: list[str], b: list[str]) -> None:
    assert (passage_id(a[0], a[1], a[2], a[3], 0) == passage_id(b[0], b[1], b[2], b[3], 0)) == (a == b)


def test_half_a_character_has_no_id() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        passage_id("docs", "folder", "a.md", "\ud83d", 0)


@pytest.mark.parametrize(
    "value", ["", "0", "x" * 36, "9B2C3E1E-6B0C-5D0E-8F57-0F8C8D1D2A11", "9b2c3e1e6b0c5d0e8f570f8c8d1d2a11"]
)
def test_only_one_spelling_is_an_id(value: str) -> None:
    assert not is_passage_id(value)


def test_noise_in_scores_does_not_decide() -> None:
    def hit(id: str, score: float) -> Passage:
        return Passage(id=id, document_id="d", collection="c", text="", readers=frozenset({"everyone"}), score=score)

    hits = [hit("b", 0.5000001), hit("c", 0.9), hit("a", 0.5)]
    assert [h.id for h in in_order(hits)] == ["c", "a", "b"]
