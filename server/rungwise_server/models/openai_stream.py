"""OpenAI's streams of chunks, read as Deltas. No I/O here: the same chunks mean the same however their bytes came."""

from rungwise_server.models.openai_wire import (
    NOTHING,
    UNREADABLE,
    Body,
    Failure,
    IdSwap,
    calls_of,
    decode,
    read_failure,
    text_of,
    usage_of,
)
from rungwise_server.models.sse import EventReader, EventTooLong, fields
from rungwise_server.types import Delta, ToolCall, Usage


class ChunkStream:
    """Reads a stream of chunks; give it what came, get what it means.

    `done` is true after `[DONE]`; `failure` is set when an error came, what stood before it having been returned. With
    `strip_usage`, the usage is reported but taken out of the wire.
    """

    __slots__ = ("_events", "_finished", "_highest", "_id", "_named", "_strip", "done", "failure")

    def __init__(self, id: str, *, strip_usage: bool) -> None:
        self.done = False
        self.failure: Failure | None = None
        self._events = EventReader()
        self._id = IdSwap(id)
        self._strip = strip_usage
        self._named = False
        self._finished = 0
        self._highest = 0

    def feed(self, data: bytes) -> list[Delta]:
        """The meaning of what is complete now. Text and calls of one choice share a Delta; an end stands alone."""
        try:
            return self._read(self._events.feed(data))
        except EventTooLong:
            self.failure = Failure("an event has no end")
            return []

    def finish(self) -> list[Delta]:
        """The stream has ended. Sets `failure` unless it was complete."""
        deltas = self._read(self._events.finish())
        if not self.complete and self.failure is None:
            self.failure = Failure("the stream ended in the middle of the answer")
        return deltas

    @property
    def complete(self) -> bool:
        """`[DONE]` came, or every choice has its finish_reason."""
        return self.done or self._finished > self._highest

    def _read(self, events: list[bytes]) -> list[Delta]:
        deltas: list[Delta] = []
        group = _Group(deltas)
        for event in events:
            if self.done or self.failure is not None:
                break
            payload = event[5:]
            if event[:5] != b"data:" or b"\n" in event:
                name, data = fields(event)
                if data is None:
                    continue
                payload = data
                event = b"data: " + data.replace(b"\n", b" ")  # noqa: PLW2901
                if name == b"error":
                    self.failure = read_failure(payload)
                    break
            if len(payload) < 16 and payload.strip() == b"[DONE]":
                self.done = True
                break
            try:
                chunk = decode(payload)
            except UNREADABLE as error:
                self.failure = Failure(f"an event is no chunk of a chat completion: {error}")
                break
            if chunk.error and bytes(chunk.error) != b"null":
                self.failure = read_failure(payload)
                break
            self._chunk(chunk, event, group)
        group.flush()
        return deltas

    def _chunk(self, chunk: Body, event: bytes, group: "_Group") -> None:
        choices = chunk.choices or ()
        wire = self._id.put(chunk.id, event)
        if self._strip and b'"usage"' in wire:
            wire = b"" if chunk.usage is not None and not choices else _without_null_usage(wire)
        model = ""
        if chunk.model and not self._named:
            model = chunk.model
            self._named = True
        if len(choices) == 1 and not choices[0].finish_reason:
            choice = choices[0]
            index = choice.index or 0
            self._highest = max(self._highest, index)
            said = choice.delta
            if said is None:
                group.add(index, "", wire, model)
            else:
                content = said.content
                group.add(index, content if type(content) is str else text_of(said), wire, model)
                if said.tool_calls:
                    group.calls += calls_of(said.tool_calls)
            if chunk.usage is not None:
                group.usage = usage_of(chunk.usage)
            return
        group.flush()
        wire = wire and wire + b"\n\n"
        usage = usage_of(chunk.usage)
        for choice in choices:
            said = choice.delta or NOTHING
            index = choice.index or 0
            self._highest = max(self._highest, index)
            self._finished += bool(choice.finish_reason)
            group.deltas.append(
                Delta(
                    text=text_of(said),
                    index=index,
                    tool_calls=calls_of(said.tool_calls),
                    finish_reason=choice.finish_reason or "",
                    usage=usage,
                    wire=wire,
                    model=model,
                )
            )
            wire, usage, model = b"", None, ""
        if not choices and (wire or usage is not None):
            group.deltas.append(Delta(usage=usage, wire=wire, model=model))


class _Group:
    """Events of one choice that came together."""

    __slots__ = ("_index", "_model", "_texts", "_wires", "calls", "deltas", "usage")

    def __init__(self, deltas: list[Delta]) -> None:
        self.deltas = deltas
        self.usage: Usage | None = None
        self.calls: tuple[ToolCall, ...] = ()
        self._index = 0
        self._model = ""
        self._texts: list[str] = []
        self._wires: list[bytes] = []

    def add(self, index: int, text: str, wire: bytes, model: str) -> None:
        if self._wires and index != self._index:
            self.flush()
        if not self._wires:
            self._index = index
        self._model = self._model or model
        self._texts.append(text)
        self._wires.append(wire)

    def flush(self) -> None:
        if not self._wires:
            return
        self._wires.append(b"")
        self.deltas.append(
            Delta(
                text="".join(self._texts),
                index=self._index,
                tool_calls=self.calls,
                usage=self.usage,
                wire=b"\n\n".join(self._wires),
                model=self._model,
            )
        )
        self._texts.clear()
        self._wires.clear()
        self.calls, self.usage, self._model = (), None, ""


def _without_null_usage(wire: bytes) -> bytes:
    for null in (b',"usage":null', b', "usage": null', b',"usage": null'):
        if null in wire:
            return wire.replace(null, b"", 1)
    return wire
