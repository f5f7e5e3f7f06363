import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.parsers.html import declared_charset, parse_html
from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.types import ParseError


def text_of(html: str) -> str:
    return parse_html(html, Limits()).text


def test_headings_make_sections_and_the_title_is_the_pages() -> None:
    parsed = parse_html(
        "<html lang='de'><head><title>Preise\n 2024</title></head><body>Hallo<h1>Liste</h1><p>A<h2>Obst &amp; so</h2>B",
        Limits(),
    )
    assert (parsed.title, parsed.language) == ("Preise 2024", "de")
    assert parsed.text == "Hallo\n\nListe\n\nA\n\nObst & so\n\nB"
    assert [(s.headings, parsed.text[s.start : s.end].strip()) for s in parsed.sections] == [
        ((), "Hallo"),
        (("Liste",), "Liste\n\nA"),
        (("Liste", "Obst & so"), "Obst & so\n\nB"),
    ]


def test_a_page_without_a_title_takes_its_first_heading() -> None:
    assert parse_html("<h2>Opening <b>hours</b></h2>9 to 5", Limits()).title == "Opening hours"


@pytest.mark.parametrize(
    "part",
    [
        "<script>x</script>",
        "<style>x</style>",
        "<nav><ul><li>x</ul></nav>",
        "<div role=navigation>x</div>",
        "<noscript>x</noscript>",
        "<template>x</template>",
        "<!-- x -->",
        "<div hidden>x<p>x</div>",
        "<p style='color: red; DISPLAY : none'>x</p>",
        "<span aria-hidden=true>x</span>",
        "<svg><text>x</text></svg>",
        "<select><option>x</select>",
        "<?php x ?>",
    ],
)
def test_what_a_reader_does_not_see_is_left_out_and_what_follows_stays(part: str) -> None:
    assert text_of(f"<body><p>before {part} after</p></body>").split() == ["before", "after"]


def test_blocks_break_lines_and_inline_elements_do_not() -> None:
    html = "<p>One <b>bold</b>\n  word<i>s</i></p><div>Two<br>Three</div><ul><li>a<li><p>b</ul><pre> x\n  y</pre>end"
    assert text_of(html) == "One bold words\n\nTwo\nThree\n\n- a\n- b\n\n x\n  y\n\nend"


def test_a_row_of_a_table_is_a_line() -> None:
    html = "<table><tr><th>Item<th>Price</tr><tr><td>Apple <p>red</p><td>1<br>EUR<tr><td></td><td>2</table>after"
    assert text_of(html) == "Item | Price\nApple red | 1 EUR\n | 2\n\nafter"


def test_a_table_that_arranges_the_page_is_none() -> None:
    html = "<table><tr><td><h1>News</h1><p>A<p>B</td><td><table><tr><td>x<td>y</table></td></tr></table>"
    assert text_of(html) == "News\n\nA\n\nB\n\nx | y"


def test_images_speak_by_their_alternative_text() -> None:
    assert text_of("<p>See <img src=a.png alt='the plan'> here</p>") == "See the plan here"


@pytest.mark.parametrize("html", ["", "   ", "<!-- -->", "<html><body><script>x</script></body></html>"])
def test_no_readable_text_is_an_error(html: str) -> None:
    with pytest.raises(ParseError, match="no text"):
        parse_html(html, Limits())


def test_elements_nested_too_deeply_are_an_error_and_not_half_a_page() -> None:
    with pytest.raises(ParseError, match="deep"):
        parse_html("<div>" * 100_000 + "text" + "</div>" * 100_000 + "<p>after", Limits())


def test_an_xml_declaration_and_entities_are_harmless() -> None:
    bomb = "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};">' for n in range(1, 40))
    html = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE html [<!ENTITY e0 "x">{bomb}]><p>Text &e39; &uuml;</p>'
    assert len(text_of(html)) < 5000


@pytest.mark.parametrize(
    ("page", "charset"),
    [
        (b"<meta charset=Shift_JIS>", "Shift_JIS"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "iso-8859-1"),
        (b"<p>charset=utf-8</p>", ""),
        (b" " * 1024 + b"<meta charset=koi8-r>", ""),
    ],
)
def test_the_declared_charset(page: bytes, charset: str) -> None:
    assert declared_charset(page) == charset


TAGS = st.sampled_from(["div", "p", "h1", "table", "tr", "td", "ul", "li", "pre", "br", "span", "script", "nav", "img"])
PIECES = st.one_of(TAGS.map("<{}>".format), TAGS.map("</{}>".format), st.text(max_size=8))


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_page_is_text_or_refused(html: str) -> None:
    try:
        parsed = parse_html(html, Limits())
    except ParseError:
        return
    assert [0, *(s.end for s in parsed.sections)] == [*(s.start for s in parsed.sections), len(parsed.text)]
    parsed.text.encode()
