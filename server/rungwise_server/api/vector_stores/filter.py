"""Filters over attributes as OpenAI writes them, read: `{"type": "and", "filters": [{"type": "eq", "key", "value"}]}`.

Both the `file_search` tool and a vector store's `search` take them.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
from msgspec import Raw, Struct

from rungwise_server.errors import BadRequest
from rungwise_server.filters import Combine, Compare, Filter, Scalar

DEEPEST = 8
"""Levels of `and` and `or`, the comparison at the bottom included."""
MOST = 100
"""Conditions in one filter, and values in one list."""

_Op = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
_OPS: Mapping[str, _Op] = {op: op for op in get_args(_Op)}
_Value = bool | float | str


class _Filter(Struct):
    type: str
    key: str | None = None
    value: Raw = Raw()
    filters: list[Raw] | None = None


_FILTER = msgspec.json.Decoder(_Filter)
_VALUE = msgspec.json.Decoder(_Value | list[_Value])


def read_filter(wire: Raw, param: str) -> Filter:
    """The filter in `wire`, the JSON of the field `param`.

    Raises:
        BadRequest: it is not of the form that filters have, nested too deep or too large; `param` names the place.
    """
    return _Reader().read(wire, param, 1)


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def read(self, wire: Raw, param: str, depth: int) -> Filter:
        self._count += 1
        if depth > DEEPEST or self._count > MOST:
            raise BadRequest(
                f"The filter is too large: at most {DEEPEST} levels and {MOST} conditions are taken.", param=param
            )
        try:
            said = _FILTER.decode(wire)
        except msgspec.ValidationError as error:
            raise BadRequest(f"Invalid filter at '{param}': {error}.", param=param) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest(f"The filter at '{param}' cannot be read.", param=param) from None
        if said.type in ("and", "or"):
            if said.filters is None:
                raise BadRequest(f"The filter at '{param}' needs 'filters', a list.", param=f"{param}.filters")
            parts = tuple(
                self.read(part, f"{param}.filters[{place}]", depth + 1) for place, part in enumerate(said.filters)
            )
            return Combine("and" if said.type == "and" else "or", parts)
        op = _OPS.get(said.type)
        if op is None:
            known = ", ".join((*_OPS, "and", "or"))
            raise BadRequest(f"There is no filter {said.type!r}. There are: {known}.", param=f"{param}.type")
        if not said.key:
            raise BadRequest(f"The filter at '{param}' needs 'key', the name of an attribute.", param=f"{param}.key")
        return Compare(op, said.key, _values(op, said.value, f"{param}.value"))


def _values(op: _Op, wire: Raw, param: str) -> tuple[Scalar, ...]:
    try:
        value = _VALUE.decode(wire)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest(
            "The value of a filter is a string, a number, a boolean or a list of them.", param=param
        ) from None
    if op in ("in", "nin"):
        if not isinstance(value, list) or not 1 <= len(value) <= MOST:
            raise BadRequest(f"The filter {op!r} takes a list of 1 to {MOST} values.", param=param)
        return tuple(value)
    if isinstance(value, list):
        raise BadRequest(f"The filter {op!r} takes one value; for several there are 'in' and 'nin'.", param=param)
    if op not in ("eq", "ne") and isinstance(value, str | bool):
        raise BadRequest(f"The filter {op!r} takes a number: nothing else has an order.", param=param)
    return (value,)
