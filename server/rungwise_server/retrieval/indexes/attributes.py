"""Attributes as marks, and filters as questions after marks: what Qdrant's engines have in common. Pure.

Neither keys nor values are known beforehand, so that an index for each attribute cannot be made, and without an index a
filter reads the payload of every passage. Instead each attribute leaves marks, hashes of 64 bits, in one payload field
with one index. That is exact, too, where Qdrant is not: it keeps a payload's numbers to some 15 digits only. (Two of a
million marks are the same once in 40 million collections.)

A number's marks are the prefixes of its 64 bits, written so that their order as text is that of the numbers. What is
above a bound shares a prefix with it and goes on with a higher digit: those few prefixes are what a filter asks for
(Schindler and Diepenbroek, "Generic XML-based framework for metadata portals", Computers & Geosciences 34, 2008).
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

from rungwise_server.errors import BadRequest
from rungwise_server.filters import Combine, Compare, Filter, Scalar

C = TypeVar("C")

MARKS = "attribute_marks"
"""The payload field."""

DEPTH = 16
"""Levels of `and` and `or` in a filter. Qdrant's engine overruns its stack, and ends the process, at some 1,000."""

PARTS = 1000
"""Comparisons and combinations in a filter."""

VALUES = 10_000
"""Values that a filter names, all together."""

_DIGITS = "0123456789abcdef"


def marks_of(attributes: Mapping[str, Scalar]) -> list[int]:
    """All marks of `attributes`: some 20 for a number, 1 for another value."""
    return [mark for key, value in attributes.items() for mark in _marks(key, value)]


class Conditions(Protocol[C]):
    """How an engine says them."""

    def marked(self, marks: list[int]) -> C:
        """At least one of these marks is there."""

    def combined(self, must: list[C], should: list[C], must_not: list[C]) -> C:
        """All of the first, at least one of the second where there are any, none of the third."""


def narrowed(must: list[C], filter: Filter | None, engine: Conditions[C]) -> list[C] | None:
    """`must`, and what a filter (checked before) asks for; None where that never holds."""
    if filter is None:
        return must
    wanted = _condition(filter, engine)
    if isinstance(wanted, bool):
        return must if wanted else None
    return [*must, wanted]


def _condition(filter: Filter, engine: Conditions[C]) -> C | bool:
    """True where it always holds, False where it never does."""
    if isinstance(filter, Compare):
        return _compared(filter, engine)
    settles = filter.op == "or"
    left: list[C] = []
    for part in filter.filters:
        inner = _condition(part, engine)
        if not isinstance(inner, bool):
            left.append(inner)
        elif inner is settles:
            return settles
    if not left:
        return not settles
    return engine.combined([], left, []) if settles else engine.combined(left, [], [])


def _compared(filter: Compare, engine: Conditions[C]) -> C | bool:
    key = filter.key
    if filter.op in ("eq", "in", "ne", "nin"):
        wanted = [_equal(key, value) for value in filter.values]
        holds = filter.op in ("eq", "in")
        if not wanted:
            return not holds
        return engine.marked(wanted) if holds else engine.combined([], [], [engine.marked(wanted)])
    bound = filter.values[0]
    if isinstance(bound, str | bool):
        return False
    above = [_mark(key, f">{prefix}") for prefix in _above(_ordered(bound))]
    if filter.op in ("gte", "lt"):
        above.append(_equal(key, bound))
    if filter.op in ("gt", "gte"):
        return engine.marked(above)
    return engine.combined([engine.marked([_number(key)])], [], [engine.marked(above)])


def check_attributes(attributes: Mapping[str, Scalar], whose: str) -> None:
    """Raises ValueError for what JSON or a double cannot hold: text that is no Unicode, NaN, too large a number."""
    for key, value in attributes.items():
        if not _is_storable(key) or not _is_storable(value):
            raise ValueError(f"{whose} has an attribute {key!r} that cannot be kept: use Unicode and finite numbers")


def check_filter(filter: Filter | None) -> None:
    """Raises BadRequest for a filter past the limits above, one that compares an order with no or several values, and
    values that no attribute can have. However deep it is, this ends.
    """
    parts = values = 0
    level: Sequence[Filter] = [filter] if filter else []
    for depth in range(DEPTH + 1):
        parts += len(level)
        if parts > PARTS:
            raise BadRequest(f"the filter has more than {PARTS:,} comparisons: use fewer", param="filters")
        for part in level:
            if isinstance(part, Compare):
                values += len(part.values)
                _check(part, values)
        level = [inner for part in level if isinstance(part, Combine) for inner in part.filters]
        if depth == DEPTH and level:
            raise BadRequest(f"the filter is nested more than {DEPTH} deep: flatten it", param="filters")


def _check(part: Compare, values: int) -> None:
    if values > VALUES:
        raise BadRequest(f"the filter has more than {VALUES:,} values: use fewer", param="filters")
    if part.op not in ("in", "nin") and len(part.values) != 1:
        raise BadRequest(f"the filter's {part.op!r} needs exactly one value", param="filters")
    if not all(map(_is_storable, (part.key, *part.values))):
        raise BadRequest("the filter has text that is no Unicode, or a number that is not finite", param="filters")


def _is_storable(value: Scalar) -> bool:
    try:
        if isinstance(value, str):
            value.encode()
            return True
        return math.isfinite(value) and float(value) == value
    except (UnicodeEncodeError, OverflowError):
        return False


def _marks(key: str, value: Scalar) -> Iterator[int]:
    yield _equal(key, value)
    if not isinstance(value, str | bool):
        yield _number(key)
        # A zero is above nothing, so that the prefixes that end in the last digits, mostly zeros, are of no use.
        digits = _ordered(value).rstrip("0")
        yield from (_mark(key, f">{digits[:length]}") for length in range(1, len(digits) + 1))


def _equal(key: str, value: Scalar) -> int:
    if isinstance(value, str):
        return _mark(key, f"={value}")
    return _mark(key, f"?{value}" if isinstance(value, bool) else f"#{_ordered(value)}")


def _number(key: str) -> int:
    """That the attribute is a number."""
    return _mark(key, "#")


def _mark(key: str, what: str) -> int:
    text = f"{len(key)} {key}{what}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _above(digits: str) -> Iterator[str]:
    for place, digit in enumerate(digits):
        yield from (digits[:place] + higher for higher in _DIGITS[int(digit, 16) + 1 :])


def _ordered(value: float) -> str:
    """16 digits; of two numbers the larger has the larger ones."""
    bits: int
    (bits,) = struct.unpack(">Q", struct.pack(">d", float(value) + 0.0))  # -0.0 is 0.0
    return f"{bits ^ ((1 << 64) - 1) if bits >> 63 else bits | 1 << 63:016x}"
