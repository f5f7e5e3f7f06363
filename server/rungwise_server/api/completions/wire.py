"""OpenAI's legacy completions wire: a request read and checked, chunks and whole answers written.

The models speak chat, so what chat has no field for is refused by name: `suffix`, `best_of`, prompts as token ids,
the log probabilities of an echoed prompt. Without `max_tokens` an answer is as long as the model makes it. Citations
come as `annotations` of a choice, in chat's form, since this wire has no place of its own for them.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rungwise_server.api.body import given, missing, parse, unsupported
from rungwise_server.api.chat.request import (
    Biases,
    Name,
    Penalty,
    Positive,
    Probability,
    Seed,
    Several,
    StreamOptions,
    Temperature,
    check_stream_options,
)
from rungwise_server.api.chat.wire import Annotation, ChatUsage, chat_usage
from rungwise_server.errors import BadRequest
from rungwise_server.prompt import text_message
from rungwise_server.types import Message, Usage

_MOST = 128  # choices of one request


class _Completion(Struct):
    model: Name
    prompt: str | list[str | int | list[int]] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Several | None = None
    best_of: Several | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    max_tokens: Positive | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    seed: Seed | None = None
    stop: str | list[str] | None = None
    user: str | None = None


_REQUEST = msgspec.json.Decoder(_Completion)
_OURS = frozenset({"model", "prompt", "stream", "stream_options", "echo", "best_of", "suffix", "logprobs"})
_CHAT_ONLY = (
    *("messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "modalities", "audio"),
    "top_logprobs",
)


class Ask(Struct, frozen=True):
    """A request. `params` are chat's."""

    model: str
    prompts: tuple[str, ...]
    params: Mapping[str, Raw]
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    echo: bool = False
    logprobs: bool = False

    def messages(self, number: int) -> tuple[Message, ...]:
        """The conversation that a prompt is."""
        return (text_message("user", self.prompts[number]),)


def read_ask(body: bytes) -> Ask:
    """The request in `body`.

    Raises:
        BadRequest: it is not of the form, or asks for what the models' wire does not have; `param` names the field.
    """
    said, fields = parse(_REQUEST, body)
    prompts = _prompts(said.prompt)
    n = said.n or 1
    if len(prompts) * n > _MOST:
        raise BadRequest(f"{len(prompts)} prompts with n = {n} are more than {_MOST} choices.", param="prompt")
    check_stream_options(said.stream_options, stream=said.stream)
    if said.suffix:
        raise unsupported("suffix", "the models here answer conversations and do not fill in. Leave it out.")
    if said.best_of is not None and said.best_of != n:
        raise unsupported("best_of", f"all {n} answers are returned. Leave it out, or ask for more with 'n'.")
    if said.echo and said.logprobs is not None:
        raise unsupported("logprobs", "those of an echoed prompt are not known. Leave out 'echo' or 'logprobs'.")
    for name in _CHAT_ONLY:
        if given(fields.get(name)):
            raise unsupported(name, "it belongs to POST /v1/chat/completions.")
    params = {name: value for name, value in fields.items() if name not in _OURS}
    if said.logprobs is not None:
        params["logprobs"] = Raw(b"true")
        params["top_logprobs"] = Raw(str(said.logprobs).encode())
    return Ask(
        said.model,
        prompts,
        params,
        n,
        stream=bool(said.stream),
        include_usage=bool(said.stream_options and said.stream_options.include_usage),
        echo=bool(said.echo),
        logprobs=said.logprobs is not None,
    )


def _prompts(prompt: str | Sequence[str | int | Sequence[int]] | None) -> tuple[str, ...]:
    if prompt is None:
        raise missing("prompt")
    if isinstance(prompt, str):
        return (prompt,)
    texts = tuple(each for each in prompt if isinstance(each, str))
    if len(texts) < len(prompt):
        raise unsupported(
            "prompt", "token ids mean something to one tokenizer only, and models are chosen here. Send the text."
        )
    if not texts:
        raise BadRequest("Invalid value for 'prompt': it is an empty list.", param="prompt")
    return texts


class Logprobs(Struct):
    """Log probabilities as this wire has them: one list a property."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float | None]] = []
    text_offset: list[int] = []


class _Top(Struct):
    token: str
    logprob: float | None = None


class _Token(Struct):
    token: str
    logprob: float | None = None
    top_logprobs: list[_Top] | None = None


class _Content(Struct):
    content: list[_Token] | None = None


class _WireChoice(Struct):
    index: int = 0
    logprobs: _Content | None = None


class _Wire(Struct):
    choices: list[_WireChoice] = []


_WIRE = msgspec.json.Decoder(_Wire)


def read_logprobs(wire: bytes, at: int) -> dict[int, Logprobs]:
    """Those in a model's own wire, a body or events, by choice. `at`: the characters before its first token."""
    found: dict[int, Logprobs] = {}
    for event in wire.split(b"\n\n") if wire.startswith(b"data:") else [wire]:
        try:
            choices = _WIRE.decode(event.removeprefix(b"data:")).choices if event else []
        except msgspec.MsgspecError:
            continue  # of another shape than OpenAI's
        for choice in choices:
            for token in (choice.logprobs and choice.logprobs.content) or ():
                own = found.setdefault(choice.index, Logprobs())
                own.text_offset.append(at + sum(map(len, own.tokens)))
                own.tokens.append(token.token)
                own.token_logprobs.append(token.logprob)
                own.top_logprobs.append({top.token: top.logprob for top in token.top_logprobs or ()})
    return found


class Choice(Struct):
    """One answer, or a piece of it."""

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    annotations: list[Annotation] | UnsetType = UNSET


class _Written(Struct):
    id: str
    created: int
    model: str
    choices: Sequence[Choice]
    usage: ChatUsage | UnsetType | None = UNSET
    object: str = "text_completion"


class Writer:
    """Writes one response. `include_usage`: the stream will end with the usage."""

    def __init__(self, response_id: str, *, include_usage: bool) -> None:
        self._id = response_id
        self._created = int(time.time())
        self._no_usage: UnsetType | None = None if include_usage else UNSET

    def chunk(self, model: str, choice: Choice) -> bytes:
        """One SSE event."""
        return self._event(_Written(self._id, self._created, model, [_finished(choice)], self._no_usage))

    def usage(self, model: str, usage: Usage) -> bytes:
        """The last chunk of a stream whose client asked for it."""
        return self._event(_Written(self._id, self._created, model, [], chat_usage(usage)))

    def whole(self, model: str, choices: Sequence[Choice], usage: Usage | None) -> bytes:
        """A whole response."""
        shown = [_finished(choice) for choice in choices]
        return msgspec.json.encode(
            _Written(self._id, self._created, model, shown, chat_usage(usage) if usage else UNSET)
        )

    def _event(self, written: _Written) -> bytes:
        return b"data: " + msgspec.json.encode(written) + b"\n\n"


def _finished(choice: Choice) -> Choice:
    """With a finish_reason that this wire knows."""
    if choice.finish_reason not in (None, "stop", "length", "content_filter"):
        choice.finish_reason = "stop"
    return choice
