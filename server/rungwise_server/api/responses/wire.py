"""What `/v1/responses` sends: the response object and its items. Fields that clients rely on are never null.

Which those are, and which may be null but must be there, follows the OpenResponses schema (2026-04-24) and
openai-python's types; where they differ, what satisfies both.
"""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from rungwise_server.errors import RungwiseError, UpstreamLimited, UpstreamRefused
from rungwise_server.types import Citation, Passage, Usage

PREFIX = "resp_"
_HEX = 32  # digits of an id: see `types.Ids`

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


def item_id(kind: str, response_id: str, place: int | str) -> str:
    """The id of an item: it tells the response that it is of, which `response_of` reads."""
    return f"{kind}_{response_id.removeprefix(PREFIX)}_{place}"


def response_of(item: str) -> str:
    """The id of the response that an item's id, as we make them, belongs to."""
    return PREFIX + item.partition("_")[2][:_HEX]


class UrlCitation(Struct, tag_field="type", tag="url_citation"):
    """A passage of the workload's own collections; the URL is where it can be read."""

    url: str
    title: str
    start_index: int
    end_index: int


class FileCitation(Struct, tag_field="type", tag="file_citation"):
    """A passage that the file_search tool found; `index` is where in the text it is cited."""

    file_id: str
    filename: str
    index: int


Annotation = UrlCitation | FileCitation


class TopLogprob(Struct):
    """A token that might have stood there."""

    token: str
    logprob: float
    bytes: list[int] | None = None

    def __post_init__(self) -> None:
        if self.bytes is None:
            self.bytes = list(self.token.encode())


class Logprob(TopLogprob):
    """A token that was said."""

    top_logprobs: list[TopLogprob] = []


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text of a message."""

    text: str
    annotations: list[Annotation] = []
    logprobs: list[Logprob] = []


class Refusal(Struct, tag_field="type", tag="refusal"):
    """What a model says in place of an answer."""

    refusal: str


class OutputMessage(Struct, tag_field="type", tag="message"):
    """What the model said."""

    id: str
    status: ItemStatus
    content: list[OutputText | Refusal]
    role: str = "assistant"


class FunctionCall(Struct, tag_field="type", tag="function_call"):
    """A call of a function that the client has."""

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class FileSearchResult(Struct):
    """A passage that was found."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, str | float | bool]


class FileSearchCall(Struct, tag_field="type", tag="file_search_call"):
    """A search that this server made; `results` only for a client that asked for them."""

    id: str
    status: Literal["in_progress", "searching", "completed"]
    queries: list[str]
    results: list[FileSearchResult] | None = None


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    """What the model thought."""

    text: str


class Reasoning(Struct, tag_field="type", tag="reasoning"):
    """What the model thought before it said something, where it tells."""

    id: str
    status: ItemStatus
    content: list[ReasoningText]
    summary: list[Raw] = []


Item = OutputMessage | FunctionCall | FileSearchCall | Reasoning


class _Cached(Struct):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class _Thought(Struct):
    reasoning_tokens: int = 0


class ResponseUsage(Struct):
    """Tokens, as the model counted them."""

    input_tokens: int
    input_tokens_details: _Cached
    output_tokens: int
    output_tokens_details: _Thought
    total_tokens: int


def usage_of(usage: Usage | None, reasoning_tokens: int = 0) -> ResponseUsage:
    """Zeros where the model did not count: clients take a completed response without usage for a broken one."""
    u = usage or Usage()
    return ResponseUsage(
        u.input_tokens,
        _Cached(u.cached_tokens),
        u.output_tokens,
        _Thought(reasoning_tokens),
        u.input_tokens + u.output_tokens,
    )


class ReasoningAsked(Struct, frozen=True):
    """How much the model was asked to think."""

    effort: str | None = None
    summary: None = None


class ResponseError(Struct):
    """Why a response failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


def response_error(error: RungwiseError) -> ResponseError:
    """The error in the codes that responses know."""
    match error:
        case UpstreamLimited():
            return ResponseError("rate_limit_exceeded", error.message)
        case UpstreamRefused():
            return ResponseError("invalid_prompt", error.message)
        case _:
            return ResponseError("server_error", error.message)


class IncompleteDetails(Struct):
    """Why a response ends early."""

    reason: Literal["max_output_tokens", "content_filter"]


class Response(Struct):
    """The response object: what was asked with its defaults filled in, and what has come of it so far."""

    id: str
    created_at: int
    model: str
    status: Status = "in_progress"
    background: bool = False
    completed_at: int | None = None
    error: ResponseError | None = None
    frequency_penalty: float = 0.0
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = {}
    object: str = "response"
    output: list[Item] = []
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: ReasoningAsked = ReasoningAsked()
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1.0
    text: Raw = Raw(b'{"format":{"type":"text"}}')
    tool_choice: Raw = Raw(b'"auto"')
    tools: list[Raw] = []
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    user: str | None = None


def encode(value: object) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


class Annotator:
    """Turns citations into annotations. With `by_file` into `file_citation`, else into `url_citation`s below the URL
    `sources`.
    """

    def __init__(self, passages: tuple[Passage, ...], sources: str, *, by_file: bool) -> None:
        self._passages = {passage.id: passage for passage in passages}
        self._sources = sources
        self._by_file = by_file

    def annotation(self, citation: Citation, base: int) -> Annotation:
        """The annotation of a text that begins after `base` characters of the answer."""
        start, end = max(0, citation.start - base), max(0, citation.end - base)
        passage = self._passages.get(citation.passage_id)
        if self._by_file and passage is not None:
            return FileCitation(passage.document_id, filename(passage), start)
        return UrlCitation(self._sources + citation.passage_id, citation.title, start, end)


def filename(passage: Passage) -> str:
    """The name of the file that a passage is from."""
    return passage.title or passage.document_id


def found(passage: Passage) -> FileSearchResult:
    """A passage as a result of the search."""
    return FileSearchResult(
        passage.document_id, filename(passage), passage.score, passage.text, dict(passage.attributes)
    )
