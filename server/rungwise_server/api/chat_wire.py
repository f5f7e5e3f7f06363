"""OpenAI's chat wire: a request read and checked, chunks and whole answers written.

The hot path's shapes are msgspec structs. Fields that we do not know pass through to the model as the client wrote
them; fields that we know are checked, so that a mistake is told here, by name, and not by whichever model comes first.
"""

import re
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rungwise_server.errors import BadRequest
from rungwise_server.types import ChatRequest, Choice, Citation, Message, ToolCall, Usage

Positive = Annotated[int, Meta(ge=1)]


class _Part(Struct):
    type: str
    text: str | None = None


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    def plain(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class _Typed(Struct):
    type: str


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Chat(Struct):
    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Typed] | None = None
    response_format: _Typed | None = None
    user: str | None = None


_CHAT = msgspec.json.Decoder(_Chat)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_RAWS = msgspec.json.Decoder(list[Raw])
_OURS = ("model", "messages", "stream")


def read_chat(body: bytes, request_id: str) -> tuple[ChatRequest, bool]:
    """The request in `body`, and whether a stream shall end with a usage chunk.

    Raises:
        BadRequest: no JSON, a field is missing or of the wrong kind; `param` names it.
    """
    try:
        chat = _CHAT.decode(body)
        fields = _FIELDS.decode(body)
        raws = _RAWS.decode(fields["messages"])
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None
    messages = tuple(Message(m.role, m.plain(), raw) for m, raw in zip(chat.messages, raws, strict=True))
    for ours in _OURS:
        fields.pop(ours, None)
    request = ChatRequest(request_id, chat.model, messages, fields, stream=bool(chat.stream))
    return request, bool(chat.stream_options and chat.stream_options.include_usage)


def _invalid(message: str) -> BadRequest:
    """msgspec says `Expected `int`, got `str` - at `$.n``, or names the missing field."""
    where = re.search(r" - at `\$\.?(.*?)`$", message)
    missing = re.search(r"missing required field `(\w+)`", message)
    param = where[1] if where else ""
    if missing:
        param = f"{param}.{missing[1]}" if param else missing[1]
        return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    what = message.split(" - at ", maxsplit=1)[0]
    return BadRequest(f"Invalid value for '{param or 'body'}': {what}.", param=param or None)


class _UrlCitation(Struct):
    url: str
    title: str
    start_index: int
    end_index: int


class _Annotation(Struct):
    url_citation: _UrlCitation
    type: str = "url_citation"


class _Function(Struct, omit_defaults=True):
    name: str | UnsetType = UNSET
    arguments: str = ""


class _Call(Struct):
    function: _Function
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str = "function"


class _Delta(Struct):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    tool_calls: list[_Call] | UnsetType = UNSET
    annotations: list[_Annotation] | UnsetType = UNSET


class _ChunkChoice(Struct):
    delta: _Delta
    index: int = 0
    logprobs: None = None
    finish_reason: str | None = None


class _Details(Struct):
    cached_tokens: int = 0


class _Usage(Struct):
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
    usage: _Usage | UnsetType = UNSET


class _Whole(Struct):
    role: str
    content: str | None
    refusal: None = None
    annotations: list[_Annotation] = []
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
    usage: _Usage | None
    object: str = "chat.completion"


def _usage(usage: Usage) -> _Usage:
    total = usage.input_tokens + usage.output_tokens
    return _Usage(usage.input_tokens, usage.output_tokens, total, _Details(usage.cached_tokens))


def _calls(calls: Sequence[ToolCall], *, indexed: bool) -> list[_Call] | UnsetType:
    return [
        _Call(
            _Function(call.name or UNSET, call.arguments),
            index=call.index if indexed else UNSET,
            id=call.id or UNSET,
        )
        for call in calls
    ] or UNSET


class Writer:
    """Writes one answer for one client. `sources` is the URL before a passage's id."""

    def __init__(self, answer_id: str, model: str, sources: str) -> None:
        self._id = answer_id
        self._model = model
        self._sources = sources
        self._created = int(time.time())
        self._opened = False

    def annotations(self, citations: Sequence[Citation]) -> list[_Annotation]:
        """Chat knows only `url_citation`; the URL is where the passage can be read."""
        return [_Annotation(_UrlCitation(self._sources + c.passage_id, c.title, c.start, c.end)) for c in citations]

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
            role=UNSET if self._opened else "assistant",
            content=text or UNSET,
            tool_calls=_calls(tool_calls, indexed=True),
            annotations=self.annotations(citations) or UNSET,
        )
        self._opened = True
        return self._event([_ChunkChoice(delta, index, finish_reason=finish_reason or None)])

    def opened(self) -> None:
        """The model's own wire has opened the message."""
        self._opened = True

    def usage(self, usage: Usage) -> bytes:
        """The last chunk of a stream whose client asked for it: no choices, the usage."""
        return self._event([], _usage(usage))

    def _event(self, choices: list[_ChunkChoice], usage: _Usage | UnsetType = UNSET) -> bytes:
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
                    annotations=self.annotations(citations) if index == 0 else [],
                    tool_calls=_calls(choice.tool_calls, indexed=False),
                ),
                choice.finish_reason or "stop",
            )
            for index, choice in enumerate(choices)
        ]
        completion = _Completion(self._id, self._created, self._model, shown, _usage(usage) if usage else None)
        return msgspec.json.encode(completion)

    def annotate(self, wire: bytes, citations: Sequence[Citation]) -> bytes:
        """A model's own `chat.completion`, with annotations in its first message."""
        body: dict[str, Any] = msgspec.json.decode(wire)
        choices = body.get("choices") or [{}]
        message = choices[0].setdefault("message", {})
        message["annotations"] = [*(message.get("annotations") or []), *self.annotations(citations)]
        return msgspec.json.encode(body)
