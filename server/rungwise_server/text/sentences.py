"""Cuts a passage into the units that an answer can quote: sentences, bullets, table rows, `label: value` lines.

Passages come from many parsers, so only their plain text is looked at: Markdown marks are read as structure (and left
out of the quote), lines that a PDF or an editor wrapped are joined again, headings become context.
"""

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

UNSPACED = (
    "\u0e00-\u0e7f\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
)
"""Characters of scripts that are written without spaces, as the inside of a regular expression's class."""

_LONGEST = 500  # characters of a unit; what is longer is cut at a clause, or at a space
_ONE_UNIT = 240  # a bullet of several sentences stays whole up to here
_READ = 10_000  # ingest's passages have a tenth of that
_NAME = 60  # a record's first value names it if it is no longer than this
_WRAPPED = 56  # columns: text that is nowhere wider was not wrapped

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_NUMBERED = re.compile(r"\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+[^\W\d][^.!?:。]{1,58}$")
_UNDERLINE = re.compile(r"(?:[=*_~-]\s?){3,}$")
_BULLET = re.compile(r"(?:[-*+•‣▪◦–]\s+|・\s*|\(?\d{1,2}[.)]\s+|\(?[a-z]\)\s+)(?=\S)")
_ROW = re.compile(r"\|.*\|$")
_RULE_ROW = re.compile(r"\|[\s:|-]+\|$")
_BARRED = re.compile(r"[^|]{1,200}(?:\s\|\s[^|]{1,200})+$")
_LABEL = re.compile(r"([^\s:：.!?。](?:[^:：.!?。]|\.(?=\S)){0,80})(?::\s|：)(?=\S)")
_ELEMENT = re.compile(r"[^\[\]]*\[\d+\]")
_MARKS = re.compile(r"\*\*|__|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)|`")
_END = re.compile(r"[。！？｡]++[」』）\"”]*+|(?<![.!?…؟।])[.!?…؟।]++[\"'”’»)\]]*+(?=\s)")
_STOP = tuple(".!?…。！？:：;；")
_WIDE = re.compile(f"[{UNSPACED}\u3000-\u303f\uac00-\ud7af\uff00-\uff60]")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_SEAM = re.compile(
    rf"(?<=[{UNSPACED}、。，！？）」』])\s*\n\s*(?=[{UNSPACED}（「『、。\w])|(?<=\w)\s*\n\s*(?=[{UNSPACED}])"
)
_FOOTER = re.compile(r".{0,80}\b(?:page|seite|p\.|s\.)\s*\d+(?:\s*(?:of|von|/)\s*\d+)?$|[\d\s/-]+$", re.IGNORECASE)

_SHORT = """
approx apr aug av bzw ca co corp d.h dec dept dr e.g evtl exkl feb ggf i.d.r i.e inc inkl jan jr jul jun lit ltd mlle
mme mr mrs ms nov núm o.ä oct p.ej prof pág resp s.o s.u sep sept sog sr sra st str tel tlw u.a u.k u.s vgl vs z.b zzgl
"""
_BEFORE_NUMBERS = "abs art ch fig mar max min mind no nos nr p pp sec vol"
_ABBREVIATIONS = frozenset(_SHORT.split())
_COUNTED = frozenset(_BEFORE_NUMBERS.split())
_ORDINAL_OF = re.compile(
    r"\s+(?:[a-zäöü]|Jan|Feb|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez|Werk|Kalender|Arbeits|Tag|Jahr)"
)


def unspaced(text: str) -> bool:
    """Whether a text is mostly written without spaces between words."""
    return 3 * len(_UNSPACED.findall(text)) > len(text)


class Unit(Struct, frozen=True):
    """Something that can be quoted. `start` is where it begins in the passage's text.

    `context` is what it needs to be understood: a heading inside the passage, the line that leads a list in.
    `own_line` tells a bullet, row or labelled value from a sentence of running text.
    """

    text: str
    start: int
    context: str = ""
    own_line: bool = False


class _Block(Struct):
    """Lines that belong together."""

    kind: Literal["prose", "item", "record"]
    start: int
    lines: list[str]
    labels: set[str]


