"""The entries that indexes are tried with, and how tests ask for them."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from rungwise_server.filters import Filter, Scalar
from rungwise_server.retrieval.indexes.points import passage_id
from rungwise_server.types import EVERYONE, CollectionSpec, IndexedPassage, IndexQuery, Passage, SparseVector, Vector

SPEC = CollectionSpec(embedder="test", dimensions=8, sparse="test")
"""What the suite's collections hold."""

ALL = frozenset({EVERYONE})
"""The principals of a caller who did not sign in."""

WORDS = ("apple", "pear", "plum", "fig", "lime")
SCRIPTS = (
    "Grüße, naïve café",
    "有給休暇は二十日です",
    "휴가는 15일",
    "วันหยุด",
    "אֶחָד",
    "😀👩‍👩‍👧",
    "a\x00b\u2028\u202e",
    "\ufeff ",
    "e\u0301",
)
PRINCIPALS = (EVERYONE, "user:ana", "group:finance", "group:hr", "group:b o", "group:ü")


def vector(text: str, dimensions: int = SPEC.dimensions) -> Vector:
    """A unit vector that follows from the text."""
    random = np.random.default_rng(zlib.crc32(text.encode(errors="surrogatepass"))).normal(size=dimensions)
    return (random / np.linalg.norm(random)).astype(np.float32)


def terms(text: str) -> SparseVector:
    """One term of weight 1 a distinct word."""
    ids = tuple(sorted({zlib.crc32(word.encode(errors="surrogatepass")) for word in text.split()}))
    return SparseVector(indices=ids, values=(1.0,) * len(ids))


def entry(
    text: str,
    *,
    document_id: str = "doc",
    readers: frozenset[str] = ALL,
    source: str = "folder",
    version: str = "1",
    collection: str = "docs",
    start: int = 0,
    attributes: Mapping[str, Scalar] = {},
) -> IndexedPassage:
    """A passage with vectors that follow from its text."""
    passage = Passage(
        id=passage_id(collection, source, document_id, text, start),
        document_id=document_id,
        collection=collection,
        text=text,
        readers=readers,
        start=start,
        end=start + len(text),
        source=source,
        version=version,
        attributes=attributes,
    )
    return IndexedPassage(passage=passage, dense=vector(text), sparse=terms(text))


def query(text: str, principals: frozenset[str] = ALL, limit: int = 10, filter: Filter | None = None) -> IndexQuery:
    """A search for the text."""
    return IndexQuery(dense=vector(text), sparse=terms(text), principals=principals, limit=limit, filter=filter)


def texts(passages: Sequence[Passage]) -> list[str]:
    """What they say."""
    return [passage.text for passage in passages]
