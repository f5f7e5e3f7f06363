"""A request to `/v1/responses`, read: what the model is asked, what is searched, what the response says of it.

Every field is honoured, passed on to the model as it came, or refused by name. The instructions are those of this
request: those of an earlier response do not carry over.
"""

import time
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rungwise_server.api.body import missing, parse, unsupported
from rungwise_server.api.responses.tools import FileSearch, Tools, read_tools
from rungwise_server.api.responses.wire import ReasoningAsked, Response, encode
from rungwise_server.errors import BadRequest

Positive = Annotated[int, Meta(ge=1)]
_Id = Annotated[str, Meta(max_length=512)]


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: Raw = Raw(b"null")
    strict: bool | None = None
    description: str | None = None


class _Text(Struct, forbid_unknown_fields=True):
    format: _Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class _Reasoning(Struct, forbid_unknown_fields=True):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _StreamOptions(Struct, forbid_unknown_fields=True):
    include_obfuscation: bool | None = None


class _Create(Struct):
    model: Annotated[str, Meta(min_length=1)]
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: _Id | None = None
    include: list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = Raw(b"null")
    parallel_tool_calls: bool | None = None
    max_tool_calls: Positive | None = None
    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    truncation: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    metadata: (
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None
    ) = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None


class Wanted(Struct):
    """A request that was read. `items` are the client's own; `params` go on to the model."""

    response: Response
    """With everything that is known before an answer; also what is streamed, kept and run in the background."""
    items: list[Raw]
    params: dict[str, Raw]
    stream: bool
    search: FileSearch | None
    show_results: bool
    logprobs: bool
    obfuscate: bool


_CREATE = msgspec.json.Decoder(_Create)
_AS_THEY_ARE = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty"),
    *("user", "safety_identifier", "prompt_cache_key", "service_tier"),
)
_LOGPROBS = "message.output_text.logprobs"
RESULTS = "file_search_call.results"
"""Of what may be included: what the search found."""
INCLUDES = (
    RESULTS,
    _LOGPROBS,
    # What these ask for is there already, or belongs to items that this server never makes.
    *("message.input_image.image_url", "reasoning.encrypted_content", "computer_call_output.output.image_url"),
    *("web_search_call.results", "web_search_call.action.sources", "code_interpreter_call.outputs"),
)
_REFUSED: Mapping[str, str] = {
    "messages": "send 'input'.",
    "n": "a response has one answer.",
    "max_tokens": "send 'max_output_tokens'.",
    "max_completion_tokens": "send 'max_output_tokens'.",
    "response_format": "send 'text.format'.",
    "reasoning_effort": "send 'reasoning.effort'.",
    "verbosity": "send 'text.verbosity'.",
    "logprobs": f"send 'include': [\"{_LOGPROBS}\"].",
    "functions": "send 'tools'.",
    "function_call": "send 'tool_choice'.",
    "conversation": "this server keeps responses: send 'previous_response_id'.",
    "prompt": "prompts are not kept here: a workload has its own.",
    "context_management": "this server does not shorten conversations.",
    "moderation": "send the text to /v1/moderations.",
}


def read_create(body: bytes, response_id: str) -> Wanted:
    """The request in `body`.

    Raises:
        BadRequest: no JSON, or a field is missing, wrong, or not supported; `param` names it.
    """
    said, fields = parse(_CREATE, body)
    if said.input is None and said.previous_response_id is None:
        raise missing("input")
    if said.truncation not in (None, "disabled"):
        why = "this server does not shorten conversations: send fewer items, and leave it out."
        raise unsupported("truncation", why)
    if said.background and said.store is False:
        raise BadRequest("A background response must be kept to be read: 'store' cannot be false.", param="store")
    for name in said.include or ():
        if name not in INCLUDES:
            raise BadRequest(f"Invalid value {name!r}: there are {', '.join(INCLUDES)}.", param="include")
    include = said.include or []
    params = _passed_on(said, fields)
    tools = read_tools(said.tools or [], said.tool_choice)
    _put_tools(params, tools, said.parallel_tool_calls)
    _put_text(params, said.text)
    _put_reasoning(params, said.reasoning)
    logprobs = _LOGPROBS in include or bool(said.top_logprobs)
    if logprobs:
        params["logprobs"] = _raw(True)
        params["top_logprobs"] = _raw(said.top_logprobs or 0)
    if said.max_output_tokens is not None:
        params["max_completion_tokens"] = _raw(said.max_output_tokens)
    if said.stream or said.background:
        params["stream_options"] = _raw({"include_usage": True})
    user = {"type": "message", "role": "user", "content": said.input}
    return Wanted(
        response=_response(said, tools, response_id),
        items=[_raw(user)] if isinstance(said.input, str) else said.input or [],
        params=params,
        stream=bool(said.stream),
        search=tools.search,
        show_results=RESULTS in include,
        logprobs=logprobs,
        obfuscate=bool(said.stream_options and said.stream_options.include_obfuscation),
    )


