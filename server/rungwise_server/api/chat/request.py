"""OpenAI's chat requests, read and checked.

Fields that we do not know pass through to the model as the client wrote them; fields that we know are checked, so that
a mistake is told here, by name, and not by whichever model comes first.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rungwise_server.api.body import given, missing, parse
from rungwise_server.errors import BadRequest
from rungwise_server.types import ChatRequest, Message

Positive = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Several = Annotated[int, Meta(ge=1, le=128)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Biases = dict[str, Annotated[float, Meta(ge=-100, le=100)]]
Name = Annotated[str, Meta(min_length=1)]


class _Url(Struct):
    url: str


class _Part(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | None = None
    input_audio: dict[str, Raw] | None = None
    file: dict[str, Raw] | None = None


_PARTS = frozenset(_Part.__struct_fields__) - {"type"}


class _Called(Struct):
    name: str
    arguments: str


class _Call(Struct):
    id: str
    type: str = "function"
    function: _Called | None = None


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    function_call: Raw = Raw()
    audio: Raw = Raw()
    reasoning: Raw = Raw()
    reasoning_content: Raw = Raw()

    def plain(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class _Named(Struct):
    name: Name


class _Function(Struct):
    name: Name
    description: str | None = None
    parameters: dict[str, Raw] | None = None
    strict: bool | None = None


class _Tool(Struct):
    type: str
    function: _Function | None = None
    custom: _Named | None = None


class _Choice(Struct):
    type: str
    function: _Named | None = None
    custom: _Named | None = None
    allowed_tools: dict[str, Raw] | None = None


class _Schema(Struct):
    name: Name
    schema: dict[str, Raw] | None = None
    strict: bool | None = None
    description: str | None = None


class _Format(Struct):
    type: str
    json_schema: _Schema | None = None


class StreamOptions(Struct):
    """Of `stream_options`, what we do something about."""

    include_usage: bool | None = None


class _Chat(Struct):
    model: Name
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Several | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[_Function] | None = None
    function_call: Literal["none", "auto"] | _Named | None = None
    response_format: _Format | None = None
    modalities: list[str] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    user: str | None = None


_CHAT = msgspec.json.Decoder(_Chat)
_RAWS = msgspec.json.Decoder(list[Raw])
_OURS = ("model", "messages", "stream")


def read_chat(body: bytes, request_id: str) -> tuple[ChatRequest, bool]:
    """The request in `body`, and whether a stream shall end with a usage chunk.

    Raises:
        BadRequest: no JSON, or a field is missing, of the wrong kind, or at odds with another; `param` names it.
    """
    chat, fields = parse(_CHAT, body)
    for number, message in enumerate(chat.messages):
        _check_message(message, f"messages[{number}]")
    _check(chat)
    raws = _RAWS.decode(fields["messages"])
    messages = tuple(Message(m.role, m.plain(), raw) for m, raw in zip(chat.messages, raws, strict=True))
    for ours in _OURS:
        fields.pop(ours, None)
    request = ChatRequest(request_id, chat.model, messages, fields, stream=bool(chat.stream))
    return request, bool(chat.stream_options and chat.stream_options.include_usage)


def check_stream_options(options: StreamOptions | None, *, stream: bool | None) -> None:
    """Raises BadRequest for options of a stream that is none."""
    if options is not None and not stream:
        raise BadRequest("'stream_options' is only allowed where 'stream' is true.", param="stream_options")


def _check_message(message: _Message, at: str) -> None:
    content = message.content
    if isinstance(content, list):
        for number, part in enumerate(content):
            if part.type in _PARTS and getattr(part, part.type) is None:
                raise missing(f"{at}.content[{number}].{part.type}")
    if message.role == "tool" and message.tool_call_id is None:
        raise missing(f"{at}.tool_call_id", "It is the id of the call that this is the result of.")
    if content is None and message.role != "function":
        said = message.role == "assistant" and (
            message.tool_calls
            or message.refusal is not None
            or any(
                given(each)
                for each in (message.function_call, message.audio, message.reasoning, message.reasoning_content)
            )
        )
        if not said:
            raise missing(f"{at}.content")
    for number, call in enumerate(message.tool_calls or ()):
        if call.type == "function" and call.function is None:
            raise missing(f"{at}.tool_calls[{number}].function")


def _check(chat: _Chat) -> None:
    """What one field says of another."""
    check_stream_options(chat.stream_options, stream=chat.stream)
    if chat.max_tokens is not None and chat.max_completion_tokens is not None:
        raise BadRequest(
            "Give 'max_completion_tokens' or 'max_tokens', which is its old name, not both.", param="max_tokens"
        )
    if chat.top_logprobs is not None and not chat.logprobs:
        raise BadRequest("'top_logprobs' is only allowed where 'logprobs' is true.", param="top_logprobs")
    if (shape := chat.response_format) and shape.type == "json_schema" and shape.json_schema is None:
        raise missing("response_format.json_schema")
    if chat.tools and chat.functions:
        raise BadRequest("Give 'tools' or 'functions', which is their old name, not both.", param="functions")
    for number, tool in enumerate(chat.tools or ()):
        if tool.type in ("function", "custom") and getattr(tool, tool.type) is None:
            raise missing(f"tools[{number}].{tool.type}")
    if chat.tool_choice not in (None, "none", "auto"):
        _check_choice(chat.tool_choice, chat.tools or ())


def _check_choice(choice: str | _Choice | None, tools: Sequence[_Tool]) -> None:
    """A tool that must be called must be there."""
    if not tools:
        raise BadRequest("'tool_choice' is only allowed where 'tools' are given.", param="tool_choice")
    if not isinstance(choice, _Choice) or choice.type not in ("function", "custom", "allowed_tools"):
        return
    named = getattr(choice, choice.type)
    if named is None:
        raise missing(f"tool_choice.{choice.type}")
    if isinstance(named, _Named):
        known = [tool.function or tool.custom for tool in tools]
        if named.name not in [tool.name for tool in known if tool is not None]:
            raise BadRequest(
                f"Invalid value for 'tool_choice': there is no tool {named.name!r} in 'tools'.", param="tool_choice"
            )
