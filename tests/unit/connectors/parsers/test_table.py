import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.table import parse_table
from rungwise_connectors.types import ParseError


def text_of(csv: str) -> str:
    return parse_table(csv, Limits()).text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_row_stands_by_itself_with_its_headers(delimiter: str) -> None:
    csv = "Item,Price,Note\nApple,2.50,\nPear,3.00,ripe\n".replace(",", delimiter)
    assert text_of(csv) == "Item: Apple\nPrice: 2.50\n\nItem: Pear\nPrice: 3.00\nNote: ripe\n"


def test_decimal_commas_do_not_pass_for_delimiters() -> None:
    assert (
        text_of("Artikel;Preis\nApfel;2,50\nBirne;3,00\n")
        == "Artikel: Apfel\nPreis: 2,50\n\nArtikel: Birne\nPreis: 3,00\n"
    )


def test_quoted_cells_hold_delimiters_and_lines() -> None:
    assert text_of('a,b\n"x, y","two\nlines"\n') == "a: x, y\nb: two lines\n"


@pytest.mark.parametrize("csv", ["1,2\n3,4\n", "a,a\nb,c\n", "a,\nb,c\n"])
def test_a_first_row_that_is_no_header_is_a_row(csv: str) -> None:
    assert text_of(csv).startswith("column 1: ")


def test_a_row_alone_is_a_row() -> None:
    assert text_of("a,b") == "column 1: a\ncolumn 2: b\n"


def test_ragged_rows_keep_every_cell() -> None:
    assert text_of("a,b\nx\ny,z,more\n\n") == "a: x\n\na: y\nb: z\ncolumn 3: more\n"


def test_one_column() -> None:
    assert text_of("Name\nAna\nBen\n") == "Name: Ana\n\nName: Ben\n"


def test_a_huge_cell_is_no_obstacle() -> None:
    assert len(text_of(f"a,b\n{'x' * 10_000_000},y\n")) == 10_000_000 + len("a: \nb: y\n")


def test_text_that_grows_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ParseError, match="split"):
        parse_table("h" * 200 + "\n" + "x\n" * 1000, Limits(characters=50_000))


@pytest.mark.parametrize("csv", ["", "\n\n", ",,\n,,\n"])
def test_no_rows_are_an_error(csv: str) -> None:
    with pytest.raises(ParseError, match="no text"):
        parse_table(csv, Limits())


@given(st.lists(st.lists(st.text(alphabet="ab1 ,;\"\n'\t|", max_size=5), min_size=1, max_size=4), max_size=6))
def test_any_table_is_text_or_refused(rows: list[list[str]]) -> None:
    try:
        parsed = parse_table("\n".join(",".join(row) for row in rows), Limits())
    except ParseError:
        return
    assert parsed.text.strip()
