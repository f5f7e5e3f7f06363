"""Attributes as people write them: in a record, in front matter."""

import math

from rungwise_connectors.types import Scalar

MOST = 16
"""Attributes of a document."""

KEY = 64
"""Characters of a key."""

VALUE = 512
"""Characters of a string."""


def attributes_of(value: object) -> dict[str, Scalar]:
    """The attributes that `value` is: a mapping of strings, numbers and booleans; None is none of them.

    Raises:
        ValueError: it is another thing, or passes a limit.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("attributes must be a mapping such as {year: 2024}")
    if len(value) > MOST:
        raise ValueError(f"{len(value)} attributes are too many: at most {MOST} are taken")
    return {_key(key): _value(key, held) for key, held in value.items()}


def _key(key: object) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= KEY or not _is_unicode(key):
        raise ValueError(f"the attribute {str(key)[:80]!r} needs a name of 1 to {KEY} characters")
    return key


def _value(key: str, value: object) -> Scalar:
    match value:
        case bool():
            return value
        case int() | float():
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number) or number != value:
                raise ValueError(f"the attribute {key!r} is a number that cannot be kept exactly: write it in quotes")
            return number
        case str():
            if len(value) > VALUE or not _is_unicode(value):
                raise ValueError(f"the attribute {key!r} is longer than {VALUE} characters, or no Unicode")
            return value
    raise ValueError(f"the attribute {key!r} must be a string, a number, true or false")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
