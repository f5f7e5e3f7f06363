"""CSV and its kin: each row by itself, with its headers."""

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

_DELIMITERS = ",;\t|"
_SAMPLE = 64 * 1024
_SAMPLE_ROWS = 30
_HEADER_LIMIT = 200


def parse_table(text: str, limits: Limits) -> Parsed:
    """A block of `header: value` lines for each row, blocks separated by a blank line, empty cells left out.

    The delimiter is the one of comma, semicolon, tab and bar that cuts the first rows most evenly. The first row is the
    header unless it holds a number, an empty cell or a value twice; then columns are `column 1`, `column 2`. Raises
    ParseError when there is no text, or too much.
    """
    rows = _rows(text, _delimiter(text[:_SAMPLE]), limits)
    first = next(rows, None)
    if first is None:
        raise ParseError("holds no text")
    second = next(rows, None)
    headers: list[str] = []
    pending = [first]
    if second is not None:
        pending.append(second)
        if _is_header(first):
            headers = [" ".join(cell.split())[:_HEADER_LIMIT] for cell in pending.pop(0)]
    writer = Writer(limits)
    for row in chain(pending, rows):
        if writer.length:
            writer.write("\n")
        for column, cell in enumerate(row):
            if value := " ".join(cell.split()):
                header = headers[column] if column < len(headers) else f"column {column + 1}"
                writer.write(f"{header}: {value}\n")
    return writer.parsed()


def _rows(text: str, delimiter: str, limits: Limits) -> Iterator[list[str]]:
    # The module's own limit of 128 KB a field would refuse what is only long; the text is bounded already.
    csv.field_size_limit(limits.characters)
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True):
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error as error:
        raise ParseError(f"is no readable table: {error}") from None


def _delimiter(sample: str) -> str:
    def evenness(delimiter: str) -> tuple[float, int]:
        try:
            widths = [
                len(row) for row in islice(csv.reader(io.StringIO(sample), delimiter=delimiter), _SAMPLE_ROWS) if row
            ]
        except csv.Error:
            return 0, 0
        usual = max(set(widths), key=widths.count) if widths else 1
        return (widths.count(usual) / len(widths), usual) if usual > 1 else (0, 0)

    return max(_DELIMITERS, key=evenness)


def _is_header(row: list[str]) -> bool:
    cells = [" ".join(cell.split()) for cell in row]
    return all(cells) and len(set(cells)) == len(cells) and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-$€£¥ ").replace(".", "").replace(",", "").rstrip("%€ ").isdecimal()
