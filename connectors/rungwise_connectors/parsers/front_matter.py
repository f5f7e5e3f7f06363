"""What a text says of itself before it begins: YAML between two lines of `---`."""

import json
import re
from collections.abc import Mapping

import yaml
from msgspec import Struct

from rungwise_connectors.attributes import attributes_of
from rungwise_connectors.parsers.writer import clean
from rungwise_connectors.readers import readers_of
from rungwise_connectors.types import ParseError, ReadersError, Scalar

_BLOCK = re.compile(r"\s*---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LIMIT = 16 * 1024
_READERS = re.compile(r"^[ \t]*[{\"']*readers?[\"']?[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ATTRIBUTES = re.compile(r"^attributes[ \t]*:", re.MULTILINE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PLAIN: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


class FrontMatter(Struct, frozen=True):
    """The fields that are read; others are left alone."""

    title: str = ""
    readers: frozenset[str] | None = None
    url: str = ""
    language: str = ""
    attributes: Mapping[str, Scalar] = {}


def split(text: str) -> tuple[FrontMatter, str]:
    """Front matter and the text after it. Without front matter, or with a block that is no mapping, all is text.

    Raises:
        ReadersError: the block names readers and cannot be read, or names them wrongly. Such a document must not fall
            back to its source's readers.
        ParseError: likewise of attributes: a search for them would pass it by.
    """
    block = _BLOCK.match(text, 0, _LIMIT)
    if block is None:
        if text[:_LIMIT].lstrip().startswith("---") and _READERS.search(_opening(text)):
            raise ReadersError("front matter: it names readers and does not end in a line of --- within 16 KB")
        return FrontMatter(), text
    try:
        # Every scalar stays the string that was written: `no` is Norwegian, and a date is a title as good as any.
        loader = yaml.BaseLoader(block[1])
        root = loader.get_single_node()
        fields = loader.construct_document(root) if root else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if _READERS.search(block[1]):
            raise ReadersError(f"front matter: it names readers and is no YAML: {_words(error)}") from None
        if _ATTRIBUTES.search(block[1]):
            raise ParseError(f"front matter: it names attributes and is no YAML: {_words(error)}") from None
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
    try:
        attributes = attributes_of(_typed(root))
    except ValueError as error:
        raise ParseError(f"front matter: {error}", readers) from None
    title, url, language = (_text(fields.get(key)) for key in ("title", "url", "language"))
    return FrontMatter(title, readers, url, language, attributes), text[block.end() :]


def _typed(root: yaml.Node | None) -> object:
    """The attributes, their numbers and booleans told from strings: by JSON's rules, and what is in quotes is none."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    node = next((held for key, held in reversed(pairs) if key.value == "attributes"), None)
    if isinstance(node, yaml.MappingNode):
        return {key.value: _scalar(held) for key, held in node.value}
    return None if node is None else _scalar(node)


def _scalar(node: yaml.Node) -> object:
    if not isinstance(node, yaml.ScalarNode):
        return []
    if node.style is not None:
        return node.value
    if node.value in _PLAIN:
        return _PLAIN[node.value]
    return json.loads(node.value) if _NUMBER.fullmatch(node.value) else node.value


def _opening(text: str) -> str:
    return text[:_LIMIT].lstrip().partition("\n\n")[0]


def _text(value: object) -> str:
    return clean(" ".join(value.split())) if isinstance(value, str) else ""


def _words(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 2}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