def units(text: str) -> list[Unit]:
    """The units of a passage's text, in order. What is beyond the first 10,000 characters is not read."""
    reader = _Reader(text[:_READ])
    return [unit for unit in reader.read() if any(c.isalpha() for c in unit.text)]


class _Reader:
    """One pass over the lines of a passage."""

    def __init__(self, text: str) -> None:
        # Same length as the text, so that offsets hold.
        self._lines = _CONTROL.sub(" ", text).split("\n")
        self._columns = max((_width(line) for line in self._lines if not line.lstrip().startswith("|")), default=0)
        self._heading = ""
        self._lead = ""
        self._header: list[str] = []
        self._block: _Block | None = None

    def read(self) -> Iterator[Unit]:
        offset = 0
        blank = True
        following = _following(self._lines)
        for number, raw in enumerate(self._lines):
            line = raw.strip()
            after = self._lines[number + 1].strip() if number + 1 < len(self._lines) else ""
            start = offset + len(raw) - len(raw.lstrip())
            offset += len(raw) + 1
            if not line or _UNDERLINE.match(line) or _FOOTER.match(line):
                yield from self._close()
                self._header = []
                blank = True
            elif heading := _heading(line, following[number], blank and not after):
                yield from self._close()
                self._heading, self._lead, self._header = heading, "", []
            elif _ROW.match(line) or (_BARRED.match(line) and (self._header or _BARRED.match(after))):
                yield from self._close()
                yield from self._row(line, start)
            elif self._block and self._goes_on(self._block, raw, line):
                blank = False
                self._block.lines.append(line)
                self._block.labels.add(_label(line))
            else:
                blank = False
                yield from self._close()
                if bullet := _BULLET.match(line):
                    self._block = _Block("item", start + bullet.end(), [line[bullet.end() :]], set())
                else:
                    label = _label(line)
                    self._block = _Block("record" if label else "prose", start, [line], {label})
        yield from self._close()

    def _goes_on(self, block: _Block, raw: str, line: str) -> bool:
        """Whether `line` belongs to the block before it: wrapped there, or the next value of the same record."""
        if _BULLET.match(line):
            return False
        before = block.lines[-1]
        if label := _label(line):
            if block.kind == "record":
                return _element(block.lines[0]) == _element(line) and label not in block.labels
        elif (block.kind == "item" and raw[0].isspace()) or (line[0].islower() and not before.endswith(_STOP)):
            return True
        if self._columns < _WRAPPED or (block.kind != "prose" and before.endswith(_STOP)):
            return False
        first = 2 if _WIDE.match(line) else len(line.split(maxsplit=1)[0])
        return _width(before) + first >= 0.9 * self._columns

    def _close(self) -> Iterator[Unit]:
        block, self._block = self._block, None
        if block is None:
            return
        if block.kind == "record":
            yield from self._record(block)
            return
        item = block.kind == "item"
        text = _plain(_SEAM.sub("", "\n".join(block.lines)))
        if item and len(text) <= _ONE_UNIT:
            yield Unit(text, block.start, self._context(), own_line=True)
            return
        position = 0
        for sentence in _sentences(text):
            # Joining and plain text shift offsets by a few characters: good enough to order by.
            yield Unit(sentence, block.start + position, self._context(), own_line=item and not position)
            position += len(sentence)
        if not item:
            self._lead = text if text.endswith((":", "：")) and len(text) <= _ONE_UNIT else ""

    def _record(self, block: _Block) -> Iterator[Unit]:
        """A small record whole; of a large one each value, with the record's first, which mostly names it."""
        values: list[str] = []
        for line in block.lines:
            if values and not _LABEL.match(line):
                values[-1] += f" {line}"
            else:
                values.append(line)
        element = _element(values[0])
        values = [_plain(_SEAM.sub("", value)).removeprefix(element).removeprefix(".") for value in values]
        whole = "; ".join(values)
        if len(whole) <= _ONE_UNIT:
            yield Unit(whole, block.start, self._context(), own_line=True)
            return
        position = block.start
        if len(values) == 1:
            context = "\n".join(part for part in (self._context(), _label(whole)) if part)
            for sentence in _sentences(whole):
                yield Unit(sentence, position, context, own_line=position == block.start)
                position += len(sentence)
            return
        for number, value in enumerate(values):
            named = f"{values[0]}; {value}" if number and len(values[0]) <= _NAME else value
            for part in _sentences(named) if len(named) > _LONGEST else (named,):
                yield Unit(part, position, self._context(), own_line=True)
            position += len(value) + 1

    def _row(self, line: str, start: int) -> Iterator[Unit]:
        if _RULE_ROW.match(line):
            return
        cells = [_plain(cell) for cell in line.strip("|").split("|")]
        if not self._header:
            self._header = cells
            return
        names = self._header + [""] * (len(cells) - len(self._header))
        text = "; ".join(
            f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell.strip()
        )
        yield Unit(text[: 2 * _LONGEST], start, self._context(), own_line=True)

    def _context(self) -> str:
        return "\n".join(part for part in (self._heading, self._lead) if part)


