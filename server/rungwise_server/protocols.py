"""What the rooms promise each other. Each protocol has a fake and a contract suite in `rungwise_server.testing`.

Methods raise `rungwise_server.errors` only: no vendor's exception crosses a door.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Raw

from rungwise_server.evals import Answered, Checked, Judgement, Preference
from rungwise_server.filters import Scalar
from rungwise_server.records import LogQuery, LogRecord, Total
from rungwise_server.types import (
    Caller,
    ChatRequest,
    CollectionSpec,
    Delta,
    Hits,
    IndexedPassage,
    IndexQuery,
    Passage,
    Question,
    Route,
    Vector,
)


class Retriever(Protocol):
    """Finds passages that a question can be answered from."""

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """Best first. Never returns a passage that `caller` may not read."""


class Router(Protocol):
    """Chooses who answers."""

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """Choose one candidate. Pure: no generation, no logging, no fallback. The Route carries its reason, the
        probability with which each candidate could have been chosen, and the estimated P(good enough) of each.
        """


class ChatModel(Protocol):
    """Answers a conversation."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Raises UpstreamError before the first delta, StreamBroken after it. Closing the iterator (`aclose`, or
        cancelling the task that awaits it) aborts the call upstream within a second.
        """


class InferenceLog(Protocol):
    """Keeps every answer and all that is said of it, for ever and unchanged."""

    async def append(self, record: LogRecord) -> None:
        """Take a record; it is on disk within 50 ms, in the log or in the spool. An id that is there already is left
        as it is. Never raises because a database is down.
        """

    def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """Records by position, oldest first, each with its `position`. Raises Unavailable."""

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """The sums of the answers that `query` finds, its limit aside, by day, workload and candidate, then `own` and
        `housekeeping`, in that order. Raises Unavailable.
        """


class Judge(Protocol):
    """Grades answers under a rubric: a program, or a model with a prompt."""

    @property
    def name(self) -> str:
        """As configured, or built in."""

    @property
    def rubric(self) -> str:
        """What is asked of an answer: `correct`, `grounded`, ..."""

    @property
    def hash(self) -> str:
        """Over all that it is made of: prompt, model, settings. A certificate holds for one hash."""

    async def grade(self, answered: Answered, caller: Caller) -> Judgement:
        """What it says of an answer, on behalf of `caller`. Raises UpstreamError where its model cannot be asked; what
        the model says that is no verdict becomes a Judgement without a value.
        """


class PairJudge(Protocol):
    """Says which of two answers to one question is better under a rubric."""

    @property
    def name(self) -> str:
        """As configured, or built in. No Judge has the same."""

    @property
    def rubric(self) -> str:
        """What is asked of answers, as of Judge."""

    @property
    def hash(self) -> str:
        """Over all that it is made of, as of Judge."""

    async def prefer(self, first: Answered, second: Answered, caller: Caller) -> Preference:
        """Which is better, on behalf of `caller`: always asked in both orders, for judges favour a place. Raises
        UpstreamError where its model cannot be asked; what is no verdict becomes a value of None.
        """


class Verifier(Protocol):
    """Tells whether a draft may go out as the answer, in a cascade."""

    @property
    def params(self) -> Mapping[str, Raw]:
        """Request fields that it needs the draft to be made with, such as `logprobs`."""

    async def ready(self, workload: str) -> str:
        """Empty where it may be leant on for `workload` today; else why not: then nothing is drafted."""

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Callable[[], Awaitable[str]]) -> Checked:
        """What it says of a draft for `caller`. `wire` is the draft in OpenAI's form, where its model speaks that;
        `again` has the same model answer anew, logged and paid like the draft. Raises UpstreamError.
        """


class KeyRing(Protocol):
    """Knows callers by their keys."""

    async def any(self) -> bool:
        """Whether any key was made; until then everyone is an anonymous caller on loopback."""

    async def find(self, secret: str) -> Caller | None:
        """Whose key it is; None for one that is unknown or revoked."""


class Embedder(Protocol):
    """Turns text into unit vectors. `name` stands for weights and preparation together: two embedders with one name
    give the same vectors. `languages` are ISO 639-1 codes that it was trained for; empty means any.
    """

    @property
    def name(self) -> str:
        """Identity of weights and preparation."""

    @property
    def dimensions(self) -> int:
        """Length of each vector."""

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes it was trained for; empty means any."""

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        """Shape (len(texts), dimensions), float32, rows of unit length, in order. Raises UpstreamError."""

    async def close(self) -> None:
        """Let go of connections and threads."""


class Reranker(Protocol):
    """Tells how well texts answer a query."""

    @property
    def name(self) -> str:
        """What clients may ask for it as."""

    async def score(self, query: str, texts: Sequence[str], chunks: int = 0) -> list[float]:
        """One number a text, in order, higher for a better one; from 0 to 1 where the model gives such. Of a long text
        at most `chunks` pieces are looked at (0: as the reranker sees fit). Raises UpstreamError.
        """


class PassageIndex(Protocol):
    """Holds the passages of collections and finds them, by meaning and by words. Filters inside."""

    async def create(self, collection: str, spec: CollectionSpec) -> CollectionSpec:
        """Make the collection if it is not there; return what it holds. Raises EmbedderMismatch if it holds another."""

    async def describe(self, collection: str) -> CollectionSpec | None:
        """What the collection was filled with; None where there is none."""

    async def count(self, collection: str) -> int:
        """How many passages it holds."""

    async def upsert(self, collection: str, entries: Sequence[IndexedPassage]) -> None:
        """Write all or none; durable against kill -9 on return. Raises ValueError for a passage without readers."""

    async def remove(self, collection: str, source: str, document_id: str, *, keep_version: str = "") -> None:
        """Remove a document's passages, those of `keep_version` excepted."""

    async def set_readers(self, collection: str, source: str, document_id: str, readers: frozenset[str]) -> None:
        """Change who may read a document, without touching its vectors; holds for the next search."""

    async def set_attributes(
        self, collection: str, source: str, document_id: str, attributes: Mapping[str, Scalar]
    ) -> None:
        """Replace what is said of a document, without touching its vectors; holds for the next search. Raises
        ValueError for text that is no Unicode and for numbers that no double holds.
        """

    async def documents(self, collection: str, source: str, principals: frozenset[str] | None = None) -> set[str]:
        """The ids of the documents of a source that have passages; given `principals`, that one of them may read."""

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        """Empty for a collection that is not there. No passage whose readers miss `query.principals`, or for whose
        attributes `query.filter` does not hold. Raises BadRequest for a filter that is too deep or too large.
        """

    async def get(self, passage_id: str, principals: frozenset[str]) -> Passage | None:
        """The passage, from whichever collection, if one of `principals` may read it."""

    async def neighbours(self, passage: Passage, principals: frozenset[str]) -> list[Passage]:
        """All readable passages of the passage's document and version, by `start`."""

    async def drop(self, collection: str) -> None:
        """Delete a collection whole; nothing happens where there is none."""

    async def close(self) -> None:
        """Let go of files and connections."""
