"""OpenAI's chat wire, read: bodies, errors, and whole completions as Deltas. No I/O here.

The bytes go on to the client as they came, except for the id, which becomes ours, and for the usage that we asked for
and the client did not. So unknown fields, logprobs, reasoning and whatever a vendor adds arrive untouched.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rungwise_server.types import Delta, ToolCall, Usage


class Failure(Struct, frozen=True):
    """An error as the wire tells it; `status` is 0 where it says none."""

    message: str
    status: int = 0
    param: str | None = None
    code: str | None = None


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(Struct, gc=False):
    text: str | None = None


class Said(Struct, gc=False):
    """A message, or a delta of one."""

    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Struct, gc=False):
    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class _Cached(Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None


class Body(Struct, gc=False):
    """A `chat.completion` or a `chat.completion.chunk`."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | UnsetType | None = UNSET
    error: Raw = Raw()


class _Error(Struct):
    """An error object; vendors differ in what is a string and what a number."""

    message: str | None = None
    param: str | int | None = None
    code: str | int | None = None
    type: str | int | None = None


class _ErrorBody(Struct):
    error: _Error | str | None = None
    message: str | None = None
    detail: Raw = Raw()
    code: str | int | None = None
    param: str | int | None = None


NOTHING = Said()
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding hostile JSON raises."""
decode = msgspec.json.Decoder(Body).decode
_decode_error = msgspec.json.Decoder(_ErrorBody).decode


def read_failure(body: bytes) -> Failure:
    """What an error body says: OpenAI's object, Ollama's string, vLLM's flat object, FastAPI's `detail`, or text."""
    try:
        said = _decode_error(body)
    except UNREADABLE:
        text = body[:500].decode("utf-8", "replace").strip()
        return Failure("" if text.startswith("<") else text)
    error = said.error
    if isinstance(error, str):
        return Failure(error[:2000])
    if error is None:
        error = _Error(message=said.message, param=said.param, code=said.code)
    message = error.message or bytes(said.detail).decode("utf-8", "replace").strip('"')
    status = error.code if isinstance(error.code, int) else 0
    return Failure(
        message[:2000],
        status if 400 <= status < 600 else 0,
        str(error.param) if error.param is not None else None,
        error.code if isinstance(error.code, str) else None,
    )


def read_completion(body: bytes, id: str, *, wire: bool = True) -> list[Delta] | Failure:
    """A whole answer: a Delta with the body as `wire` and the first choice, then one for each other choice.

    Without `wire`, that is left empty, for a stream that came as a whole.
    """
    try:
        said = decode(body)
    except UNREADABLE as error:
        return Failure(f"the answer is no chat completion: {error}")
    if said.error and bytes(said.error) != b"null":
        return read_failure(body)
    if not said.choices:
        return Failure("the answer has no choices")
    sent = IdSwap(id).put(said.id, body) if wire else b""
    deltas = []
    for place, choice in enumerate(said.choices):
        message = choice.message or choice.delta or NOTHING
        first = not place
        deltas.append(
            Delta(
                text=text_of(message),
                index=place if choice.index is None else choice.index,
                tool_calls=calls_of(message),
                finish_reason=choice.finish_reason or "stop",
                usage=usage_of(said.usage) if first else None,
                wire=sent if first else b"",
                model=said.model or "" if first else "",
            )
        )
    return deltas


class IdSwap:
    """Puts our id in the place of the upstream's, which is learnt from the first body that has it."""

    __slots__ = ("_needle", "_ours", "_raw", "_theirs")

    def __init__(self, id: str) -> None:
        self._raw = msgspec.json.encode(id)
        self._theirs: str | None = None
        self._needle = self._ours = b""

    def put(self, theirs: str | None, wire: bytes) -> bytes:
        """A body, or an event with one, that has the id `theirs`, with ours.

        The quotes around the needle are real ones: within a JSON string they would be escaped, so text that quotes the
        id stays as it is.
        """
        if theirs != self._theirs:
            self._learn(theirs, wire)
        if self._needle:
            changed = wire.replace(self._needle, self._ours, 1)
            if changed is not wire:
                return changed
        start = wire.index(b"{")
        members = msgspec.json.decode(wire[start:], type=dict[str, Raw])
        return wire[:start] + msgspec.json.encode({**members, "id": Raw(self._raw)})

    def _learn(self, theirs: str | None, wire: bytes) -> None:
        self._theirs = theirs
        self._needle = b""
        for key in (b'"id":', b'"id": '):
            needle = key + msgspec.json.encode(theirs)
            if theirs and needle in wire:
                self._needle, self._ours = needle, key + self._raw


def split_choices(event: bytes) -> list[bytes]:
    """An event with several choices as one event for each; what is not a choice's own, such as usage, in the first."""
    members = msgspec.json.decode(event[event.index(b"{") :], type=dict[str, Raw])
    events = []
    for choice in msgspec.json.decode(members.pop("choices"), type=list[Raw]):
        events.append(b"data: " + msgspec.json.encode({**members, "choices": [choice]}))
        members.pop("usage", None)
    return events


def text_of(said: Said) -> str:
    """Its text; a refusal is what the caller reads, and so is text."""
    content = said.content
    if isinstance(content, list):
        return "".join(part.text or "" for part in content)
    return content or said.refusal or ""


def calls_of(said: Said) -> tuple[ToolCall, ...]:
    """Tool calls, or pieces of them; the one call of the legacy wire has no id."""
    if said.function_call is not None:
        return (ToolCall(0, "", said.function_call.name or "", said.function_call.arguments or ""),)
    return tuple(
        ToolCall(
            index=place if call.index is None else call.index,
            id=call.id or "",
            name=(call.function and call.function.name) or "",
            arguments=(call.function and call.function.arguments) or "",
        )
        for place, call in enumerate(said.tool_calls or ())
    )


def usage_of(usage: _Usage | UnsetType | None) -> Usage | None:
    """Usage in our words."""
    if not usage:
        return None
    cached = usage.prompt_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=(cached and cached.cached_tokens) or 0,
    )