def _following(lines: list[str]) -> list[str]:
    """For each line, the next one that is not blank."""
    found = [""] * len(lines)
    for number in range(len(lines) - 2, -1, -1):
        found[number] = lines[number + 1].strip() or found[number + 1]
    return found


def _heading(line: str, following: str, alone: bool) -> str:
    """The heading that `line` is, or nothing. `alone`: blank lines are around it."""
    if match := _HEADING.match(line):
        return _plain(match[1])
    if len(line) > 60 or line.endswith(_STOP[:8]) or not following:
        return ""
    if _BULLET.match(line) and _BULLET.match(following):
        return ""
    if _LABEL.match(line) and not line.isupper():
        return ""
    shouted = line.isupper() and len(line) > 3 and not following.isupper()
    numbered = _NUMBERED.match(line)
    apart = alone and not line[0].islower() and not _BULLET.match(line)
    return line if shouted or numbered or apart else ""


def _label(line: str) -> str:
    match = _LABEL.match(line)
    return match[1] if match else ""


def _element(line: str) -> str:
    """Of `stores[0].name: …`, the `stores[0]`: what parsed JSON says of the record that a value belongs to."""
    match = _ELEMENT.match(_label(line))
    return match[0] if match else ""


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence of running text starts and ends, white space around it left out; a very long one in parts."""
    start = 0
    for match in _END.finditer(text):
        if match[0] == "." and _abbreviated(text, match.start(), match.end()):
            continue
        yield from _cut(text, start, match.end())
        start = match.end()
    yield from _cut(text, start, len(text))


def _sentences(text: str) -> Iterator[str]:
    for start, end in spans(text):
        yield text[start:end]


def _abbreviated(text: str, dot: int, after: int) -> bool:
    """Whether the dot at `dot` ends an abbreviation, an initial or an ordinal number rather than a sentence."""
    word = re.split(r"[\s(\"'„“]", text[max(0, dot - 12) : dot])[-1].lower()
    if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
        return True
    following = text[after : after + 2].strip()
    if following[:1].islower() or (word in _COUNTED and following[:1].isdigit()):
        return True
    return word.isdigit() and len(word) <= 2 and _ORDINAL_OF.match(text, after) is not None


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    start, end = _stripped(text, start, end)
    while end - start > _LONGEST:
        window = text[start : start + _LONGEST]
        cut = max(window.rfind("; "), window.rfind("；"), window.rfind(", ") if end - start > 2 * _LONGEST else -1)
        cut = cut if cut > _LONGEST // 3 else window.rfind(" ")
        cut = cut if cut > 0 else _LONGEST - 1
        yield _stripped(text, start, start + cut + 1)
        start, end = _stripped(text, start + cut + 1, end)
    if start < end:
        yield start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip()) if part.strip() else start


def _plain(text: str) -> str:
    return " ".join(_MARKS.sub("", text).split())


def _width(line: str) -> int:
    return len(line) + len(_WIDE.findall(line))
