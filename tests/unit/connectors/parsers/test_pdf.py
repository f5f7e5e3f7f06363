import pytest

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.pdf import parse_pdf
from rungwise_connectors.testing.documents import pdf
from rungwise_connectors.types import ParseError


def test_a_page_is_a_section_with_its_number() -> None:
    parsed = parse_pdf(
        pdf([[(50, 700, "First page.")], [], [(50, 700, "Third page.")]], title="Report (final)"), Limits()
    )
    assert parsed.title == "Report (final)"
    assert [(s.page, parsed.text[s.start : s.end]) for s in parsed.sections] == [
        (1, "First page.\n\n"),
        (3, "Third page.\n\n"),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        [(50, 700, "Price:"), (300, 700, "12.50 EUR"), (50, 680, "Weight:"), (300, 680, "3 kg")],
        [(300, 700, "12.50 EUR"), (50, 700, "Price:"), (300, 680, "3 kg"), (50, 680, "Weight:")],
        [(50, 700, "Price:"), (300, 701.5, "12.50 EUR"), (50, 680, "Weight:"), (300, 679, "3 kg")],
        [(50, 700, "Price:"), (50, 680, "Weight:"), (300, 700, "12.50 EUR"), (300, 680, "3 kg")],
    ],
    ids=["in order", "values first", "unsteady", "column by column"],
)
def test_label_and_value_stay_on_one_line(pieces: list[tuple[float, float, str]]) -> None:
    assert parse_pdf(pdf([pieces]), Limits()).text.split("\n")[:2] == ["Price: 12.50 EUR", "Weight: 3 kg"]


def test_three_columns_make_one_line_too() -> None:
    columns = [["Price:", "Weight:", "Size:"], ["12.50", "3.00", "20.00"], ["EUR", "kg", "cm"]]
    pieces = [(50.0 + 100 * x, 700.0 - 20 * y, text) for x, cells in enumerate(columns) for y, text in enumerate(cells)]
    assert parse_pdf(pdf([pieces]), Limits()).text.split("\n")[:2] == ["Price: 12.50 EUR", "Weight: 3.00 kg"]


def test_a_column_with_gaps_keeps_its_rows() -> None:
    labels = [(50.0, 700.0 - 20 * n, f"Label {n}") for n in range(4)]
    data = pdf([[*labels, (300, 680, "one"), (300, 640, "three"), (50, 500, "After."), (50, 480, "More.")]])
    lines = parse_pdf(data, Limits()).text.split("\n")
    assert lines[:6] == ["Label 0", "Label 1 one", "Label 2", "Label 3 three", "After.", "More."]


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    left = [(50.0, 700.0 - 14 * n, f"left line {n} goes on and on and on and on") for n in range(5)]
    right = [(320.0, 700.0 - 14 * n, f"right line {n} goes on and on and on and on") for n in range(5)]
    words = parse_pdf(pdf([left + right]), Limits()).text.split()
    assert words.index("right") >= len(words) // 2


def test_a_hyphenated_word_is_whole_again() -> None:
    assert (
        "documentation" in parse_pdf(pdf([[(50, 700, "Read the docu-"), (50, 686, "mentation first")]]), Limits()).text
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdf([[(50, 700, "x")]], password="secret"), "password"),
        (pdf([[], []]), r"no text on 2 pages \(a scan\?\)"),
        (pdf([[(50, 700, "x")]] * 4), "4 pages, more than 3"),
        (b"%PDF-1.4 junk", "no readable PDF"),
        (b"plain text", "no readable PDF"),
        (pdf([[(50, 700, "x")]])[:200], "no readable PDF"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse_pdf(data, Limits(pages=3))


def test_ten_thousand_pages_are_refused_before_they_are_read() -> None:
    with pytest.raises(ParseError, match="10,000 pages"):
        parse_pdf(pdf([[]] * 10_000), Limits())


def test_the_title_of_a_program_is_cut_to_the_documents() -> None:
    assert parse_pdf(pdf([[(50, 700, "x")]], title="Microsoft Word - Leave.docx"), Limits()).title == "Leave.docx"
