"""PDF, by pypdfium2: this module is its only door."""

import re
from typing import TYPE_CHECKING

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.pdf_lines import Line, joined
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfTextPage

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff]")
"""Control characters; and the two marks that PDFium leaves where a word was hyphenated, so that it is whole again."""

_PROGRAM = re.compile(r"^(?:Microsoft (?:Word|PowerPoint|Excel) - |untitled$)", re.IGNORECASE)


def parse_pdf(data: bytes, limits: Limits) -> Parsed:
    """The text of every page, line by line, a section a page.

    Raises:
        ParseError: it is broken, encrypted, too long, or holds no text (a scan).
    """
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        reason = str(error).lower()
        if "password" in reason:
            raise ParseError("is encrypted with a password: save it without one") from None
        if "security" in reason:
            raise ParseError("is encrypted in a way that cannot be read: save it without encryption") from None
        raise ParseError("is no readable PDF (broken or cut off)") from None
    try:
        if len(document) > limits.pages:
            raise ParseError(f"has {len(document):,} pages, more than {limits.pages:,}: split it")
        writer = Writer(limits)
        for number in range(len(document)):
            writer.page(number + 1)
            if text := _page_text(document, number):
                writer.write(text + "\n\n")
        if not writer.length:
            raise ParseError(f"holds no text on {len(document):,} pages (a scan?): recognise its text (OCR) first")
        return writer.parsed(_title(document))
    finally:
        document.close()


def _page_text(document: "PdfDocument", number: int) -> str:
    import pypdfium2 as pdfium

    try:
        page = document[number]
        text = page.get_textpage()
    except pdfium.PdfiumError:
        raise ParseError(f"page {number + 1} cannot be read (broken)") from None
    try:
        lines = joined(_lines(text))
    finally:
        text.close()
        page.close()
    return "\n".join(lines).strip()


def _lines(page: "PdfTextPage") -> list[Line]:
    """The lines of a page in PDFium's order: what is drawn together stays together, side by side on one line."""
    lines: list[Line] = []
    start = 0
    for raw in str(page.get_text_range()).split("\r\n"):
        end = start + len(raw.encode("utf-16-le", "surrogatepass")) // 2
        if text := _NO_TEXT.sub("", raw).strip():
            lines.append(Line(text, *_place(page, start, end - 1)))
        start = end + 2
    return lines


def _place(page: "PdfTextPage", first: int, last: int) -> tuple[float, float, float]:
    """Baseline, left and right of the characters at these places in the text (counted in UTF-16)."""
    from ctypes import c_double

    import pypdfium2.raw as pdfium_c

    left, right, y, unused = c_double(), c_double(), c_double(), c_double()
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex
    pdfium_c.FPDFText_GetCharOrigin(page, index(page, first), left, y)
    pdfium_c.FPDFText_GetCharBox(page, index(page, last), unused, right, unused, unused)
    return y.value, left.value, right.value


def _title(document: "PdfDocument") -> str:
    return _PROGRAM.sub("", str(document.get_metadata_value("Title")).strip())
