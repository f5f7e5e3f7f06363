"""What the surfaces that answer - chat, completions, responses, messages - have in common, and what each must bring.

A surface reads a request into a `ChatRequest` and writes the answer in its own wire; `endpoint` does the rest: the
caller, the engine, the HTTP response, the client who leaves. So a surface does no I/O of HTTP, and batch jobs use the
same ones without a server.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from rungwise_server.answer import Answer
from rungwise_server.api.errors import error_status
from rungwise_server.engine import Engine
from rungwise_server.errors import RungwiseError, StreamBroken
from rungwise_server.types import Caller, ChatRequest, Delta


class Asked(Struct, frozen=True):
    """A request as it came in. `sources` is the URL before a passage's id, for links in citations."""

    id: str
    caller: Caller
    body: bytes
    sources: str


class Reply(Struct, frozen=True):
    """A response that a surface makes without the usual way; an iterator is sent as server-sent events. It starts with
    the first of them: what the iterator raises before that has its real HTTP status.
    """

    body: bytes | AsyncIterator[bytes]
    status: int = 200


class Exchange(Protocol):
    """One request and the answer to it, written in the surface's wire. Its methods are called in the order that they
    stand here, those of a stream or the one for a whole answer.
    """

    @property
    def request(self) -> ChatRequest:
        """For the engine; `request.stream` decides how the answer is written."""

    def open(self, answer: Answer) -> bytes:
        """The events before the first delta, may be empty. The answer's route, model and passages are known."""

    def delta(self, delta: Delta) -> bytes:
        """The events that a delta makes, may be empty."""

    async def close(self, answer: Answer) -> bytes:
        """The events after the last delta, the end of the stream included."""

    async def broken(self, answer: Answer, error: RungwiseError) -> bytes:
        """The same where the model failed in mid-answer: the error, in an event, and the end."""

    async def whole(self, answer: Answer, wire: bytes) -> bytes:
        """The body of an answer that is not streamed. `wire` is the model's own, where it speaks OpenAI's chat."""


class Surface(Protocol):
    """A way to ask."""

    name: str
    """As the log has it."""
    prefix: str
    """Of the ids of its answers, which are the inference ids."""

    async def read(self, asked: Asked) -> Exchange | Reply:
        """The request, checked.

        Raises:
            BadRequest: it is not of the form that the surface takes; `param` names the field.
            NotFound: it names something that the caller does not have.
        """

    def error(self, error: Exception, request_id: str) -> bytes:
        """The body of an error, in the shape that the surface's clients know."""


async def answer_whole(engine: Engine, surface: Surface, asked: Asked) -> Reply:
    """One request answered without HTTP, not streamed. Raises what `Surface.read` and the engine raise."""
    exchange = await surface.read(asked)
    if isinstance(exchange, Reply):
        return exchange
    async with await engine.chat(exchange.request, asked.caller, surface.name) as answer:
        return Reply(await exchange.whole(answer, await collect(answer)))


async def collect(answer: Answer) -> bytes:
    """Take an answer to its end; its `wire`, which the first of its deltas has, if any has."""
    wire = b""
    async for delta in answer:
        wire = wire or delta.wire
    return wire


async def told_in_stream(error: Exception, answer: Answer) -> RungwiseError:
    """What a client is told of an error in mid-stream; a fault of ours is logged, and keeps its words inside."""
    if isinstance(error, RungwiseError):
        return error
    error_status(error)
    await answer.finish("broken", repr(error))
    return StreamBroken("Something in the server failed; its log says what.")
