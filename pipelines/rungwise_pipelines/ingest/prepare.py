"""One change of a source, made ready for the index: read, judged against what is known, cut into passages.

Nothing here writes. Whatever a document holds, the outcome is one of four values; only the process itself can fail.
"""

import asyncio
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Protocol

import msgspec
from msgspec import Struct

from rungwise_connectors.types import Change, Deletion, Document, Fault, Parsed, ParseError, ReadersError
from rungwise_pipelines.ingest.split import Origin, Splitter
from rungwise_pipelines.ingest.state import Known
from rungwise_server.errors import SetupError
from rungwise_server.filters import Scalar
from rungwise_server.types import Passage, principal

_LONGEST = 2000
"""Bytes of an id or a reason: PostgreSQL indexes no more than 2,700."""


class Parser(Protocol):
    """Reads documents."""

    async def parse(self, document: Document) -> Parsed:
        """The document's text with its sections. Raises ParseError, or RuntimeError if it can read none at all."""


class Unchanged(Struct, frozen=True):
    """Nothing is to be done."""

    id: str


class Ready(Struct, frozen=True):
    """What a document is to be. `passages` is None where the index has them and at most their readers or attributes
    changed."""

    id: str
    seen: str
    content: str
    readers: frozenset[str]
    passages: list[Passage] | None
    attributes: Mapping[str, Scalar] = {}

    @property
    def said(self) -> str:
        """Fingerprint of the attributes; empty for none."""
        return _digest(sorted(self.attributes.items())) if self.attributes else ""


class Failed(Struct, frozen=True):
    """A document that cannot be read now. `readers`: who may read, at most, what is indexed of it; None where nothing
    new is known of that, empty where nobody may, or nobody can say who."""

    id: str
    reason: str
    readers: frozenset[str] | None = None


Prepared = Unchanged | Ready | Deletion | Failed


class Setup(Struct, frozen=True):
    """What is configured for a source: where it goes, who reads what does not say so, and what it is indexed with."""

    collection: str
    source: str
    readers: frozenset[str]
    made_by: tuple[str, ...]
    """Names of the embedder, the term weights and the way of splitting."""

    @property
    def fingerprint(self) -> str:
        """Of all of it."""
        return _digest(self.source, self.collection, sorted(self.readers), self.made_by)


class Preparer:
    """Prepares the changes of one source. `detect` tells the language (ISO 639-1) of a text, empty if it cannot."""

    def __init__(self, setup: Setup, parser: Parser, splitter: Splitter, detect: Callable[[str], str]) -> None:
        self._setup = setup
        self._fingerprint = setup.fingerprint
        self._parser = parser
        self._splitter = splitter
        self._detect = detect

    async def prepare(self, change: Change, known: Mapping[str, Known]) -> Prepared:
        """The change made ready. Documents whose source calls them unchanged are not read."""
        id = _storable(change.id)
        if id != change.id:
            return Failed(id, f"its id is over {_LONGEST} bytes, or has characters that cannot be stored: rename it")
        match change:
            case Deletion():
                return change
            case Fault():
                return self._failed(id, change.reason, change.readers, change.withdraw)
        try:
            return await self._document(change, known.get(id))
        except UnicodeError as error:
            return Failed(id, _storable(str(error)))

    async def _document(self, document: Document, before: Known | None) -> Prepared:
        seen = self._seen(document)
        if before and before.content and before.seen == seen != "" and not before.failed:
            return Unchanged(document.id)
        readers = self._readers(document.id, document.readers)
        if isinstance(readers, Failed):
            return readers
        try:
            parsed = await self._parser.parse(document)
        except RuntimeError as error:
            raise SetupError(f"no document can be read: {error}") from error
        except ParseError as error:
            named = error.readers if document.readers is None else document.readers
            return self._failed(document.id, str(error), named, isinstance(error, ReadersError))
        readers = readers or self._readers(document.id, parsed.readers) or self._setup.readers
        if isinstance(readers, Failed):
            return readers
        if not readers:
            return Failed(
                document.id,
                "no readers: write `readers: [everyone]`, or the groups that may read it, into the document, or name "
                "them for the whole source",
            )
        return await asyncio.to_thread(self._ready, document, parsed, seen, readers, before)

    def _seen(self, document: Document) -> str:
        if not document.version:
            return ""
        readers = None if document.readers is None else sorted(document.readers)
        own = (document.version, readers, document.title, document.url, document.language, document.media_type)
        said = [sorted(document.attributes.items())] if document.attributes else []
        return _digest(self._fingerprint, own, *said)

    def _readers(self, id: str, names: frozenset[str] | None) -> frozenset[str] | Failed | None:
        """The principals that are meant; None where nothing is said."""
        if names is None:
            return None
        if not names:
            return Failed(id, "its source lets nobody read it", frozenset())
        try:
            return frozenset(principal(name) for name in names)
        except ValueError as error:
            return Failed(id, _storable(str(error)), frozenset())

    def _failed(self, id: str, reason: str, names: frozenset[str] | None, withdraw: bool) -> Failed:
        readers = self._readers(id, names)
        if isinstance(readers, Failed):
            return readers
        return Failed(id, _storable(reason), frozenset() if withdraw else readers)

    def _ready(
        self, document: Document, parsed: Parsed, seen: str, readers: frozenset[str], before: Known | None
    ) -> Ready:
        setup = self._setup
        title = parsed.title or document.title or (document.path.name if document.path else "")
        url = parsed.url or document.url
        language = parsed.language or document.language or self._detect(parsed.text)
        content = _digest(parsed.text, parsed.sections, title, url, language, setup.made_by)
        if before and before.content == content:
            return Ready(document.id, seen, content, readers, None, parsed.attributes)
        place = (setup.collection, setup.source, document.id)
        origin = Origin(*place, readers, title, url, language, content, parsed.attributes)
        return Ready(document.id, seen, content, readers, self._splitter.split(parsed, origin), parsed.attributes)


def _digest(*values: object) -> str:
    return blake2b(msgspec.json.encode(values), digest_size=12).hexdigest()


def _storable(text: str) -> str:
    """`text` as every database takes it, and in an index of it."""
    data = text.encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
    return data[:_LONGEST].decode(errors="ignore")
