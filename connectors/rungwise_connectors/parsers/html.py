"""HTML: what a reader of the page would see."""

import re
from itertools import islice
from typing import TYPE_CHECKING

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

if TYPE_CHECKING:
    from lxml.etree import _Element

_CHARSET = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.+-]{1,40})", re.IGNORECASE)
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SILENT = _names(
    "head script style nav noscript template svg math iframe object embed canvas audio video map button select option"
    " input textarea dialog"
)
_PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 table ul ol dl pre blockquote article section figure hr")
_BLOCKS = _PARAGRAPHS | _names(
    "address aside body caption center dd details div dt fieldset figcaption footer form header li main menu summary"
    " tbody tfoot thead tr td th"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\n\f\r]+")


def declared_charset(data: bytes) -> str:
    """The encoding that a page names in its first kilobyte, or nothing."""
    found = _CHARSET.search(data[:1024])
    return found[1].decode("ascii") if found else ""


def parse_html(text: str, limits: Limits) -> Parsed:
    """The readable text, headings as sections: no scripts, styles, navigation, form controls or hidden parts.

    Blocks are separated by line breaks, list items begin with a dash, a row of a table is one line `a | b`, `pre` is
    kept. A table with headings or tables in it is layout, and its cells are blocks. Raises ParseError when there is no
    readable text, or too much, or elements are nested deeper than a browser would bear.
    """
    from lxml import etree

    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False, recover=True
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ParseError(f"is no readable HTML: {error}") from None
    # What is nested too deeply is left out by the parser without a word: rather no document than half of one.
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        raise ParseError("is nested too deeply")
    if root is None:
        raise ParseError("holds no text")
    page = _Page(Writer(limits), _layout(root))
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if event == "end":
            page.end(element)
            page.text(element.tail)
        elif _is_silent(element):
            walk.skip_subtree()
            page.silence(element)
        else:
            page.start(element)
            page.text(element.text)
    title = root.findtext("head/title") or page.first_heading
    return page.writer.parsed(title, language=(root.get("lang") or "").strip())


def _is_silent(element: "_Element") -> bool:
    if element.tag in _SILENT or "hidden" in element.attrib or element.get("aria-hidden", "").lower() == "true":
        return True
    return element.get("role") == "navigation" or _HIDDEN_STYLE.search(element.get("style", "")[:2000]) is not None


def _layout(root: "_Element") -> set["_Element"]:
    """The tables that hold headings or tables: they arrange a page, their rows are no records."""
    found: set[_Element] = set()
    for element in root.iter("table", *_HEADINGS):
        for table in element.iterancestors("table"):
            if table in found:
                break
            found.add(table)
    return found


class _Page:
    """Writes what it is told of, element by element; knows what stands between two pieces of text."""

    def __init__(self, writer: Writer, layout: set["_Element"]) -> None:
        self.writer = writer
        self.first_heading = ""
        self._layout = layout
        self._silent: _Element | None = None
        self._gap = 0
        self._space = False
        self._bullet = False
        self._pre = 0
        self._table = 0
        self._row: list[list[str]] = []

    def silence(self, element: "_Element") -> None:
        """`element` and all in it are left out; its end follows."""
        self._silent = element

    def start(self, element: "_Element") -> None:
        """`element` begins."""
        tag = str(element.tag)
        if tag == "table" and element not in self._layout:
            self._break(2)
            self._table += 1
        elif self._table:
            if tag == "tr":
                self._row = []
            elif tag in ("td", "th"):
                self._row.append([])
            elif tag in _BLOCKS or tag == "br":
                self.text(" ")
        elif tag in _BLOCKS:
            self._break(2 if tag in _PARAGRAPHS else 1)
        elif tag == "br":
            self._break(1)
        if level := _HEADINGS.get(tag):
            self._heading(level, element)
        elif tag == "li":
            self._bullet = True
        elif tag == "img":
            self.text(f" {element.get('alt', '')} ")
        self._pre += tag == "pre"

    def end(self, element: "_Element") -> None:
        """`element` ends."""
        if element is self._silent:
            self._silent = None
            return
        tag = str(element.tag)
        self._pre -= tag == "pre"
        self._bullet &= tag != "li"
        if tag == "table" and element not in self._layout:
            self._table -= 1
            self._break(2)
        elif not self._table:
            if tag in _BLOCKS:
                self._break(2 if tag in _PARAGRAPHS else 1)
        elif tag == "tr":
            cells = [" ".join("".join(cell).split()) for cell in self._row]
            self._row = []
            if any(cells):
                self._write(" | ".join(cells))
                self._break(1)
        elif tag in _BLOCKS:
            self.text(" ")

    def text(self, text: str | None) -> None:
        """Text as it stands in the source."""
        if not text:
            return
        if self._table and self._row:
            self._row[-1].append(text)
        elif self._pre:
            self._write(text)
            self._space = False
        else:
            words = _SPACE.sub(" ", text)
            if words == " ":
                self._space = True
                return
            self._space |= words.startswith(" ")
            self._write(words.strip(" "))
            self._space = words.endswith(" ")

    def _heading(self, level: int, element: "_Element") -> None:
        heading = " ".join(" ".join(map(str, islice(element.itertext(), 100))).split())
        self.first_heading = self.first_heading or heading
        self._separate()
        self.writer.heading(level, heading)

    def _break(self, lines: int) -> None:
        # A block that begins its list item stands beside the dash, not below it.
        if not self._bullet:
            self._gap = max(self._gap, lines)
            self._space = False

    def _write(self, text: str) -> None:
        self._separate()
        self.writer.write(text)

    def _separate(self) -> None:
        if self.writer.length and (self._gap or self._space):
            self.writer.write("\n" * self._gap or " ")
        if self._bullet:
            self.writer.write("- ")
        self._gap, self._space, self._bullet = 0, False, False