def _passed_on(said: _Create, fields: Mapping[str, Raw]) -> dict[str, Raw]:
    """What a chat has under the same name, and what we do not know; a null is a field that was left out."""
    given = {name: value for name, value in fields.items() if bytes(value) != b"null"}
    for name, why in _REFUSED.items():
        if name in given:
            raise unsupported(name, why)
    known = _Create.__struct_fields__
    return {name: value for name, value in given.items() if name in _AS_THEY_ARE or name not in known}


def _put_tools(params: dict[str, Raw], tools: Tools, parallel: bool | None) -> None:
    if not tools.functions:  # models refuse a choice among none
        return
    params["tools"] = _raw(tools.functions)
    if tools.chat_choice is not None:
        params["tool_choice"] = tools.chat_choice
    if parallel is not None:
        params["parallel_tool_calls"] = _raw(parallel)


def _put_text(params: dict[str, Raw], text: _Text | None) -> None:
    if text is None:
        return
    if text.verbosity is not None:
        params["verbosity"] = _raw(text.verbosity)
    if text.format is None or text.format.type == "text":
        return
    shape: dict[str, object] = {"type": text.format.type}
    if text.format.type == "json_schema":
        schema = {
            "name": text.format.name,
            "schema": text.format.schema,
            "strict": text.format.strict,
            "description": text.format.description,
        }
        if not text.format.name:
            raise missing("text.format.name")
        if not bytes(text.format.schema).lstrip().startswith(b"{"):
            raise BadRequest("A json_schema format needs 'schema', an object.", param="text.format.schema")
        shape["json_schema"] = {name: value for name, value in schema.items() if value is not None}
    params["response_format"] = _raw(shape)


def _put_reasoning(params: dict[str, Raw], reasoning: _Reasoning | None) -> None:
    if reasoning is None:
        return
    for name in ("summary", "generate_summary"):
        if getattr(reasoning, name) not in (None, "auto"):
            raise unsupported(f"reasoning.{name}", "a model's thoughts are told as they are, or not at all.")
    if reasoning.effort is not None:
        params["reasoning_effort"] = _raw(reasoning.effort)


def _response(said: _Create, tools: Tools, response_id: str) -> Response:
    return Response(
        response_id,
        int(time.time()),
        said.model,
        background=bool(said.background),
        frequency_penalty=said.frequency_penalty or 0.0,
        instructions=said.instructions,
        max_output_tokens=said.max_output_tokens,
        max_tool_calls=said.max_tool_calls,
        metadata=said.metadata or {},
        parallel_tool_calls=said.parallel_tool_calls is not False,
        presence_penalty=said.presence_penalty or 0.0,
        previous_response_id=said.previous_response_id,
        prompt_cache_key=said.prompt_cache_key,
        reasoning=ReasoningAsked(said.reasoning.effort if said.reasoning else None),
        safety_identifier=said.safety_identifier,
        service_tier=said.service_tier or "default",
        store=said.store is not False,
        temperature=1.0 if said.temperature is None else said.temperature,
        text=_text_shown(said.text),
        tool_choice=tools.choice,
        tools=tools.shown,
        top_logprobs=said.top_logprobs or 0,
        top_p=1.0 if said.top_p is None else said.top_p,
        user=said.user,
    )


def _text_shown(text: _Text | None) -> Raw:
    shape = (text and text.format) or _Format()
    shown: dict[str, object] = {"type": shape.type}
    if shape.type == "json_schema":
        shown |= {"name": shape.name, "description": shape.description, "schema": shape.schema}
        shown["strict"] = bool(shape.strict)
    told: dict[str, object] = {"format": shown}
    if text and text.verbosity:
        told["verbosity"] = text.verbosity
    return _raw(told)


def _raw(value: object) -> Raw:
    return Raw(encode(value))
