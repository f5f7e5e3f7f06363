"""Cheaper candidates draft, and a draft goes out only if it holds up when it is verified; else the next one answers.

Nothing of a draft leaves before that: what holds is sent all at once. A draft that does not is logged by itself, on the
surface `draft`, beside the answer, whose cost counts both.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.answer import Answer
from rungwise_server.errors import RungwiseError, StreamBroken, UpstreamError
from rungwise_server.evals import Answered
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import Verifier
from rungwise_server.types import Caller, ChatRequest, Delta, Message


class Call(NamedTuple):
    """A candidate on the point of being called."""

    candidate: str
    prompt: Prompt | None
    deltas: AsyncIterator[Delta]


class Ask(Protocol):
    """Makes calls of candidates for one request."""

    def __call__(self, candidate: str, params: Mapping[str, Raw] = {}, whole: bool = False) -> Call:
        """Nothing is sent before the first delta is awaited. `params` replace the client's own; `whole`: in one piece,
        whatever the client asked for.
        """


async def drafted(
    answer: Answer, request: ChatRequest, verifier: Verifier, workload: str, caller: Caller, ask: Ask
) -> Call:
    """The call that answers: of the first candidate of `answer.route` whose draft holds - it is then made already -
    or of the last one. The route's reason says what came of the drafts.
    """
    assert answer.route is not None
    route = answer.route
    names = (route.candidate, *route.then)
    why = _unfit(request) or await _ready(verifier, workload)
    if why:
        answer.route = replace(route, reason=f"{route.reason}; nothing was drafted, since {why}: {names[-1]} answers")
        return ask(names[-1])
    said: list[str] = []
    for name in names[:-1]:
        call = ask(name, _missing(verifier.params, request))
        draft = answer.draft(name)
        draft.prompt = call.prompt
        try:
            held, why = await _held(draft, request.messages, call, verifier, caller, ask, answer)
        except BaseException:
            # Shielded: a caller who left must not cancel the row that says so.
            await asyncio.shield(draft.leave())
            raise
        if held:
            said.append(f"{name} answered, held back until it was verified: {why}")
            answer.route = replace(route, reason="; ".join([route.reason, *said]))
            return call._replace(deltas=_replayed(held, blank=bool(_missing(verifier.params, request))))
        said.append(f"{name} drafted, and it did not hold: {why}")
    answer.route = replace(route, reason="; ".join([route.reason, *said, f"{names[-1]} answers"]))
    return ask(names[-1])


async def _held(
    draft: Answer,
    messages: Sequence[Message],
    call: Call,
    verifier: Verifier,
    caller: Caller,
    ask: Ask,
    answer: Answer,
) -> tuple[tuple[Delta, ...], str]:
    """The draft, where it holds, else nothing; and why. One that does not hold is logged, and paid by `answer`."""

    async def again() -> str:
        other = answer.draft(call.candidate)
        other.prompt = call.prompt
        try:
            await other.hold(ask(call.candidate, _WARM, whole=True).deltas)
        except RungwiseError as error:
            await other.finish("failed", error.message)
            raise UpstreamError(error.message) from None
        except BaseException:
            await asyncio.shield(other.leave())
            raise
        answer.pay(other)
        await other.finish("ok")
        return other.choices[0].text if other.choices else ""

    try:
        deltas = await draft.hold(call.deltas)
    except UpstreamError as error:
        await draft.finish("failed", error.message)
        return (), error.message
    except StreamBroken as error:
        answer.pay(draft)
        await draft.finish("broken", error.message)
        return (), error.message
    why = _unfinished(draft)
    if not why:
        made = Answered(tuple(messages), draft.choices[0].text, draft.passages)
        try:
            checked = await verifier.check(made, caller, b"".join([delta.wire for delta in deltas]), again)
        except UpstreamError as error:
            why = f"it could not be verified: {error.message}"
        else:
            if checked.holds:
                return deltas, checked.why
            why = checked.why
    answer.pay(draft)
    await draft.finish("ok")
    return (), why


_WARM: Mapping[str, Raw] = {"temperature": Raw(b"1")}
"""Asked anew without chance, a model says the same again."""


def _unfit(request: ChatRequest) -> str:
    """Why the answers to a request cannot be verified; empty where they can."""
    if bytes(request.params.get("n", b"1")) not in (b"1", b"null"):
        return "several choices are asked for"
    if any(bytes(request.params.get(name, b"null")) not in (b"null", b"[]") for name in ("tools", "functions")):
        return "tools are offered"
    return ""


async def _ready(verifier: Verifier, workload: str) -> str:
    try:
        return await verifier.ready(workload)
    except RungwiseError as error:
        return error.message


def _unfinished(draft: Answer) -> str:
    said = draft.choices[0] if draft.choices else None
    if said is None or not said.text.strip():
        return "it has no text"
    return "it was cut off" if said.finish_reason not in ("", "stop") else ""


def _missing(params: Mapping[str, Raw], request: ChatRequest) -> dict[str, Raw]:
    """What the verifier needs and the client did not ask for."""
    return {name: value for name, value in params.items() if bytes(request.params.get(name, b"")) != bytes(value)}


async def _replayed(held: Sequence[Delta], *, blank: bool) -> AsyncIterator[Delta]:
    """A held answer. With `blank` its wire has what the client did not ask for, and our own is written instead."""
    for delta in held:
        yield replace(delta, wire=b"") if blank else delta
