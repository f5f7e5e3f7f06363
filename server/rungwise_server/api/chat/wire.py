"""OpenAI's chat wire, written: chunks and whole answers. The hot path's shapes are msgspec structs."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rungwise_server.records import Choice
from rungwise_server.types import Citation, ToolCall, Usage, new_id

_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class _UrlCitation(Struct):
    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(Struct):
    """A citation in OpenAI's words."""

    url_citation: _UrlCitation
    type: str = "url_citation"


class _Function(Struct):
    name: str | UnsetType
    arguments: str


class _Call(Struct):
    function: _Function
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str = "function"


class _Delta(Struct):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    tool_calls: list[_Call] | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET


class _ChunkChoice(Struct):
    delta: _Delta
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class _Details(Struct):
    cached_tokens: int = 0


class ChatUsage(Struct):
    """Usage in OpenAI's words."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Details


class _Chunk(Struct):
    id: str
    created: int
    model: str
    choices: list[_ChunkChoice]
    object: str = "chat.completion.chunk"
    usage: ChatUsage | UnsetType | None = UNSET


class _Whole(Struct):
    role: str
    content: str | None
    refusal: None = None
    annotations: list[Annotation] = []
    tool_calls: list[_Call] | UnsetType = UNSET


class _WholeChoice(Struct):
    index: int
    message: _Whole
    finish_reason: str
    logprobs: None = None


class _Completion(Struct):
    id: str
    created: int
    model: str
    choices: list[_WholeChoice]
    usage: ChatUsage | None
    object: str = "chat.completion"


def annotations(citations: Sequence[Citation], sources: str, shift: int = 0) -> list[Annotation]:
    """Chat knows only `url_citation`; the URL is where the passage can be read. `shift` characters stand before the
    answer's text.
    """
    return [
        Annotation(_UrlCitation(sources + c.passage_id, c.title, c.start + shift, c.end + shift)) for c in citations
    ]


def chat_usage(usage: Usage) -> ChatUsage:
    """`usage` in OpenAI's words."""
    total = usage.input_tokens + usage.output_tokens
    return ChatUsage(usage.input_tokens, usage.output_tokens, total, _Details(usage.cached_tokens))


def finish_of(reason: str) -> str:
    """A finish_reason that OpenAI's clients know."""
    return reason if reason in _FINISHES else "stop"


def _pieces(calls: Sequence[ToolCall]) -> list[_Call] | UnsetType:
    return [
        _Call(_Function(call.name or UNSET, call.arguments), index=call.index, id=call.id or UNSET) for call in calls
    ] or UNSET


def _calls(calls: Sequence[ToolCall]) -> list[_Call] | UnsetType:
    return [_Call(_Function(call.name, call.arguments), id=call.id or new_id("call_")) for call in calls] or UNSET


class Writer:
    """Writes one answer for one client. `sources` is the URL before a passage's id; `include_usage`: the stream will
    end with the usage, so all other chunks say that it is not there yet.
    """

    def __init__(self, answer_id: str, model: str, sources: str, *, include_usage: bool = False) -> None:
        self._id = answer_id
        self._model = model
        self._sources = sources
        self._created = int(time.time())
        self._opened: set[int] = set()
        self._ended: set[int] = set()
        self._no_usage: UnsetType | None = None if include_usage else UNSET

    def chunk(
        self,
        text: str = "",
        index: int = 0,
        tool_calls: Sequence[ToolCall] = (),
        citations: Sequence[Citation] = (),
        finish_reason: str = "",
    ) -> bytes:
        """One SSE event."""
        delta = _Delta(
            role=UNSET if index in self._opened else "assistant",
            content=text or UNSET,
            tool_calls=_pieces(tool_calls),
            annotations=annotations(citations, self._sources) or UNSET,
        )
        self._opened.add(index)
        if finish_reason:
            self._ended.add(index)
        finish = finish_of(finish_reason) if finish_reason else None
        return self._event([_ChunkChoice(delta, index, finish_reason=finish)], self._no_usage)

    def opened(self, index: int) -> None:
        """The model's own wire has opened the message of a choice."""
        self._opened.add(index)

    def ends(self) -> bytes:
        """The ends of choices that the model left without one, as litellm does with all but the first."""
        return b"".join([self.chunk(index=index, finish_reason="stop") for index in sorted(self._opened - self._ended)])

    def usage(self, usage: Usage) -> bytes:
        """The last chunk of a stream whose client asked for it: no choices, the usage."""
        return self._event([], chat_usage(usage))

    def _event(self, choices: list[_ChunkChoice], usage: ChatUsage | UnsetType | None) -> bytes:
        chunk = _Chunk(self._id, self._created, self._model, choices, usage=usage)
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    def whole(self, choices: Sequence[Choice], citations: Sequence[Citation], usage: Usage | None) -> bytes:
        """A `chat.completion`."""
        shown = [
            _WholeChoice(
                index,
                _Whole(
                    "assistant",
                    choice.text or (None if choice.tool_calls else ""),
                    annotations=annotations(citations, self._sources) if index == 0 else [],
                    tool_calls=_calls(choice.tool_calls),
                ),
                finish_of(choice.finish_reason),
            )
            for index, choice in enumerate(choices)
        ]
        completion = _Completion(self._id, self._created, self._model, shown, chat_usage(usage) if usage else None)
        return msgspec.json.encode(completion)

    def annotate(self, wire: bytes, citations: Sequence[Citation]) -> bytes:
        """A model's own `chat.completion`, with annotations in the message of its first choice."""
        body: dict[str, Any] = msgspec.json.decode(wire)
        for choice in body.get("choices") or ():
            message = choice.get("message")
            if not choice.get("index") and message is not None:
                message["annotations"] = [*(message.get("annotations") or []), *annotations(citations, self._sources)]
                break
        return msgspec.json.encode(body)
