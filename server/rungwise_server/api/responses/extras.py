"""What a model's own chat wire says that a `Delta` does not carry: thoughts, refusals, log probabilities.

Only where there is such a thing the wire is read again; a model that speaks another wire has none of it.
"""

import re

import msgspec
from msgspec import Raw, Struct

from rungwise_server.api.responses.wire import Logprob

_INTERESTING = re.compile(rb'"(?:refusal|reasoning|reasoning_content|completion_tokens_details)"\s*:\s*[^n\s]')
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Said(Struct):
    content: Raw = Raw()
    refusal: Raw = Raw()
    reasoning: Raw = Raw()
    reasoning_content: Raw = Raw()


class _Probabilities(Struct):
    content: list[Logprob] | None = None


class _Choice(Struct):
    index: int | None = None
    delta: _Said | None = None
    message: _Said | None = None
    logprobs: Raw = Raw()


class _Details(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    completion_tokens_details: _Details | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_BODY = msgspec.json.Decoder(_Body)
_PROBABILITIES = msgspec.json.Decoder(_Probabilities | None)


class Extras(Struct):
    """What stands beside the text of the first choice. `text` is its text without the refusal, where there is one."""

    thought: str = ""
    refusal: str = ""
    text: str = ""
    logprobs: list[Logprob] = []
    reasoning_tokens: int = 0


NONE = Extras()


def extras(wire: bytes, *, logprobs: bool) -> Extras:
    """Of `wire`, which is a whole chat completion or complete events of a stream. What cannot be read is left out."""
    if not wire or not (logprobs or _INTERESTING.search(wire)):
        return NONE
    found = Extras()
    for event in wire.split(b"\n\n") if wire[:4] == b"data" else [wire]:
        try:
            body = _BODY.decode(event[event.index(b"{") :])
        except (*_UNREADABLE, ValueError):
            continue
        if body.usage and body.usage.completion_tokens_details:
            found.reasoning_tokens = body.usage.completion_tokens_details.reasoning_tokens or 0
        for choice in body.choices or ():
            said = choice.delta or choice.message
            if choice.index or said is None:
                continue
            found.thought += _text(said.reasoning) or _text(said.reasoning_content)
            found.refusal += _text(said.refusal)
            found.text += _text(said.content)
            if logprobs:
                found.logprobs += _probabilities(choice.logprobs)
    return found


def _text(raw: Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except _UNREADABLE:
        return ""


def _probabilities(raw: Raw) -> list[Logprob]:
    try:
        said = _PROBABILITIES.decode(raw)
    except _UNREADABLE:
        return []
    return said.content or [] if said else []
