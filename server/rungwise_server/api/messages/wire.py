"""Anthropic's Messages wire, written: messages, the events of a stream, errors.

A citation is a `search_result_location`: the passage that was retrieved, whole, with the URL where it can be read as
its `source`. It has no place in the answer's text, so each passage is cited once a text.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from rungwise_server.errors import RungwiseError
from rungwise_server.records import Choice
from rungwise_server.types import Citation, Passage, ToolCall, Usage, new_id

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]

_REASONS: dict[str, StopReason] = {
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
}
_ERRORS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class MessageUsage(Struct):
    """Tokens in Anthropic's words: those read from a cache are not among `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class SearchResultLocation(Struct):
    """A citation."""

    cited_text: str
    source: str
    title: str
    search_result_index: int
    start_block_index: int = 0
    end_block_index: int = 1
    type: str = "search_result_location"


class TextBlock(Struct):
    """A text of the answer."""

    text: str = ""
    citations: Sequence[SearchResultLocation] | None = None
    type: str = "text"


class ToolUse(Struct):
    """A call of a tool; `input` is a JSON object."""

    id: str
    name: str
    input: Raw
    type: str = "tool_use"


class WrittenMessage(Struct):
    """An answer."""

    id: str
    model: str
    content: Sequence[TextBlock | ToolUse]
    usage: MessageUsage
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    type: str = "message"
    role: str = "assistant"


class _Error(Struct):
    type: str
    message: str


class _ErrorBody(Struct):
    error: _Error
    request_id: str
    type: str = "error"


class Citing:
    """Writes the citations of one text. `sources` is the URL before a passage's id."""

    def __init__(self, passages: Sequence[Passage], sources: str) -> None:
        self._passages = {passage.id: (number, passage) for number, passage in enumerate(passages)}
        self._sources = sources
        self._cited: set[str] = set()

    def new(self, citations: Sequence[Citation]) -> list[SearchResultLocation]:
        """Those of passages that were not cited yet."""
        made = []
        for citation in citations:
            found = self._passages.get(citation.passage_id)
            if found is None or citation.passage_id in self._cited:
                continue
            self._cited.add(citation.passage_id)
            number, passage = found
            made.append(SearchResultLocation(passage.text, self._sources + citation.passage_id, citation.title, number))
        return made


def message_usage(usage: Usage | None) -> MessageUsage:
    """`usage` in Anthropic's words; zeros where the model told none."""
    if usage is None:
        return MessageUsage()
    fresh = max(0, usage.input_tokens - usage.cached_tokens)
    return MessageUsage(fresh, usage.output_tokens, cache_read_input_tokens=usage.cached_tokens)


def content_of(choice: Choice, citations: Sequence[SearchResultLocation]) -> list[TextBlock | ToolUse]:
    """The blocks of a whole answer."""
    text = [TextBlock(choice.text, citations or None)] if choice.text else []
    return [*text, *(ToolUse(tool_id(call), call.name, _input(call)) for call in choice.tool_calls)]


def tool_id(call: ToolCall) -> str:
    """The call's id, or one made for it: a result must be able to name it."""
    return call.id or new_id("toolu_")


def _input(call: ToolCall) -> Raw:
    """The arguments as an object. What a model wrote that is none - cut off, mostly - is kept under a name that no
    tool's schema takes, for the client's check to find.
    """
    arguments = call.arguments.strip() or "{}"
    try:
        msgspec.json.decode(arguments, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError):
        return Raw(msgspec.json.encode({"_unparsed": call.arguments}))
    return Raw(arguments.encode())


class _Stopped(Struct):
    stop_reason: str | int | None = None


class _Wire(Struct):
    choices: list[_Stopped] = []


def stop_sequence(wire: bytes, sequences: Sequence[str]) -> str | None:
    """Which of `sequences` ended the answer, where the model's own wire says it (as vLLM's does)."""
    if not sequences or b'"stop_reason"' not in wire:
        return None
    body = wire.removeprefix(b"data:").partition(b"\n\n")[0]
    try:
        said = [choice.stop_reason for choice in msgspec.json.decode(body, type=_Wire).choices]
    except msgspec.MsgspecError:
        return None
    return next((each for each in said if isinstance(each, str) and each in sequences), None)


def stop_reason(finish: str, *, called: bool, sequence: str | None) -> StopReason:
    """Why it ended. Some models say `stop` after a call that they had to make."""
    if finish in _REASONS:
        return _REASONS[finish]
    if called:
        return "tool_use"
    return "stop_sequence" if sequence is not None else "end_turn"


def message_error(error: Exception, request_id: str) -> bytes:
    """An error in Anthropic's shape. Errors that are not ours keep their words inside."""
    if not isinstance(error, RungwiseError):
        shown = _Error("api_error", "Something in the server failed; its log says what.")
    else:
        kind = _ERRORS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
        shown = _Error(kind, error.message)
    return msgspec.json.encode(_ErrorBody(shown, request_id))
