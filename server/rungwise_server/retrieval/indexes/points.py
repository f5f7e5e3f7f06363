"""Passages as Qdrant's points: what the embedded index and the server have in common. Pure; knows no vendor."""

import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from rungwise_server.errors import EmbedderMismatch
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes.attributes import MARKS, check_attributes, check_filter, marks_of
from rungwise_server.types import CollectionSpec, IndexedPassage, IndexQuery, Passage, SparseVector

DENSE = "dense"
"""Name of the vector that passages are found by their meaning with."""

SPARSE = "sparse"
"""Name of the vector that passages are found by their words with."""

INDEXED: Mapping[str, Literal["keyword", "integer"]] = {
    "readers": "keyword",
    "document_id": "keyword",
    "source": "keyword",
    MARKS: "integer",
}
"""Payload fields that filters ask for, and the kind of index that they have therefore."""

BATCH = 128
"""Passages that one upsert had best hold: writing them keeps a serving process from its other work for some 3 ms."""

_NAMESPACE = uuid.UUID("7a1c3b52-6f0e-5d0c-9c52-6b9b3a0f6d11")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ATTRIBUTES = msgspec.json.Decoder(dict[str, Scalar])
_TEXTS = ("document_id", "text", "title", "url", "source", "language", "version")


def passage_id(collection: str, source: str, document_id: str, text: str, start: int) -> str:
    """The id of a passage: a UUID that follows from where it stands and what it says, so that a second run changes
    nothing. Raises ValueError for text that is no Unicode (lone surrogates).
    """
    return str(uuid.uuid5(_NAMESPACE, msgspec.json.encode((collection, source, document_id, start, text)).decode()))


def is_passage_id(value: str) -> bool:
    """Whether `value` is a UUID in the one spelling that ids have here. Clients send anything."""
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


def payload_of(passage: Passage) -> dict[str, object]:
    """What stands beside a point's vectors: the fields that have a value, but neither id, collection nor what only a
    search knows.
    """
    fields: dict[str, object] = msgspec.to_builtins(passage)
    for name in ("id", "collection", "score", "similarity"):
        fields.pop(name, None)
    if passage.attributes:
        fields |= attributes_payload(passage.attributes)
    return fields


def attributes_payload(attributes: Mapping[str, Scalar]) -> dict[str, object]:
    """The part of a payload that attributes make. As JSON text: Qdrant rounds a payload's numbers."""
    held = {key: value if isinstance(value, str | bool) else float(value) for key, value in attributes.items()}
    return {"attributes": msgspec.json.encode(held).decode(), MARKS: marks_of(attributes)}


def passage_of(point: object, payload: Mapping[str, object] | None, collection: str, score: float = 0.0) -> Passage:
    """The passage of a point. `point` is its id, a UUID or its text."""
    fields = {**(payload or {}), "id": str(point), "collection": collection, "score": score}
    if isinstance(said := fields.get("attributes"), str):
        fields["attributes"] = _ATTRIBUTES.decode(said)
    return msgspec.convert(fields, Passage)


def in_order(hits: Iterable[Passage]) -> list[Passage]:
    """Best first; scores that differ by float noise alone are ties, and ties go by id: every engine has one order."""
    return sorted(hits, key=lambda hit: (-round(hit.score, 5), hit.id))


def check_name(collection: str) -> None:
    """Raises ValueError for what is no name of a collection: it becomes the name of a folder."""
    if not _NAME.fullmatch(collection):
        raise ValueError(f"{collection!r} is no name for a collection: use letters, digits, dot, underscore and dash")


def check_entries(collection: str, spec: CollectionSpec, entries: Sequence[IndexedPassage]) -> None:
    """Refuse what an index must never hold.

    Raises:
        ValueError: a passage without readers, of another collection, with an id that is no UUID, with text that is no
            Unicode, with attributes that cannot be kept, or with vectors that are no numbers or name a term twice.
        EmbedderMismatch: a vector of another length than the collection's.
    """
    for entry in entries:
        passage, sparse = entry.passage, entry.sparse
        if not passage.readers or not all(passage.readers):
            raise ValueError(f"passage {passage.id} of document {passage.document_id!r} has no readers")
        if passage.collection != collection:
            raise ValueError(f"passage {passage.id} belongs to collection {passage.collection!r}, not {collection!r}")
        if not is_passage_id(passage.id):
            raise ValueError(f"passage id {passage.id!r} is no UUID: make it by passage_id()")
        if entry.dense.shape != (spec.dimensions,):
            raise _mismatch(collection, spec, entry.dense.shape)
        if not np.isfinite(entry.dense).all() or not all(map(math.isfinite, sparse.values)):
            raise ValueError(
                f"passage {passage.id} of document {passage.document_id!r} has a vector with NaN or infinity"
            )
        _check_terms(sparse)
        check_attributes(passage.attributes, f"passage {passage.id} of document {passage.document_id!r}")
        try:
            for text in (*passage.readers, *passage.headings, *(getattr(passage, name) for name in _TEXTS)):
                text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"passage {passage.id} of document {passage.document_id!r} is no Unicode: {error}"
            ) from None


def check_query(collection: str, spec: CollectionSpec, query: IndexQuery) -> None:
    """Raises EmbedderMismatch for a query of another length than the collection's, ValueError for one of no numbers,
    BadRequest as `check_filter` does.
    """
    check_filter(query.filter)
    if query.dense.shape != (spec.dimensions,):
        raise _mismatch(collection, spec, query.dense.shape)
    if not np.isfinite(query.dense).all() or not all(map(math.isfinite, query.sparse.values)):
        raise ValueError("the query's vector has NaN or infinity")
    _check_terms(query.sparse)


def check_spec(collection: str, held: CollectionSpec, wanted: CollectionSpec) -> None:
    """Raises EmbedderMismatch if a collection that holds `held` cannot take what `wanted` makes."""
    for what in ("embedder", "dimensions", "sparse"):
        old, new = getattr(held, what), getattr(wanted, what)
        if old != new:
            raise EmbedderMismatch(
                f"collection {collection!r} was filled with {what} {old!r}, and {new!r} is configured: configure the "
                f"old one again, or fill another collection, or fill this one anew with `rungwise ingest --rebuild`"
            )


def _check_terms(sparse: SparseVector) -> None:
    if len(sparse.indices) != len(sparse.values) or len(set(sparse.indices)) != len(sparse.indices):
        raise ValueError("a sparse vector needs one value a term, and each term once")
    if sparse.indices and not (min(sparse.indices) >= 0 and max(sparse.indices) < 1 << 32):
        raise ValueError("a sparse vector's term ids are unsigned numbers of 32 bits")


def _mismatch(collection: str, spec: CollectionSpec, shape: tuple[int, ...]) -> EmbedderMismatch:
    return EmbedderMismatch(
        f"collection {collection!r} holds vectors of {spec.dimensions} dimensions (embedder {spec.embedder!r}), this "
        f"one is of shape {shape}: use the embedder that it was filled with"
    )
