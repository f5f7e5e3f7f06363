import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.markdown import parse_markdown
from rungwise_connectors.types import Parsed, ParseError


def outline(text: str) -> list[tuple[tuple[str, ...], str]]:
    parsed = parse_markdown(text, Limits())
    return [(section.headings, parsed.text[section.start : section.end]) for section in parsed.sections]


def test_a_section_is_a_heading_with_what_stands_below_it() -> None:
    text = "Before.\n# Handbook\nHello.\n## Leave\n28 days.\n### Sick\nCall.\n## Pay\nMonthly.\n"
    assert outline(text) == [
        ((), "Before.\n"),
        (("Handbook",), "# Handbook\nHello.\n"),
        (("Handbook", "Leave"), "## Leave\n28 days.\n"),
        (("Handbook", "Leave", "Sick"), "### Sick\nCall.\n"),
        (("Handbook", "Pay"), "## Pay\nMonthly.\n"),
    ]


def test_skipped_levels_do_not_confuse_the_path() -> None:
    assert [headings for headings, _ in outline("### Deep\nx\n# Top\ny\n### Deep\nz\n## Mid\nw\n")] == [
        ("Deep",),
        ("Top",),
        ("Top", "Deep"),
        ("Top", "Mid"),
    ]


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# Plain", "Plain"),
        ("   ## Indented ##", "Indented"),
        ("# C#", "C#"),
        ("#\tTab", "Tab"),
        ("# **Bold** and `code` and [link](https://x.example/a_b)", "Bold and code and link"),
        ("# snake_case _stays_ ", "snake_case stays"),
        ("# Anchored {#anchor}", "Anchored"),
        ("Under\n=====", "Under"),
        ("Under\n---", "Under"),
    ],
)
def test_headings_as_people_write_them(line: str, heading: str) -> None:
    assert outline(f"{line}\ntext\n")[0][0] == (heading,)


@pytest.mark.parametrize(
    "text",
    [
        "#hashtag\n",
        "    # indented code\n",
        "\\# escaped\n",
        "####### seven\n",
        "```\n# comment\n```\n",
        "~~~~ sh\n# comment\n~~~\n# still code\n~~~~\n",
        "```\n# never closed\n",
        "<!--\n# commented out\n-->\n",
        "- item\n---\n",
        "two lines\nof a paragraph\n---\n",
        "| a |\n---\n",
        "\n---\n",
    ],
)
def test_what_is_no_heading(text: str) -> None:
    assert outline(text) == [((), text)]


def test_a_heading_right_after_code_counts() -> None:
    assert [headings for headings, _ in outline("```\nx\n```\nTitle\n---\n")] == [(), ("Title",)]


@pytest.mark.parametrize(
    ("text", "title"),
    [("## Sub\n# Main\n", "Main"), ("## Only sub\n## Next\n", "Only sub"), ("No heading.\n", "")],
)
def test_the_title_is_the_first_heading_of_the_first_level(text: str, title: str) -> None:
    assert parse_markdown(text, Limits()).title == title


def test_no_text_is_an_error() -> None:
    with pytest.raises(ParseError, match="no text"):
        parse_markdown(" \n\n", Limits())


def test_too_many_sections_are_an_error() -> None:
    with pytest.raises(ParseError, match="sections"):
        parse_markdown("# a\n" * 12, Limits(sections=10))


def covers(parsed: Parsed) -> bool:
    """Sections lie end to end over the whole text."""
    ends = [0, *(section.end for section in parsed.sections)]
    starts = [*(section.start for section in parsed.sections), len(parsed.text)]
    return ends == starts and all(section.start < section.end for section in parsed.sections)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["# One", "## Two", "Under", "===", "---", "```", "~~~", "<!--", "-->", "", "    x", "- i", "#"]
        ),
        st.text(max_size=12),
    ),
    max_size=30,
).map("\n".join)


@given(LINES)
def test_sections_always_put_the_text_together(text: str) -> None:
    try:
        parsed = parse_markdown(text, Limits())
    except ParseError:
        assert not text.strip()
        return
    assert covers(parsed)
    assert parsed.text == text
