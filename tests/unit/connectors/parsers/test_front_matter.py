from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rungwise_connectors.parsers import front_matter
from rungwise_connectors.parsers.front_matter import FrontMatter
from rungwise_connectors.types import ParseError, ReadersError


def test_the_four_fields_and_the_text_after_them() -> None:
    text = "---\ntitle: Leave\nreaders: [hr, user:ana]\nurl: https://x.example\nlanguage: no\ntags: a\n---\n\n# Text\n"
    said, rest = front_matter.split(text)
    assert said == FrontMatter("Leave", frozenset({"hr", "user:ana"}), "https://x.example", "no")
    assert rest == "\n# Text\n"


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ("everyone", {"everyone"}),
        ("finance, hr", {"finance", "hr"}),
        ("\n- finance\n- group:hr", {"finance", "group:hr"}),
        ("2024", {"2024"}),
    ],
)
def test_readers_as_people_write_them(readers: str, expected: set[str]) -> None:
    assert front_matter.split(f"---\nreaders: {readers}\n---\n")[0].readers == frozenset(expected)


@pytest.mark.parametrize(
    "block",
    [
        "readers:",
        "readers: []",
        "readers: ''",
        "readers: {a: b}",
        "readers: [[a]]",
        'readers: ["a\\nb"]',
        "readers: [a, '']",
        "Readers: staff",
        "reader: staff",
        "title: a: b\nreaders: staff",
        "readers: [staff",
        "{readers: staff",
        "readers: &a [*a]",
        "readers: !!python/object/apply:os.getcwd []",
    ],
)
def test_readers_that_cannot_be_read_are_refused_not_overlooked(block: str) -> None:
    with pytest.raises(ReadersError, match="front matter"):
        front_matter.split(f"---\n{block}\n---\ntext")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("{year: 2024, price: -0.5, n: 1e3}", {"year": 2024.0, "price": -0.5, "n": 1000.0}),
        ("{new: true, old: FALSE, ok: yes}", {"new": True, "old": False, "ok": "yes"}),
        ("\n  kind: memo\n  zip: 00501\n  day: 2024-01-01", {"kind": "memo", "zip": "00501", "day": "2024-01-01"}),
        ("{a: '1', b: \"true\", c: ''}", {"a": "1", "b": "true", "c": ""}),
        ("{1: x, a.b: y}", {"1": "x", "a.b": "y"}),
        ("", {}),
        ("{}", {}),
    ],
)
def test_attributes_with_the_kinds_that_they_have(attributes: str, expected: dict[str, object]) -> None:
    said = front_matter.split(f"---\nattributes: {attributes}\n---\n")[0].attributes
    assert said == expected
    assert [type(value) for value in said.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ("memo", "must be a mapping"),
        ("[a, b]", "must be a mapping"),
        ("{a: [1]}", "'a' must be a string"),
        ("{a: ~}", "'a' must be a string"),
        ("{a: }", "'a' must be a string"),
        ("{a: 9007199254740993}", "cannot be kept exactly"),
        ("{a: 1e999}", "cannot be kept exactly"),
        ('{a: "\\ud800"}', "no Unicode"),
        ("{a: &x [b], c: *x}", "'a' must be a string"),
        ("{a: b", "names attributes and is no YAML"),
        ("{" + ", ".join(f"k{i}: {i}" for i in range(17)) + "}", "17 attributes"),
    ],
)
def test_attributes_that_cannot_be_read_are_refused_with_a_reason(attributes: str, reason: str) -> None:
    with pytest.raises(ParseError, match=f"front matter.*{reason}"):
        front_matter.split(f"---\nattributes: {attributes}\n---\ntext")
    if attributes != "{a: b":
        with pytest.raises(ParseError) as caught:
            front_matter.split(f"---\nattributes: {attributes}\nreaders: hr\n---\ntext")
        assert caught.value.readers == frozenset({"hr"})


@pytest.mark.parametrize(
    "text", ["---\nreaders: staff\ntext without an end", "\n---\nreaders: staff\n" + "x\n" * 20_000]
)
def test_readers_in_a_block_without_an_end_are_refused(text: str) -> None:
    with pytest.raises(ReadersError, match="does not end"):
        front_matter.split(text)


def test_a_blank_line_before_the_block_does_not_hide_its_readers() -> None:
    assert front_matter.split("\n \n---\nreaders: staff\n---\ntext")[0].readers == frozenset({"staff"})


@pytest.mark.parametrize(
    "text",
    [
        "no front matter",
        "---",
        "---\nbetween two rules\n---\ntext",
        "---\nnote: this: that\n---\ntext",
        "----\ntitle: x\n----\n",
        "text\n---\nreaders: staff\n---\n",
        "---\n\nA rule, then prose about readers: they read.\n",
        "---\n" + "[" * 3_000 + "\n---\ntext",
    ],
)
def test_what_is_no_front_matter_stays_text(text: str) -> None:
    assert front_matter.split(text) == (FrontMatter(), text)


def test_aliases_do_not_multiply() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmno"))
    said, rest = front_matter.split(f"---\n{bomb}title: T\n---\nrest")
    assert (said.title, rest) == ("T", "rest")


BLOCKS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            [
                "readers",
                "attributes",
                "title",
                "1",
                "~",
                ":",
                " ",
                "\n",
                "-",
                "[",
                "]",
                "{",
                "}",
                "&a",
                "*a",
                "? ",
                "|",
                "#",
            ]
        )
    ).map("".join),
)


@given(BLOCKS)
@example("? [a]\n: b")
@example("title: '\\ud800'")
@example('title: "\\ud800"')
def test_no_block_breaks_it(block: str) -> None:
    text = f"---\n{block}\n---\nrest"
    try:
        said, rest = front_matter.split(text)
    except ParseError:
        return
    assert text.endswith(rest)
    assert rest
    said.title.encode()
