"""JSON: a line for each value, with the path to it."""

import json
from collections.abc import Iterator

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed, ParseError

_PATH_LIMIT = 1000


def parse_json(text: str, limits: Limits) -> Parsed:
    """`path: value` lines in the order of the document, such as `offices[1].city: Graz`; null and empty are left out.

    The items of a list at the top (or JSON values on lines of their own) are separated by blank lines, without their
    number, so that each can be found by itself. Numbers stay as they were written. Raises ParseError when it is no
    JSON, holds no values, or too many.
    """
    value = _load(text)
    writer = Writer(limits)
    for item in value if isinstance(value, list) else [value]:
        gap = "\n" if writer.length else ""
        for path, leaf in _leaves(item):
            writer.write(f"{gap}{path}: {leaf}\n" if path else f"{gap}{leaf}\n")
            gap = ""
    title = value.get("title") if isinstance(value, dict) else None
    return writer.parsed(title if isinstance(title, str) else "")


def _load(text: str) -> object:
    try:
        try:
            return _value(text)
        except json.JSONDecodeError as error:
            first = error
        return [_value(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError:
        raise ParseError(f"is no JSON: {first}") from None
    except RecursionError:
        raise ParseError("is nested too deeply") from None


def _value(text: str) -> object:
    value: object = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    return value


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    pending: list[tuple[str, object]] = [("", value)]
    while pending:
        path, value = pending.pop()
        if len(path) > _PATH_LIMIT:
            raise ParseError(f"the path to a value is longer than {_PATH_LIMIT} characters: {path[:100]}…")
        if isinstance(value, dict):
            pending.extend((f"{path}.{key}" if path else key, item) for key, item in reversed(value.items()))
        elif isinstance(value, list):
            pending.extend((f"{path}[{number}]", value[number]) for number in range(len(value) - 1, -1, -1))
        elif isinstance(value, bool):
            yield path, "true" if value else "false"
        elif isinstance(value, str) and value.strip():
            yield path, value
