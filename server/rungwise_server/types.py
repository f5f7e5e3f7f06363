"""The vocabulary of the serving layer: frozen, vendor-free values that travel between the rooms.

Nothing here does anything. Values are `msgspec.Struct`s: a hot path makes thousands of them a second, and the same
class is both the value and its JSON. `Raw` fields hold a client's or an upstream's own JSON, passed on untouched.
"""

import os
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct

from rungwise_server.filters import Filter, Scalar

Vector = npt.NDArray[np.float32]
"""Dense embeddings, shape (n, dimensions) or (dimensions,), rows of unit length."""

EVERYONE = "everyone"
"""The principal that every caller has. A document carries it only because somebody wrote so."""


def new_id(prefix: str) -> str:
    """A fresh id such as `chatcmpl-0197…`: 48 bits of milliseconds, then 80 random bits, so that ids sort by time."""
    return Ids(prefix, pool=1)()


class Ids:
    """Makes ids like `new_id` does, asking the system for randomness once in `pool` ids: a hot path's own maker. A
    prefix that ends with an underscore, as Anthropic's do, gets no hyphen.
    """

    __slots__ = ("_left", "_pool", "_prefix")

    def __init__(self, prefix: str, pool: int = 256) -> None:
        self._prefix = prefix if prefix.endswith("_") else f"{prefix}-"
        self._pool = pool
        self._left: list[str] = []

    def __call__(self) -> str:
        """A fresh id."""
        if not self._left:
            drawn = os.urandom(10 * self._pool).hex()
            self._left = [drawn[at : at + 20] for at in range(0, len(drawn), 20)]
        return f"{self._prefix}{time.time_ns() // 1_000_000:012x}{self._left.pop()}"


def principal(name: str) -> str:
    """The principal that a reader's name means: `everyone`, `user:ana`, `group:finance`; a bare name is a group.

    Raises:
        ValueError: the name is empty, or has an unknown prefix, white space or a control character.
    """
    kind, colon, rest = name.partition(":")
    if name == EVERYONE:
        return EVERYONE
    value = rest if colon else kind
    if not value or not value.isprintable() or any(c.isspace() for c in value) or ":" in rest:
        raise ValueError(f"{name!r} is no reader: write everyone, GROUP, group:NAME or user:NAME, without spaces")
    if colon and kind not in ("user", "group"):
        raise ValueError(f"{name!r} is no reader: {kind!r} is neither 'user' nor 'group'")
    return name if colon else f"group:{name}"


class Caller(Struct, frozen=True):
    """Who asks. `user` is empty when nobody signed in: such a caller reads what `everyone` may read."""

    user: str = ""
    groups: frozenset[str] = frozenset()
    key_id: str = ""
    admin: bool = False

    @property
    def owner(self) -> str:
        """The principal that what this caller keeps here belongs to, and by default is read by."""
        return f"user:{self.user}" if self.user else EVERYONE

    @property
    def principals(self) -> frozenset[str]:
        """What this caller's permissions are decided by: `everyone`, `user:NAME` and one `group:NAME` a group."""
        own = {f"user:{self.user}"} if self.user else set()
        return frozenset({EVERYONE, *own, *(f"group:{group}" for group in self.groups)})


class Message(Struct, frozen=True):
    """One message of a conversation: what the house reads of it, and the client's own JSON, which goes upstream."""

    role: str
    text: str
    raw: Raw


class Passage(Struct, frozen=True, omit_defaults=True):
    """A chunk of a document: what is retrieved, cited, and shown as the source of a citation.

    `start` and `end` are character offsets into the parsed document's text; `page` counts from 1, 0 where there are
    none; `readers` are principals; `score` has a meaning only in the list that it came in, `similarity` (the cosine
    with the query; 0 where that is negative, and where it was found by words alone) in every list of one embedder.
    `attributes` are what its owner says of the document, for filters.
    """

    id: str
    document_id: str
    collection: str
    text: str
    readers: frozenset[str]
    title: str = ""
    headings: tuple[str, ...] = ()
    page: int = 0
    start: int = 0
    end: int = 0
    url: str = ""
    source: str = ""
    language: str = ""
    version: str = ""
    attributes: Mapping[str, Scalar] = {}
    score: float = 0.0
    similarity: float = 0.0

    @property
    def place(self) -> str:
        """Where it stands, for people and models: `Handbook › Leave › Sick leave, page 3`."""
        path = [self.title or self.document_id, *(h for h in self.headings if h != self.title)]
        return " › ".join(path) + (f", page {self.page}" if self.page else "")


