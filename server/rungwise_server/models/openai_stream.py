"""OpenAI's streams of chunks, read as Deltas. No I/O here: the same chunks mean the same however their bytes came."""

from rungwise_server.models.openai_usual import UsualChunk
from rungwise_server.models.openai_wire import (
    NOTHING,
    UNREADABLE,
    Body,
    Failure,
    IdSwap,
    calls_of,
    decode,
    read_failure,
    split_choices,
    text_of,
    usage_of,
)
from rungwise_server.models.sse import EventReader, EventTooLong, fields, split
from rungwise_server.types import Delta, ToolCall


class ChunkStream:
    """Reads a stream of chunks; give it what came, get what it means.

    `done` is true after `[DONE]`; `failure` is set when an error came, what stood before it having been returned. With
    `strip_usage`, the usage is reported but taken out of the wire.
    """

    __slots__ = ("_events", "_finished", "_group", "_highest", "_id", "_named", "_strip", "_usual", "done", "failure")

    def __init__(self, id: str, *, strip_usage: bool) -> None:
        self.done = False
        self.failure: Failure | None = None
        self._events = EventReader()
        self._group = _Group()
        self._id = IdSwap(id)
        self._usual = UsualChunk()
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

    def _read(self, block: bytes) -> list[Delta]:
        usual = self._usual.read(block)
        if usual is not None:
            return [usual]
        deltas: list[Delta] = []
        for event in split(block):
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
            self._chunk(chunk, event, deltas)
        if self._group.wires:
            self._group.flush(deltas)
        return deltas

    def _chunk(self, chunk: Body, event: bytes, deltas: list[Delta]) -> None:
        wire = self._wire(chunk, event)
        choices = chunk.choices
        if not choices or len(choices) > 1 or choices[0].finish_reason or chunk.usage:
            self._apart(chunk, wire, deltas)
            return
        choice = choices[0]
        group = self._group
        index = choice.index or 0
        if index != group.index:
            group.flush(deltas)
            group.index = index
            self._highest = max(self._highest, index)
        if chunk.model and not self._named:
            group.model = chunk.model
            self._named = True
        group.wires.append(wire)
        said = choice.delta or NOTHING
        if text := text_of(said):
            group.texts.append(text)
        if said.tool_calls or said.function_call:
            group.calls += calls_of(said)
        elif self._named:
            self._usual.learn(chunk, event, self._wire)

    def _wire(self, chunk: Body, event: bytes) -> bytes:
        """The event as the client gets it."""
        wire = self._id.put(chunk.id, event)
        return _without_null_usage(wire) if self._strip and chunk.usage is None else wire

    def _apart(self, chunk: Body, wire: bytes, deltas: list[Delta]) -> None:
        """A chunk that shares no Delta: with an end, with usage, with several choices or none."""
        self._group.flush(deltas)
        choices = chunk.choices or ()
        usage = usage_of(chunk.usage)
        model = ""
        if chunk.model and not self._named:
            model = chunk.model
            self._named = True
        if not choices:
            hidden = self._strip and usage is not None
            deltas.append(Delta(usage=usage, wire=b"" if hidden else wire + b"\n\n", model=model))
            return
        for choice, own in zip(choices, [wire] if len(choices) == 1 else split_choices(wire), strict=True):
            said = choice.delta or NOTHING
            index = choice.index or 0
            self._highest = max(self._highest, index)
            self._finished += bool(choice.finish_reason)
            deltas.append(
                Delta(
                    text=text_of(said),
                    index=index,
                    tool_calls=calls_of(said),
                    finish_reason=choice.finish_reason or "",
                    usage=usage,
                    wire=own + b"\n\n",
                    model=model,
                )
            )
            usage, model = None, ""


class _Group:
    """Events of one choice that came together."""

    __slots__ = ("calls", "index", "model", "texts", "wires")

    def __init__(self) -> None:
        self.index = 0
        self.model = ""
        self.texts: list[str] = []
        self.wires: list[bytes] = []
        self.calls: tuple[ToolCall, ...] = ()

    def flush(self, deltas: list[Delta]) -> None:
        """Make them one Delta."""
        wires = self.wires
        if not wires:
            return
        texts = self.texts
        deltas.append(
            Delta(
                text=texts[0] if len(texts) == 1 else "".join(texts),
                index=self.index,
                tool_calls=self.calls,
                wire=wires[0] + b"\n\n" if len(wires) == 1 else b"\n\n".join(wires) + b"\n\n",
                model=self.model,
            )
        )
        wires.clear()
        texts.clear()
        self.calls = ()
        self.model = ""


def _without_null_usage(wire: bytes) -> bytes:
    for null in (b',"usage":null', b', "usage": null', b',"usage": null'):
        changed = wire.replace(null, b"", 1)
        if changed is not wire:
            return changed
    return wire
