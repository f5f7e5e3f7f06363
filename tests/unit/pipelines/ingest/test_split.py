"""Passages: nothing lost, nothing twice, none too long, each in its place."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_connectors.types import Parsed, Section
from rungwise_pipelines.ingest.split import LIMIT, SMALL, Origin, Splitter, embedding_text
from rungwise_server.types import Passage

SPLITTER = Splitter()
ORIGIN = Origin("docs", "wiki", "a.md", frozenset({"everyone"}), title="Handbook")

_words = st.sampled_from(
    [
        "leave",
        "The",
        "days.",
        "Z.B.",
        "!?",
        "値段は",
        "二千円です。",
        "「はい。」",
        "，",
        "ภาษาไทย",
        "😀",
        "e\u0301",
        "12.5%",
        "x" * 70,
        "漢" * 300,
        "1" * 900,
    ]
)
_spaces = st.sampled_from([" ", " ", "  ", "\n", "\n\n", "\n\n\n", "\t", "", "\u3000", "\u00a0"])


@st.composite
def documents(draw: st.DrawFn) -> Parsed:
    text, sections = "", []
    path: tuple[str, ...] = ()
    for _ in range(draw(st.integers(0, 6))):
        path = (*path[: draw(st.integers(0, 2))], draw(st.sampled_from(["A", "B", "Pay", "休暇" * 60])))
        pieces = draw(st.lists(st.tuples(_words, _spaces), max_size=120))
        body = "".join(map("".join, pieces)) * draw(st.sampled_from([1, 1, 4]))
        if body:
            sections.append(Section(len(text), len(text) + len(body), path, draw(st.integers(0, 3))))
            text += body
    return Parsed(text, tuple(sections))


@given(documents())
@settings(max_examples=80, deadline=None)
def test_every_passage_is_a_place_in_the_text_and_all_of_it_is_in_one(parsed: Parsed) -> None:
    passages = SPLITTER.split(parsed, ORIGIN)
    end = 0
    for passage in passages:
        assert passage.text == parsed.text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        assert not parsed.text[end : passage.start].strip(), "something was left out"
        assert passage.start >= end, "passages overlap"
        end = passage.end
        assert _tokens(passage.text) <= LIMIT + 4
        assert any(
            section.start <= passage.start < section.end and section.page == passage.page for section in parsed.sections
        )
    assert not parsed.text[end:].strip()
    assert len({passage.id for passage in passages}) == len(passages)
    assert SPLITTER.split(parsed, ORIGIN) == passages


@given(st.text(max_size=3000))
@settings(max_examples=40, deadline=None)
def test_any_text_without_sections(text: str) -> None:
    passages = SPLITTER.split(Parsed(text, ()), ORIGIN)
    assert "".join("".join(p.text for p in passages).split()) == "".join(text.split())


def test_sections_become_passages_with_their_heading_path() -> None:
    leave, sick = ("Everybody has thirty days. " * 12, "Tell your lead by nine. " * 15)
    parsed = _parsed(
        ("# Handbook\n", ()), (f"## Leave\n\n{leave}\n\n", ("Leave",)), (f"## Sick\n\n{sick}\n", ("Sick",))
    )
    one, two = SPLITTER.split(parsed, ORIGIN)
    assert (one.headings, two.headings) == (("Leave",), ("Sick",))
    assert one.text.startswith("# Handbook\n## Leave")
    assert embedding_text(two) == f"Handbook > Sick\n{two.text}"


def test_small_sections_under_one_parent_are_joined() -> None:
    parsed = _parsed(*[(f"### Shop {n}\nOpen from {n}.\n", ("Shops", f"Shop {n}")) for n in range(4)])
    (passage,) = SPLITTER.split(parsed, ORIGIN)
    assert passage.headings == ("Shops",)
    assert passage.text.count("Open from") == 4


def test_small_sections_under_different_parents_stay_apart() -> None:
    parsed = _parsed(("Open from 9.\n", ("Berlin", "Shop")), ("Open from 10.\n", ("Tokyo", "Shop")))
    assert [p.headings for p in SPLITTER.split(parsed, ORIGIN)] == [("Berlin", "Shop"), ("Tokyo", "Shop")]


def test_a_long_section_is_cut_evenly_between_sentences() -> None:
    text = " ".join(f"Sentence number {n} says that the pump has {n} valves." for n in range(60))
    passages = SPLITTER.split(Parsed(text, ()), ORIGIN)
    sizes = [_tokens(p.text) for p in passages]
    assert min(sizes) > max(sizes) // 2
    assert all(re.fullmatch(r"Sentence .* valves\.", p.text, re.DOTALL) for p in passages)


def test_japanese_is_cut_between_its_sentences() -> None:
    text = "休暇は年に二十日です。申請は一週間前までにしてください！" * 40
    passages = SPLITTER.split(Parsed(text, ()), ORIGIN)
    assert len(passages) > 3
    assert {p.text[-1] for p in passages} <= set("。！")


def test_pages_are_those_where_a_passage_begins() -> None:
    pages = [f"Page {n} speaks of pumps. " * 30 for n in (1, 2, 3)]
    text = "".join(pages)
    starts = [0, len(pages[0]), len(pages[0]) + len(pages[1])]
    sections = tuple(
        Section(start, start + len(page), (), n) for n, (start, page) in enumerate(zip(starts, pages, strict=True), 1)
    )
    for passage in SPLITTER.split(Parsed(text, sections), ORIGIN):
        assert passage.text.startswith(f"Page {passage.page}")


def test_the_same_text_twice_has_two_ids_and_an_edit_elsewhere_keeps_them() -> None:
    body = "Call the desk and say your name. " * 15
    sections = [(f"{body}\n\n", ("One",)), (f"{body}\n\n", ("Two",))]
    before = SPLITTER.split(_parsed(*sections), ORIGIN)
    after = SPLITTER.split(_parsed((f"{'Something new comes first. ' * 20}\n", ("New",)), *sections), ORIGIN)
    assert before[0].text == before[1].text
    assert before[0].id != before[1].id
    assert [p.id for p in after if p.headings != ("New",)] == [p.id for p in before]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 400_000,
        "漢字" * 60_000,
        "😀" * 40_000,
        "." * 200_000,
        "!?" * 40_000,
        "<|endoftext|>" * 20_000,
        "，" * 60_000,
    ],
    ids=["letters", "han", "emoji", "dots", "marks", "special", "commas"],
)
def test_hostile_text_stays_within_limits(text: str) -> None:
    passages = SPLITTER.split(Parsed(text, ()), ORIGIN)
    assert "".join(p.text for p in passages) == text
    assert max(_tokens(p.text) for p in passages) <= LIMIT


def test_a_long_title_and_path_leave_room_for_the_text() -> None:
    origin = Origin("docs", "wiki", "a.md", frozenset({"everyone"}), title="長い題名" * 500)
    parsed = _parsed(("Words of the text. " * 200, ("An endless heading " * 200, "Last")))
    passages = SPLITTER.split(parsed, origin)
    assert all(len(embedding_text(p)) - len(p.text) <= 201 for p in passages)
    assert all(_tokens(p.text) >= SMALL for p in passages)


def test_a_path_that_is_too_long_keeps_its_ends() -> None:
    passage = Passage("", "", "", "Text.", frozenset(), "Title", ("x" * 90, "y" * 90, "z" * 90, "Last"))
    assert embedding_text(passage) == f"Title > {'z' * 90} > Last\nText."


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        SPLITTER.split(Parsed("half a \ud800 character", ()), ORIGIN)


def _parsed(*sections: tuple[str, tuple[str, ...]]) -> Parsed:
    text, made = "", []
    for body, headings in sections:
        made.append(Section(len(text), len(text) + len(body), headings))
        text += body
    return Parsed(text, tuple(made))


def _tokens(text: str) -> int:
    from llama_index.core.utils import get_tokenizer

    return len(get_tokenizer()(text))
