"""Words of a question, and how far texts have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.text.overlap import likely_language, overlaps, rarity, related, terms


def test_function_words_are_left_out_unless_nothing_else_is_there() -> None:
    assert set(terms("How many days of leave do I have?", "en")) == {"days", "leave"}
    assert set(terms("Wie viele Urlaubstage habe ich?", "de")) == {"urlaubstage", "habe"}
    assert set(terms("How is it?", "en")) == {"how", "is", "it"}
    assert set(terms("1,650円", "ja")) == {"1,650", "円"}
    assert set(terms("E-17 ＡＢＣ", "en")) == {"e", "17", "abc"}


def test_scripts_without_spaces_are_bigrams_and_grammar_counts_less() -> None:
    found = terms("定休日はいつですか", "ja")
    assert found["定休"] == found["休日"] == 1.0
    assert found["いつ"] == found["です"] == 0.3
    assert terms("梅", "ja") == {"梅": 0.5}


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("leave", "leave", True),
        ("prüft", "prüfen", True),
        ("carry", "carpet", False),
        ("eye", "eyes", True),
        ("urlaub", "urlaubstage", True),
        ("transportschaden", "transportschäden", True),
        ("car", "cat", False),
        ("trailer", "train", False),
        ("heron", "hero", True),
        ("28", "280", False),
    ],
)
def test_related_words(one: str, other: str, near: bool) -> None:
    assert (related(one, other) > 0) is near
    assert related(one, other) == related(other, one)


def test_participles_meet_their_verb() -> None:
    question = terms("Wie oft werden die Beläge geprüft?", "de")
    (row,) = overlaps(question, [terms("Beläge prüfen: alle 1.000 Kilometer")])
    assert all(value > 0.5 for value in row)


def test_rare_words_weigh_more() -> None:
    question = {"bike": 1.0, "belt": 1.0, "absent": 1.0}
    found = overlaps(question, [terms("bike"), terms("bike belt"), terms("the bike")])
    common, rare, absent = rarity(question, found)
    assert 0 < common < rare < absent


def test_likely_language() -> None:
    assert likely_language("Wie oft müssen die Bremsbeläge geprüft werden?") == "de"
    assert likely_language("where is the shop") == "en"
    assert likely_language("où est le magasin") == "fr"
    assert likely_language("¿dónde está la tienda?") == "es"
    assert likely_language("PowerPack 480") == ""


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=5), st.sampled_from(["", "en", "de", "ja"]))
def test_overlaps_are_shares(question: str, texts: list[str], language: str) -> None:
    asked = terms(question, language)
    found = overlaps(asked, [terms(text) for text in texts])
    assert [len(row) for row in found] == [len(asked)] * len(texts)
    assert all(0 <= value <= 1 for row in found for value in row)
    assert all(weight > 0 for weight in rarity(asked, found))
    if asked:
        assert overlaps(asked, [terms(question)]) == [[1.0] * len(asked)]
