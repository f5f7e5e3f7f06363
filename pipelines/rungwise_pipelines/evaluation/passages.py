"""Passages to write questions from, spread over sources and documents."""

import random
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from rungwise_pipelines.ingest.state import SourceState, sources_of
from rungwise_server.database import Database
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import Caller, Passage

_LEAST = 120
"""Characters of a passage that has something to ask about."""


class Document(Struct, frozen=True):
    """A document of the index."""

    id: str
    collection: str
    source: str
    version: str
    passages: int


async def documents_of(database: Database, collections: Sequence[str], caller: Caller) -> list[Document]:
    """The documents of collections that `caller` may read."""
    found = []
    for collection in collections:
        for source in await sources_of(database, collection):
            state = await SourceState.load(database, source)
            found += [
                Document(one.id, collection, source, one.content, one.passages)
                for one in state.documents.values()
                if one.content and one.passages and one.readers & caller.principals
            ]
    return found


async def ids_of(database: Database, collections: Sequence[str]) -> set[str]:
    """The ids of all documents of collections, whoever may read them."""
    return {
        document.id
        for collection in collections
        for source in await sources_of(database, collection)
        for document in (await SourceState.load(database, source)).documents.values()
        if document.content
    }


async def passages_of(
    index: PassageIndex, documents: Sequence[Document], caller: Caller, seed: int
) -> AsyncIterator[Passage]:
    """Passages that `caller` may read and that are long enough, each once: one of each document before a second of
    any, the documents in an order that takes from each source by its share.
    """
    draw = random.Random(seed)  # noqa: S311 a sample, no secret
    by_source: dict[tuple[str, str], list[Document]] = {}
    for document in sorted(documents, key=lambda one: (one.collection, one.source, one.id)):
        by_source.setdefault((document.collection, document.source), []).append(document)
    placed: list[tuple[float, Document]] = []
    for part in by_source.values():
        draw.shuffle(part)
        start = draw.random()
        placed += [((at + start) / len(part), document) for at, document in enumerate(part)]
    waiting = [document for _, document in sorted(placed, key=lambda pair: pair[0])]
    taken: dict[tuple[str, str], set[str]] = {}
    while waiting:
        again = []
        for document in waiting:
            of = Passage(
                "", document.id, document.collection, "", frozenset(), source=document.source, version=document.version
            )
            held = await index.neighbours(of, caller.principals)
            used = taken.setdefault((document.source, document.id), set())
            left = sorted((p for p in held if p.id not in used and len(p.text.strip()) >= _LEAST), key=lambda p: p.id)
            if not left:
                continue
            passage = draw.choice(left)
            used.add(passage.id)
            if len(left) > 1:
                again.append(document)
            yield passage
        waiting = again
