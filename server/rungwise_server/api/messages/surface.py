"""`POST /v1/messages`: Anthropic's wire, for clients that speak only that, over the same workloads and models."""

from typing import NoReturn

import msgspec

from rungwise_server.answer import Answer
from rungwise_server.api.messages.events import Events
from rungwise_server.api.messages.request import read_messages
from rungwise_server.api.messages.wire import (
    Citing,
    WrittenMessage,
    content_of,
    message_error,
    message_usage,
    stop_reason,
    stop_sequence,
)
from rungwise_server.api.surface import Asked
from rungwise_server.errors import NotFound, RungwiseError
from rungwise_server.records import Choice
from rungwise_server.types import ChatRequest, Delta


class Messages:
    """The surface."""

    name = "messages"
    prefix = "msg_"

    async def read(self, asked: Asked) -> "MessagesExchange":
        """See `Surface`."""
        request, sequences = read_messages(asked.body, asked.id)
        return MessagesExchange(request, asked.sources, sequences)

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return message_error(error, request_id)


class CountTokens:
    """`POST /v1/messages/count_tokens`, which cannot be had here: a wrong number would be worse than none."""

    name = "count_tokens"
    prefix = "req"

    async def read(self, asked: Asked) -> NoReturn:
        """See `Surface`."""
        raise NotFound(
            "Tokens cannot be counted before a message is sent: which model answers, and with which passages, is "
            "decided then. The `usage` of a message has the numbers.",
            code="unknown_url",
        )

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return message_error(error, request_id)


class MessagesExchange:
    """A message and its answer. Of several choices, which nobody asked for, the first is shown."""

    __slots__ = ("_citing", "_events", "_finish", "_sequence", "_sequences", "_sources", "request")

    def __init__(self, request: ChatRequest, sources: str, sequences: tuple[str, ...]) -> None:
        self.request = request
        self._sources = sources
        self._sequences = sequences
        self._sequence: str | None = None
        self._finish = ""
        self._events = Events()
        self._citing: Citing

    def open(self, answer: Answer) -> bytes:
        """`message_start` and a ping."""
        self._citing = Citing(answer.passages, self._sources)
        return self._events.start(answer.id, answer.model or answer.candidate)

    def delta(self, delta: Delta) -> bytes:
        """Events of content blocks."""
        if delta.index:
            return b""
        if delta.finish_reason:
            self._finish = delta.finish_reason
            self._sequence = stop_sequence(delta.wire, self._sequences)
        events = self._events
        parts = [events.text(delta.text)] if delta.text else []
        if delta.citations:
            parts.append(events.citations(self._citing.new(delta.citations)))
        parts += [events.call(call) for call in delta.tool_calls]
        return b"".join(parts)

    async def close(self, answer: Answer) -> bytes:
        """The reason and the usage."""
        reason = stop_reason(self._finish, called=self._events.called, sequence=self._sequence)
        return self._events.end(reason, self._sequence, message_usage(answer.usage))

    async def broken(self, answer: Answer, error: RungwiseError) -> bytes:
        """The error; a stream of this wire has no other end."""
        return b"event: error\ndata: " + message_error(error, answer.id) + b"\n\n"

    async def whole(self, answer: Answer, wire: bytes) -> bytes:
        """A `message`."""
        choice = next(iter(answer.choices), Choice())
        sequence = stop_sequence(wire, self._sequences)
        cited = Citing(answer.passages, self._sources).new(answer.citations)
        return msgspec.json.encode(
            WrittenMessage(
                answer.id,
                answer.model or answer.candidate,
                content_of(choice, cited),
                message_usage(answer.usage),
                stop_reason(choice.finish_reason, called=bool(choice.tool_calls), sequence=sequence),
                sequence,
            )
        )
