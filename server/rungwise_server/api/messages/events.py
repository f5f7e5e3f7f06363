"""The events of a streamed message: one content block after the other, each started, filled and stopped."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from rungwise_server.api.messages.wire import (
    MessageUsage,
    SearchResultLocation,
    StopReason,
    TextBlock,
    ToolUse,
    WrittenMessage,
    tool_id,
)
from rungwise_server.types import ToolCall

_EMPTY = Raw(b"{}")


class _MessageStart(Struct):
    message: WrittenMessage
    type: str = "message_start"


class _BlockStart(Struct):
    index: int
    content_block: TextBlock | ToolUse
    type: str = "content_block_start"


class _TextDelta(Struct):
    text: str
    type: str = "text_delta"


class _InputDelta(Struct):
    partial_json: str
    type: str = "input_json_delta"


class _CitationsDelta(Struct):
    citation: SearchResultLocation
    type: str = "citations_delta"


class _BlockDelta(Struct):
    index: int
    delta: _TextDelta | _InputDelta | _CitationsDelta
    type: str = "content_block_delta"


class _BlockStop(Struct):
    index: int
    type: str = "content_block_stop"


class _Stop(Struct):
    stop_reason: StopReason
    stop_sequence: str | None


class _MessageDelta(Struct):
    delta: _Stop
    usage: MessageUsage
    type: str = "message_delta"


class _Bare(Struct):
    type: str


_Event = _MessageStart | _BlockStart | _BlockDelta | _BlockStop | _MessageDelta | _Bare


class Events:
    """Writes one stream. Pieces of a call that come after the next block began still go to their own."""

    def __init__(self) -> None:
        self._blocks = 0
        self._open: int | None = None
        self._text: int | None = None
        self._calls: dict[int, int] = {}

    @property
    def called(self) -> bool:
        """Whether a tool was called."""
        return bool(self._calls)

    def start(self, message_id: str, model: str) -> bytes:
        """The message begins. What it costs is known at its end alone."""
        message = WrittenMessage(message_id, model, [], MessageUsage())
        return _event(_MessageStart(message)) + _event(_Bare("ping"))

    def text(self, text: str) -> bytes:
        """More text."""
        began = b""
        if self._text is None or self._open != self._text:
            began = self._begin(TextBlock())
            self._text = self._open
        assert self._text is not None
        return began + _event(_BlockDelta(self._text, _TextDelta(text)))

    def citations(self, citations: Sequence[SearchResultLocation]) -> bytes:
        """What the text so far rests on."""
        if self._text is None:
            return b""
        return b"".join([_event(_BlockDelta(self._text, _CitationsDelta(citation))) for citation in citations])

    def call(self, call: ToolCall) -> bytes:
        """A call, or more of its arguments."""
        began = b""
        if call.index not in self._calls:
            began = self._begin(ToolUse(tool_id(call), call.name, _EMPTY))
            assert self._open is not None
            self._calls[call.index] = self._open
        if not call.arguments:
            return began
        return began + _event(_BlockDelta(self._calls[call.index], _InputDelta(call.arguments)))

    def end(self, reason: StopReason, sequence: str | None, usage: MessageUsage) -> bytes:
        """The message is whole."""
        stopped = _event(_MessageDelta(_Stop(reason, sequence), usage)) + _event(_Bare("message_stop"))
        return self._close() + stopped

    def _begin(self, block: TextBlock | ToolUse) -> bytes:
        closed = self._close()
        self._open = self._blocks
        self._blocks += 1
        return closed + _event(_BlockStart(self._open, block))

    def _close(self) -> bytes:
        closed = b"" if self._open is None else _event(_BlockStop(self._open))
        self._open = None
        return closed


def _event(event: _Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.type.encode(), msgspec.json.encode(event))
