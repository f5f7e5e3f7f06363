"""What a text says of itself before it begins: YAML between two lines of `---`."""

import re

import yaml
from msgspec import Struct

from rungwise_connectors.parsers.writer import clean
from rungwise_connectors.readers import readers_of
from rungwise_connectors.types import ReadersError

_BLOCK = re.compile(r"\s*---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LIMIT = 16 * 1024
_READERS = re.compile(r"^[ \t]*[{\"']*readers?[\"']?[ \t]*:", re.IGNORECASE | re.MULTILINE)


class FrontMatter(Struct, frozen=True):
    """The fields that are read; others are left alone."""

    title: str = ""
    readers: frozenset[str] | None = None
    url: str = ""
    language: str = ""


def split(text: str) -> tuple[FrontMatter, str]:
    """Front matter and the text after it. Without front matter, or with a block that is no mapping, all is text.

    Raises:
        ReadersError: the block names readers and cannot be read, or names them wrongly. Such a document must not fall
            back to its source's readers.
    """
    block = _BLOCK.match(text, 0, _LIMIT)
    if block is None:
        if text[:_LIMIT].lstrip().startswith("---") and _READERS.search(_opening(text)):
            raise ReadersError("front matter: it names readers and does not end in a line of --- within 16 KB")
        return FrontMatter(), text
    try:
        # Every scalar stays the string that was written: `no` is Norwegian, and a date is a title as good as any.
        fields = yaml.load(block[1], Loader=yaml.BaseLoader)  # noqa: S506 BaseLoader makes strings, lists and dicts only
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if _READERS.search(block[1]):
            raise ReadersError(f"front matter: it names readers and is no YAML: {_words(error)}") from None
        return FrontMatter(), text
    if not isinstance(fields, dict):
        return FrontMatter(), text
    for key in fields:
        if key != "readers" and str(key).lower() in ("readers", "reader"):
            raise ReadersError(f"front matter: {key!r} is not known: write readers")
    try:
        readers = readers_of(fields["readers"]) if "readers" in fields else None
    except ValueError as error:
        raise ReadersError(f"front matter: {error}") from None
    title, url, language = (_text(fields.get(key)) for key in ("title", "url", "language"))
    return FrontMatter(title, readers, url, language), text[block.end() :]


def _opening(text: str) -> str:
    return text[:_LIMIT].lstrip().partition("\n\n")[0]


def _text(value: object) -> str:
    return clean(" ".join(value.split())) if isinstance(value, str) else ""


def _words(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 2}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
