"""Readers as people write them: in a record, in front matter, in a configuration."""

from collections.abc import Iterable


def readers_of(value: object) -> frozenset[str]:
    """The readers that `value` names: a list of names, or one string with commas between them.

    What cannot be read is refused, never taken for "nothing said": the source's default may be `everyone`.

    Raises:
        ValueError: no name at all, an empty one, or something that is not a name.
    """
    if isinstance(value, str):
        names: list[object] = list(value.split(","))
    elif isinstance(value, Iterable) and not isinstance(value, dict | bytes):
        names = list(value)
    else:
        raise ValueError(f"readers must be a name or a list of names, not {_kind(value)}")
    if not names:
        raise ValueError("readers is empty: name at least one, such as everyone or a group")
    return frozenset(_name(name) for name in names)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a reader must be a name, not {_kind(value)}")
    name = value.strip()
    if not name or not name.isprintable():
        raise ValueError(f"{value[:80]!r} is no reader: write everyone, GROUP, group:NAME or user:NAME")
    return name


def _kind(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "nothing" if value is None else kinds.get(type(value), type(value).__name__)
