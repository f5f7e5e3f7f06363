"""DOCX, by python-docx: this module is its only door."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

if TYPE_CHECKING:
    from docx.document import Document
    from lxml.etree import _Element

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_WRAPPERS = frozenset(f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo"))
_LEFT_OUT = frozenset((_FALLBACK, *(f"{_W}{name}" for name in ("pPr", "rPr", "del", "moveFrom"))))
_MARKS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_HEADING = re.compile(r"heading (\d)$", re.IGNORECASE)
_TITLE, _ITEM = 0, -1
_SMALL = 20 * 2**20
_OLE = b"\xd0\xcf\x11\xe0"


def parse_docx(data: bytes, limits: Limits) -> Parsed:
    """Paragraphs, list items with a dash, tables with a line `a | b` a row; heading styles make sections.

    Deleted text, comments, headers and footers are left out; tracked insertions are taken.

    Raises:
        ParseError: it is broken, encrypted, unpacks to far too much, or holds no text.
    """
    _check(data, limits)
    import docx
    from docx.opc.exceptions import OpcError
    from lxml import etree

    try:
        document = docx.Document(io.BytesIO(data))
        levels = _levels(document)
        body = document.element.body
        title = document.core_properties.title
    except (
        OpcError,
        etree.LxmlError,
        zipfile.BadZipFile,
        zlib.error,
        LookupError,
        ValueError,
        AttributeError,
    ) as error:
        raise ParseError(f"is no readable DOCX: {error}") from None
    story = _Story(Writer(limits), levels)
    story.read(body)
    return story.writer.parsed(title or story.title or story.first_heading)


def _check(data: bytes, limits: Limits) -> None:
    """Refuse what would unpack to too much. The sizes are the archive's own words, which zipfile holds it to."""
    if data.startswith(_OLE):
        raise ParseError("is encrypted, or a .doc under another name: save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ParseError(f"is no readable DOCX: {error}") from None
    if len(members) > limits.entries:
        raise ParseError(f"packs {len(members):,} files, more than {limits.entries:,}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.unpacked or unpacked > max(_SMALL, limits.ratio * len(data)):
        raise ParseError(f"unpacks to {unpacked:,} bytes from {len(data):,}: too much")


def _levels(document: "Document") -> dict[str, int]:
    """The heading level of each style that is one, by style id; 0 is the title, -1 a list's item."""
    levels: dict[str, int] = {}
    bases: dict[str, str] = {}
    for style in document.styles.element.iter(f"{_W}style"):
        id = style.get(f"{_W}styleId", "")
        name = style.find(f"{_W}name")
        label = name.get(f"{_W}val", "").strip() if name is not None else ""
        base = style.find(f"{_W}basedOn")
        if base is not None:
            bases[id] = base.get(f"{_W}val", "")
        if found := _HEADING.match(label):
            levels[id] = int(found[1])
        elif label.lower() == "title":
            levels[id] = _TITLE
        elif label.lower().startswith(("list bullet", "list number")):
            levels[id] = _ITEM
    for id in list(bases):
        seen, base = {id}, id
        while base not in levels and base in bases and bases[base] not in seen:
            base = bases[base]
            seen.add(base)
        if base in levels and len(seen) <= 20:
            levels[id] = levels[base]
    return levels


class _Story:
    """The body, block by block. XML deeper than lxml's limit of 256 levels does not get here: recursion is bounded."""

    def __init__(self, writer: Writer, levels: dict[str, int]) -> None:
        self.writer = writer
        self.title = ""
        self.first_heading = ""
        self._levels = levels

    def read(self, container: "_Element") -> None:
        """Write every block in `container`."""
        for block in container:
            if block.tag == f"{_W}p":
                self._paragraph(block)
            elif block.tag == f"{_W}tbl":
                self._table(block)
            elif block.tag in _WRAPPERS:
                self.read(block)

    def _paragraph(self, paragraph: "_Element") -> None:
        text = _text(paragraph)
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        level = self._levels.get(style.get(f"{_W}val", "")) if style is not None else None
        if not text.strip():
            return
        if level is None and paragraph.find(f"{_W}pPr/{_W}numPr") is not None:
            level = _ITEM
        if level == _TITLE:
            self.title = self.title or text
        elif level is not None and level > 0:
            self.first_heading = self.first_heading or text
            self.writer.heading(level, text)
        self.writer.write(f"- {text}\n" if level == _ITEM else f"{text}\n\n")

    def _table(self, table: "_Element") -> None:
        for row in _inner(table, f"{_W}tr"):
            cells = [" ".join(_text(cell).split()) for cell in _inner(row, f"{_W}tc")]
            if any(cells):
                self.writer.write(" | ".join(cells) + "\n")
        self.writer.write("\n")


def _inner(element: "_Element", tag: str) -> Iterator["_Element"]:
    """The nearest elements with `tag` in `element`, through wrappers such as content controls."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in _WRAPPERS:
            yield from _inner(child, tag)


def _text(element: "_Element") -> str:
    """The text in `element`, in order; paragraphs inside of it (cells, text boxes) are separated by a line break."""
    from lxml import etree

    pieces: list[str] = []
    walk = etree.iterwalk(element, events=("start",))
    for _, part in walk:
        if part.tag in _LEFT_OUT:
            walk.skip_subtree()
        elif part.tag == f"{_W}t":
            pieces.append(part.text or "")
        elif part.tag in _MARKS:
            pieces.append(_MARKS[part.tag])
        elif part.tag == f"{_W}p" and pieces:
            pieces.append("\n")
    return "".join(pieces).strip()
