"""Anthropic's Messages requests, read, checked and put into chat's words, which all models here speak.

Hints that change no answer (`cache_control`, what a thinking model thought before) are passed over. Features of
Anthropic's own servers are refused by name; fields that we do not know go on to the model as they came.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rungwise_server.api.body import given, missing, parse, unsupported
from rungwise_server.api.chat.request import Name, Positive, Probability
from rungwise_server.api.messages.blocks import Text, Turn, joined, made, messages_of
from rungwise_server.errors import BadRequest
from rungwise_server.types import ChatRequest


class _Tool(Struct):
    name: Name
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Raw] | None = None
    strict: bool | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Shape(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Raw]


class _Output(Struct):
    format: _Shape | None = None
    effort: str | None = None


class _Thinking(Struct):
    type: str


class _Request(Struct):
    model: Name
    max_tokens: Positive
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    stop_sequences: list[str] | None = None
    temperature: Probability | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: _Metadata | None = None
    output_config: _Output | None = None
    thinking: _Thinking | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    stream: bool | None = None


_REQUEST = msgspec.json.Decoder(_Request)
_TRANSLATED = frozenset(_Request.__struct_fields__) - {"temperature", "top_p", "top_k"} | {"cache_control"}
_ELSEWHERE = ("container", "context_management", "diagnostics", "inference_geo", "mcp_servers", "speed")
_NO_PLACE = ("n", "logprobs", "top_logprobs", "functions", "function_call", "modalities", "audio", "stream_options")


def read_messages(body: bytes, request_id: str) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request in `body`, and its stop sequences.

    Raises:
        BadRequest: it is not of the form, or asks for what cannot be had here; `param` names the field.
    """
    said, fields = parse(_REQUEST, body)
    for name in _ELSEWHERE:
        if given(fields.get(name)):
            raise unsupported(name, "it is a feature of Anthropic's own servers. Leave it out.")
    for name in _NO_PLACE:
        if given(fields.get(name)):
            raise unsupported(name, "its answer has no place in a message. Leave it out.")
    messages = [] if said.system is None else [made("system", joined(said.system))]
    for number, message in enumerate(said.messages):
        messages += messages_of(message, f"messages[{number}].content")
    params = {name: value for name, value in fields.items() if name not in _TRANSLATED and given(value)}
    params |= {name: Raw(msgspec.json.encode(value)) for name, value in _params(said).items()}
    if said.thinking is not None and said.thinking.type != "disabled":
        params["thinking"] = fields["thinking"]
    request = ChatRequest(request_id, said.model, tuple(messages), params, stream=bool(said.stream))
    return request, tuple(said.stop_sequences or ())


def _params(said: _Request) -> dict[str, object]:
    """The fields that chat has under other names."""
    params: dict[str, object] = {"max_completion_tokens": said.max_tokens}
    if said.stop_sequences:
        params["stop"] = said.stop_sequences
    if said.metadata is not None and said.metadata.user_id is not None:
        params["user"] = said.metadata.user_id
    if said.service_tier == "standard_only":
        params["service_tier"] = "default"
    if said.tools:
        params["tools"] = [_function(tool, f"tools[{number}]") for number, tool in enumerate(said.tools)]
    if (choice := said.tool_choice) is not None:
        params["tool_choice"] = _choice(choice, said.tools or ())
        if choice.disable_parallel_tool_use:
            params["parallel_tool_calls"] = False
    if (output := said.output_config) is not None:
        if output.format is not None:
            schema = {"name": "answer", "schema": output.format.schema, "strict": True}
            params["response_format"] = {"type": "json_schema", "json_schema": schema}
        if output.effort is not None:
            params["reasoning_effort"] = output.effort
    return params


def _function(tool: _Tool, at: str) -> dict[str, object]:
    if tool.type not in (None, "custom"):
        raise unsupported(f"{at}.type", f"the tool {tool.type!r} is run by Anthropic's own servers. Give its schema.")
    if tool.input_schema is None:
        raise missing(f"{at}.input_schema")
    function: dict[str, object] = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: _Choice, tools: Sequence[_Tool]) -> object:
    if choice.type in ("any", "tool") and not tools:
        raise BadRequest("'tool_choice' is only allowed where 'tools' are given.", param="tool_choice")
    if choice.type != "tool":
        return {"auto": "auto", "any": "required", "none": "none"}[choice.type]
    if choice.name is None:
        raise missing("tool_choice.name")
    if choice.name not in [tool.name for tool in tools]:
        raise BadRequest(f"Invalid value for 'tool_choice': there is no tool {choice.name!r}.", param="tool_choice")
    return {"type": "function", "function": {"name": choice.name}}
