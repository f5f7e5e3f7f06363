"""Filters over what a document's owner says of it, as OpenAI's vector stores have them, and what each of them means.

An attribute that is not there equals nothing: `eq`, `in` and the order comparisons do not hold for it, `ne` and `nin`
do. Values of different kinds are never equal, and only numbers have an order. Indexes follow `holds` to the letter.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Scalar = str | float | bool
"""The value of an attribute."""


class Compare(Struct, frozen=True, tag_field="type", tag="compare"):
    """One attribute against a value; `in` and `nin` take several, the others exactly one."""

    op: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    values: tuple[Scalar, ...]


class Combine(Struct, frozen=True, tag_field="type", tag="combine"):
    """All of `filters` (`and`) or at least one (`or`); of none, `and` holds and `or` does not."""

    op: Literal["and", "or"]
    filters: "tuple[Compare | Combine, ...]"


Filter = Compare | Combine


def holds(filter: Filter, attributes: Mapping[str, Scalar]) -> bool:
    """Whether `filter` holds for `attributes`."""
    if isinstance(filter, Combine):
        return (all if filter.op == "and" else any)(holds(part, attributes) for part in filter.filters)
    value = attributes.get(filter.key)
    match filter.op:
        case "eq" | "in":
            return any(_same(value, wanted) for wanted in filter.values)
        case "ne" | "nin":
            return not any(_same(value, wanted) for wanted in filter.values)
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(filter.op, value, filter.values[0])


def _same(value: Scalar | None, wanted: Scalar) -> bool:
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _ordered(op: Literal["gt", "gte", "lt", "lte"], value: Scalar | None, bound: Scalar) -> bool:
    if isinstance(value, str | bool | None) or isinstance(bound, str | bool):
        return False
    match op:
        case "gt":
            return value > bound
        case "gte":
            return value >= bound
        case "lt":
            return value < bound
        case "lte":
            return value <= bound
