"""What sources yield. Nothing here knows of indexes, models or HTTP: ingest translates documents into passages."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

Scalar = str | float | bool
"""The value of an attribute."""


class Document(Struct, frozen=True):
    """One document as its source has it. Exactly one of `text`, `data` and `path` holds the content.

    `version` is the source's own cheap fingerprint (an ETag, a size with a change time): while it stays, the content
    is not read again. `readers` are names as their source writes them (`everyone`, `GROUP`, `group:G`, `user:U`);
    None where the source knows no permissions, so that the source's configuration or the content itself must say.
    `attributes` are what a search can be narrowed by (see `attributes_of`).
    """

    id: str
    version: str = ""
    title: str = ""
    url: str = ""
    media_type: str = ""
    """Empty means: by the name's ending."""
    readers: frozenset[str] | None = None
    text: str | None = None
    data: bytes | None = None
    path: Path | None = None
    language: str = ""
    attributes: Mapping[str, Scalar] = {}


class Deletion(Struct, frozen=True):
    """The source says that a document is gone."""

    id: str


class Fault(Struct, frozen=True):
    """One thing in the source that could not be read; the rest goes on.

    `withdraw`: it names its readers, wrongly, so that nobody can say who may read what is indexed of it. `readers` are
    those that it names all the same: nobody else may read on what is indexed of it; None where that is not known.
    """

    id: str
    reason: str
    withdraw: bool = False
    readers: frozenset[str] | None = None


Change = Document | Deletion | Fault

Cursor = str
"""How far a source has been read, in the connector's own words; opaque to everyone else."""


class Batch(Struct, frozen=True):
    """Changes that belong together, and where to go on after them."""

    changes: tuple[Change, ...]
    cursor: Cursor


class Connector(Protocol):
    """A source of documents. `name` is unique among the sources and part of every passage's identity."""

    @property
    def name(self) -> str:
        """Unique among the sources."""

    def changes(self, since: Cursor | None) -> AsyncIterator[Batch]:
        """Every change since `since`, oldest first. A Batch's cursor is saved only once its changes are indexed.

        Raises:
            SourceError: the source as a whole cannot be read.
        """


@runtime_checkable
class Listing(Protocol):
    """A connector that can also name everything it holds: how deletions (and what polls missed) are found."""

    def ids(self) -> AsyncIterator[str]:
        """The id of every document that is there now. Raises SourceError rather than end early."""


class SourceError(Exception):
    """A source cannot be read: unreachable, refused, not there. The message says what to do."""


class Section(Struct, frozen=True):
    """A run of a parsed document's text with one heading path and page: characters `start` to `end` of the text."""

    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int = 0


class Parsed(Struct, frozen=True):
    """A document's text, with where each part of it stands. Sections cover the text in order, without overlap."""

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    readers: frozenset[str] | None = None
    url: str = ""
    language: str = ""
    attributes: Mapping[str, Scalar] = {}


class ParseError(Exception):
    """A document could not be parsed: broken, empty, too large, too slow. The message names the reason.

    `readers` are those that it names all the same, as in `Fault`.
    """

    def __init__(self, message: str, readers: frozenset[str] | None = None) -> None:
        super().__init__(message)
        self.readers = readers


class ReadersError(ParseError):
    """A document names its readers, wrongly: who may read what is indexed of it, nobody can say."""
