import io
import zipfile

import docx
import pytest
from docx.document import Document as Word
from docx.oxml import parse_xml

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.word import parse_docx
from rungwise_connectors.testing.documents import docx as archive
from rungwise_connectors.testing.documents import repacked
from rungwise_connectors.types import ParseError

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def saved(word: Word) -> bytes:
    out = io.BytesIO()
    word.save(out)
    return out.getvalue()


def with_body(xml: str) -> bytes:
    word = docx.Document()
    word.element.body.insert(0, parse_xml(xml))
    return saved(word)


def test_headings_lists_and_tables() -> None:
    word = docx.Document()
    word.add_heading("Handbook", 0)
    word.add_paragraph("Welcome.")
    word.add_heading("Leave", 1)
    word.add_paragraph("28 days", style="List Bullet")
    word.add_paragraph("paid", style="List Number")
    word.add_heading("Rates", 2)
    table = word.add_table(2, 2)
    for cell, text in zip(table._cells, ["Level", "Rate", "A", "12 EUR"], strict=True):
        cell.text = text
    parsed = parse_docx(saved(word), Limits())
    assert parsed.title == "Handbook"
    assert [(s.headings, parsed.text[s.start : s.end]) for s in parsed.sections] == [
        ((), "Handbook\n\nWelcome.\n\n"),
        (("Leave",), "Leave\n\n- 28 days\n- paid\n"),
        (("Leave", "Rates"), "Rates\n\nLevel | Rate\nA | 12 EUR\n\n"),
    ]


def test_the_title_in_the_properties_goes_first() -> None:
    word = docx.Document()
    word.core_properties.title = "Official"
    word.add_heading("On the page", 1)
    assert parse_docx(saved(word), Limits()).title == "Official"


def test_a_style_based_on_a_heading_is_one() -> None:
    word = docx.Document()
    style = word.styles.add_style("Chapter", 1)
    style.base_style = word.styles["Heading 1"]
    word.add_paragraph("Leave", style="Chapter")
    word.add_paragraph("28 days")
    assert parse_docx(saved(word), Limits()).sections[0].headings == ("Leave",)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/></w:r>", "a\tb\nc-"),
        ("<w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr><w:r><w:t>a</w:t></w:r>", "a"),
        ("<w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>", "new"),
        ("<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink>", "link"),
        ("<mc:AlternateContent><mc:Choice Requires='x'><w:r><w:t>box</w:t></w:r></mc:Choice>"
         "<mc:Fallback><w:r><w:t>box</w:t></w:r></mc:Fallback></mc:AlternateContent>", "box"),
    ],
)  # fmt: skip
def test_what_a_paragraph_can_hold(inner: str, text: str) -> None:
    assert parse_docx(with_body(f"<w:p {W} {MC}>{inner}</w:p>"), Limits()).text.strip() == text


def test_content_controls_and_nested_tables_are_read_once() -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p>{}</w:tc>"
    inner = f"<w:tbl><w:tr>{cell.format('x', '')}{cell.format('y', '')}</w:tr></w:tbl><w:p/>"
    table = f"<w:tbl><w:tr>{cell.format('a', inner)}{cell.format('b', '')}</w:tr></w:tbl>"
    xml = f"<w:sdt {W}><w:sdtContent>{table}</w:sdtContent></w:sdt>"
    assert parse_docx(with_body(xml), Limits()).text.strip() == "a x y | b"


def bomb(size: int, compressed: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compressed) as packed, packed.open("word/document.xml", "w") as member:
        for _ in range(size // 2**20):
            member.write(b"<" * 2**20)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"plain text", "no readable DOCX"),
        (archive({}), "no readable DOCX"),
        (archive({"a.txt": b"x"}), "no readable DOCX"),
        (archive({f"{n}": b"" for n in range(11)}), "11 files"),
        (bomb(50 * 2**20), "unpacks to"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "encrypted"),
        (saved(docx.Document()), "no text"),
        (saved(docx.Document())[:-100], "no readable DOCX"),
    ],
    ids=["text", "empty zip", "other zip", "many files", "bomb", "ole", "no text", "cut off"],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    entries = 10 if reason == "11 files" else 10_000
    with pytest.raises(ParseError, match=reason):
        parse_docx(data, Limits(entries=entries))


def test_an_archive_that_lies_about_its_sizes_is_refused() -> None:
    data = bytearray(bomb(2 * 2**20))
    for at, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.find(at) + offset
        data[place : place + 4] = (100).to_bytes(4, "little")
    with pytest.raises(ParseError):
        parse_docx(bytes(data), Limits())


def test_entities_are_not_expanded() -> None:
    word = docx.Document()
    word.add_paragraph("Text")
    lines = "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};&e{n - 1};">' for n in range(1, 60))
    hostile = (
        f'<!DOCTYPE x [<!ENTITY e0 "lol">{lines}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        f"<w:document {W}><w:body><w:p><w:r><w:t>Text &e59; &f;</w:t></w:r></w:p></w:body></w:document>"
    )
    try:
        text = parse_docx(repacked(saved(word), {"word/document.xml": hostile.encode()}), Limits()).text
    except ParseError:
        return
    assert len(text) < 100
    assert "root" not in text
