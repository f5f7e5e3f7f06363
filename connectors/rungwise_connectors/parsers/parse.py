"""One document to its text, whatever its format."""

from collections.abc import Callable

from msgspec.structs import replace

from rungwise_connectors.files import open_plain, why
from rungwise_connectors.parsers import front_matter
from rungwise_connectors.parsers.decode import decode
from rungwise_connectors.parsers.formats import Format, format_of
from rungwise_connectors.parsers.html import declared_charset, parse_html
from rungwise_connectors.parsers.json_lines import parse_json
from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.markdown import parse_markdown
from rungwise_connectors.parsers.pdf import parse_pdf
from rungwise_connectors.parsers.plain import parse_plain
from rungwise_connectors.parsers.table import parse_table
from rungwise_connectors.parsers.word import parse_docx
from rungwise_connectors.types import Document, Parsed, ParseError

_BINARY: dict[Format, Callable[[bytes, Limits], Parsed]] = {"pdf": parse_pdf, "docx": parse_docx}
_TEXT: dict[Format, Callable[[str, Limits], Parsed]] = {
    "markdown": parse_markdown,
    "text": parse_plain,
    "html": parse_html,
    "csv": parse_table,
    "json": parse_json,
}


def parse(document: Document, limits: Limits = Limits()) -> Parsed:  # noqa: B008 a frozen value
    """The text of `document`, its sections, and what it says of itself; sections cover all of the text.

    Title, URL, language and each attribute are the front matter's, else the document's, else what the format holds.
    `readers` are the front matter's alone, and front matter is read in files of every text format, never in inline
    text: that is some field's content, and no place to grant rights from.

    Raises:
        ReadersError: its front matter names readers and cannot be understood.
        ParseError: it cannot be read, is empty, broken, encrypted, or passes a limit; its attributes do.
    """
    format = format_of(document)
    said = front_matter.FrontMatter()
    if document.text is not None:
        text = document.text.replace("\r\n", "\n").replace("\r", "\n")
        if "\x00" in text:
            raise ParseError("is binary, not text (it holds NUL characters)")
        # Whoever hands over text under a binary format's name has taken it out of there.
        parsed = _TEXT.get(format, parse_plain)(text, limits)
    else:
        data = _content(document, limits)
        if not data:
            raise ParseError("is empty (0 bytes)")
        if format in _BINARY:
            parsed = _BINARY[format](data, limits)
        else:
            if len(data) > 4 * limits.characters + 4:
                raise ParseError(f"holds more than {limits.characters:,} characters of text: split it")
            said, text = front_matter.split(decode(data, declared_charset(data) if format == "html" else ""))
            try:
                parsed = _TEXT[format](text, limits)
            except ParseError as error:
                raise ParseError(str(error), said.readers) from None
    return replace(
        parsed,
        title=said.title or document.title or parsed.title,
        url=said.url or document.url or parsed.url,
        language=said.language or document.language or parsed.language,
        readers=said.readers,
        attributes={**document.attributes, **said.attributes},
    )


def _content(document: Document, limits: Limits) -> bytes:
    data = document.data
    if document.path is not None:
        try:
            with open_plain(document.path) as file:
                data = file.read(limits.size + 1)
        except OSError as error:
            raise ParseError(f"cannot be read: {why(error)}") from None
    if data is None:
        raise ParseError("has no content: neither text nor data nor path")
    if len(data) > limits.size:
        raise ParseError(f"is larger than {limits.size / 2**20:,.0f} MB")
    return data
