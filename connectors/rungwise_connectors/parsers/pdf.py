"""PDF, by pypdfium2: this module is its only door."""

import re
from typing import TYPE_CHECKING

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

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
        lines = _NO_TEXT.sub("", str(text.get_text_range())).splitlines()
    finally:
        text.close()
        page.close()
    return "\n".join(line.rstrip() for line in lines).strip()


def _title(document: "PdfDocument") -> str:
    return _PROGRAM.sub("", str(document.get_metadata_value("Title")).strip())