class SparseVector(Struct, frozen=True):
    """Term weights: `indices` are term ids (unsigned 32 bit, unique), `values` their weights before the IDF."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


class IndexedPassage(Struct, frozen=True):
    """A passage with what it is found by. `dense` has shape (dimensions,)."""

    passage: Passage
    dense: Vector
    sparse: SparseVector


class CollectionSpec(Struct, frozen=True):
    """What a collection was filled with: vectors of another embedder or other term ids can never join it."""

    embedder: str
    dimensions: int
    sparse: str
    id: str = ""
    """Drawn once when the collection is made: state kept elsewhere about another incarnation is void."""


class IndexQuery(Struct, frozen=True):
    """One search of an index: nearest by `dense` and by `sparse`, each `limit` long, readable by `principals`, with
    attributes that `filter` holds for.
    """

    dense: Vector
    sparse: SparseVector
    principals: frozenset[str]
    limit: int
    filter: Filter | None = None


class Search(Struct, frozen=True):
    """What a client wants searched, in place of what its workload would: passages of `collections` that `filter` holds
    for, `limit` of them, none with a score below `threshold`.
    """

    collections: tuple[str, ...]
    limit: int
    filter: Filter | None = None
    threshold: float = 0.0


class Hits(Struct, frozen=True):
    """What an index found, best first, each passage with the score of its list; not yet fused."""

    dense: list[Passage]
    sparse: list[Passage]


class Question(Struct, frozen=True):
    """A request as a router sees it. `query` is what was searched for: the conversation's question, standing alone."""

    workload: str
    caller: Caller
    messages: tuple[Message, ...]
    query: str
    asks: frozenset[str] = frozenset()
    """Features a candidate must have: any of `tools`, `json`, `logprobs`, `images`."""
    housekeeping: bool = False


class Route(Struct, frozen=True):
    """A router's choice of one candidate, why, and how sure it was."""

    candidate: str
    reason: str
    policy: str
    propensities: Mapping[str, float] = {}
    """The probability with which each candidate could have been chosen; they sum to one."""
    estimates: Mapping[str, float] = {}
    """P(good enough) of each candidate, where the policy estimates it."""
    then: tuple[str, ...] = ()
    """Whom to turn to, in order, where an answer does not hold up when it is verified (a cascade)."""


class ChatRequest(Struct, frozen=True):
    """One call of a chat model. `params` are the client's other fields, unknown ones included, as they came."""

    id: str
    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Raw] = {}
    stream: bool = False
    query: str = ""
    passages: tuple[Passage, ...] = ()
    search: Search | None = None


class Usage(Struct, frozen=True):
    """Tokens of one answer, as the model counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class Price(Struct, frozen=True):
    """Money for a million tokens, in the currency that the whole configuration uses (US dollars by default)."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """What `usage` costs."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


class Citation(Struct, frozen=True):
    """A passage that the answer's characters `start` to `end` rest on (or, for a marker such as [2], stand for)."""

    passage_id: str
    title: str
    start: int
    end: int


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A function call, or in a stream a piece of one: later pieces carry the same `index` and more `arguments`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Delta(Struct, frozen=True):
    """What one read from a model brought.

    `wire` is the model's own OpenAI wire, our id in place of its own, to be passed on as it is: complete SSE events
    when streaming (never `[DONE]`), the whole response body otherwise. A model that speaks another wire leaves it empty
    and the API writes its own from the other fields. Events that arrived together may share a Delta; the one with a
    `finish_reason` stands alone.
    """

    text: str = ""
    index: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Citation, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    wire: bytes = b""
    model: str = ""
    """The model as the upstream names it; on the first Delta at least."""
    candidate: str = ""
    """Set where another candidate than the routed one answers (fallback)."""
