"""`POST /v1/chat/completions`: OpenAI's chat, the wire that most clients and all models here speak."""

from rungwise_server.answer import Answer
from rungwise_server.api.chat.request import read_chat
from rungwise_server.api.chat.wire import Writer
from rungwise_server.api.errors import error_body
from rungwise_server.api.surface import Asked
from rungwise_server.errors import RungwiseError
from rungwise_server.types import ChatRequest, Delta

DONE = b"data: [DONE]\n\n"


class Chat:
    """The surface."""

    name = "chat"
    prefix = "chatcmpl"

    async def read(self, asked: Asked) -> "ChatExchange":
        """See `Surface`."""
        request, include_usage = read_chat(asked.body, asked.id)
        return ChatExchange(request, asked.sources, include_usage=include_usage)

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)


class ChatExchange:
    """A chat request and its answer. A model's own wire goes through as it is; for others chunks are written here."""

    __slots__ = ("_include_usage", "_sources", "_wired", "_writer", "request")

    def __init__(self, request: ChatRequest, sources: str, *, include_usage: bool) -> None:
        self.request = request
        self._sources = sources
        self._include_usage = include_usage
        self._wired = False
        self._writer: Writer

    def open(self, answer: Answer) -> bytes:
        """Nothing: the first delta opens the message."""
        model = answer.model or answer.candidate
        self._writer = Writer(answer.id, model, self._sources, include_usage=self._include_usage)
        return b""

    def delta(self, delta: Delta) -> bytes:
        """The model's own events, or one of ours; usage that nobody asked for is for the log alone."""
        if delta.wire:
            self._wired = True
            self._writer.opened(delta.index)
            return delta.wire
        if delta.text or delta.tool_calls or delta.citations or delta.finish_reason:
            return self._writer.chunk(delta.text, delta.index, delta.tool_calls, delta.citations, delta.finish_reason)
        return b""

    async def close(self, answer: Answer) -> bytes:
        """Usage, where it was asked for, and `[DONE]`."""
        if self._wired:
            return DONE
        usage = self._writer.usage(answer.usage) if self._include_usage and answer.usage else b""
        return self._writer.ends() + usage + DONE

    async def broken(self, answer: Answer, error: RungwiseError) -> bytes:
        """The error, and `[DONE]`."""
        return b"data: " + error_body(error) + b"\n\n" + DONE

    async def whole(self, answer: Answer, wire: bytes) -> bytes:
        """The model's own body with our citations in it, or ours."""
        writer = Writer(answer.id, answer.model or answer.candidate, self._sources)
        if not wire:
            return writer.whole(answer.choices, answer.citations, answer.usage)
        return writer.annotate(wire, answer.citations) if answer.citations else wire
