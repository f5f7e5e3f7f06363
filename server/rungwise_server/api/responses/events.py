"""The events of one response, and the response that they add up to: a state machine without I/O.

Items open one after the other: a thought closes when something else begins, a message when a call or another thought
does; function calls stay open to the end, since their pieces may come by turns. What is not streamed goes through the
same machine, so that both say the same.
"""

import secrets
import time

from msgspec import Struct

from rungwise_server.api.responses.extras import Extras
from rungwise_server.api.responses.wire import (
    Annotator,
    FileSearchCall,
    FunctionCall,
    IncompleteDetails,
    Item,
    ItemStatus,
    Logprob,
    OutputMessage,
    OutputText,
    Reasoning,
    ReasoningText,
    Refusal,
    Response,
    encode,
    item_id,
    response_error,
    usage_of,
)
from rungwise_server.errors import RungwiseError
from rungwise_server.types import Citation, Delta, ToolCall, Usage

DONE = b"data: [DONE]\n\n"
_PAD = 32  # an obfuscated delta is as long as the next multiple of it

_Part = OutputText | Refusal | ReasoningText
_NAMES: dict[type[_Part], str] = {
    OutputText: "response.output_text",
    Refusal: "response.refusal",
    ReasoningText: "response.reasoning_text",
}


def event(name: str, number: int, /, **fields: object) -> bytes:
    """One server-sent event; `number` is its place in the stream, from 0."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode({"type": name, "sequence_number": number, **fields}))


class _Open(Struct):
    """The part that is being written: of a message, or of a thought. `base` characters of the answer were before it."""

    part: _Part
    item: OutputMessage | Reasoning
    place: int
    content_index: int
    base: int
    pieces: list[str] = []

    def sync(self) -> None:
        text = "".join(self.pieces)
        self.pieces = [text]
        if isinstance(self.part, Refusal):
            self.part.refusal = text
        else:
            self.part.text = text


class _Call(Struct):
    item: FunctionCall
    place: int
    pieces: list[str] = []

    def sync(self) -> None:
        self.item.arguments = "".join(self.pieces)
        self.pieces = [self.item.arguments]


class Events:
    """Takes what a model says, piece by piece, and returns the events that it makes. What they add up to is
    `response`; what is being written stands in it after `sync`, and after every last event.
    """

    def __init__(self, response: Response, *, obfuscate: bool = False) -> None:
        self.response = response
        response.output = []
        self.annotator = Annotator((), "", by_file=False)
        """To be exchanged once it is known what was found."""
        self._obfuscate = obfuscate
        self._number = 0
        self._chars = 0
        self._open: _Open | None = None
        self._calls: dict[int, _Call] = {}
        self._held: tuple[ToolCall, ...] = ()

    def queued(self) -> bytes:
        """The first events of a response that waits for its turn."""
        self.response.status = "queued"
        return self._snapshot("response.created") + self._snapshot("response.queued")

    def begin(self) -> bytes:
        """The events before anything is done."""
        self.response.status = "in_progress"
        created = b"" if self._number else self._snapshot("response.created")
        return created + self._snapshot("response.in_progress")

    def searched(self, search: FileSearchCall) -> bytes:
        """A search, from its beginning to its end."""
        place = self._add(search)
        begun = FileSearchCall(search.id, "in_progress", search.queries)
        out = [self._event("response.output_item.added", output_index=place, item=begun)]
        out += [
            self._event(f"response.file_search_call.{state}", output_index=place, item_id=search.id)
            for state in ("in_progress", "searching", "completed")
        ]
        out.append(self._event("response.output_item.done", output_index=place, item=search))
        return b"".join(out)

    def delta(self, delta: Delta, beside: Extras) -> bytes:
        """What a delta makes; `beside` is what its wire has besides. Other choices than the first are passed over."""
        if delta.index:
            return b""
        out: list[bytes] = []
        text = beside.text if beside.refusal else delta.text
        if delta.citations and not text:  # of the text in the delta before
            self._cite(delta.citations, out)
        self._let_go(out)
        if beside.thought:
            self._write(ReasoningText(""), beside.thought, [], out)
        if text or beside.logprobs:
            self._write(OutputText(""), text, beside.logprobs, out)
            self._cite(delta.citations if text else (), out)
        if beside.refusal:
            self._write(Refusal(""), beside.refusal, [], out)
        self._held = delta.tool_calls
        if not text:
            self._let_go(out)
        return b"".join(out)

    def finish(self, finish_reason: str, usage: Usage | None, reasoning_tokens: int = 0) -> bytes:
        """The events that close what is open. An answer that the model ended early is incomplete, and says why."""
        out: list[bytes] = []
        self._let_go(out)
        response = self.response
        if not any(isinstance(item, OutputMessage | FunctionCall) for item in response.output):
            self._part(OutputText(""), out)
        if finish_reason == "length":
            response.incomplete_details = IncompleteDetails("max_output_tokens")
        elif finish_reason == "content_filter":
            response.incomplete_details = IncompleteDetails("content_filter")
        response.status = "incomplete" if response.incomplete_details else "completed"
        self._close_all(response.status, out)
        response.usage = usage_of(usage, reasoning_tokens)
        response.completed_at = int(time.time()) if response.status == "completed" else None
        return b"".join(out)

    def fail(self, error: RungwiseError) -> bytes:
        """The same where the model broke off, as far as it came; then the error."""
        out: list[bytes] = []
        self._close_all("incomplete", out)
        self.response.status = "failed"
        self.response.error = response_error(error)
        payload = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
        # Flat as openai-python's type has it, nested as OpenAI sends it and as its clients notice it.
        out.append(self._event("error", code=error.code, message=error.message, param=error.param, error=payload))
        return b"".join(out)

    def end(self) -> bytes:
        """The last event, which has the whole response; after `finish` or `fail`."""
        return self._snapshot(f"response.{self.response.status}")

    def sync(self) -> Response:
        """The response with what is being written."""
        if self._open:
            self._open.sync()
        for call in self._calls.values():
            call.sync()
        return self.response

    def _write(self, part: _Part, piece: str, logprobs: list[Logprob], out: list[bytes]) -> None:
        """More text of the kind of `part`, in a part of its own unless one is open."""
        had = self._open
        now = had if had is not None and type(had.part) is type(part) else self._part(part, out)
        now.pieces.append(piece)
        more: dict[str, object] = {"delta": piece}
        if isinstance(now.part, OutputText):
            now.part.logprobs += logprobs
            more["logprobs"] = logprobs
        if not isinstance(now.part, ReasoningText):
            self._chars += len(piece)
        if self._obfuscate:
            more["obfuscation"] = secrets.token_hex(_PAD)[: _PAD - len(piece.encode()) % _PAD]
        out.append(self._of_part("delta", now, **more))

    def _part(self, part: _Part, out: list[bytes]) -> _Open:
        """Begin a part: in the message that is open, if it belongs to one, else in an item of its own."""
        had = self._open
        if had is not None and isinstance(had.item, OutputMessage) and not isinstance(part, ReasoningText):
            self._close_part("completed", out)
            item: OutputMessage | Reasoning = had.item
            place = had.place
        else:
            self._close_item("completed", out)
            place = len(self.response.output)
            if isinstance(part, ReasoningText):
                item = Reasoning(item_id("rs", self.response.id, place), "in_progress", [])
            else:
                item = OutputMessage(item_id("msg", self.response.id, place), "in_progress", [])
            self._add(item)
            out.append(self._event("response.output_item.added", output_index=place, item=item))
        now = self._open = _Open(part, item, place, len(item.content), self._chars)
        out.append(self._content("added", now))
        item.content.append(part)  # type: ignore[arg-type]  # the part is of the item's kind
        return now

    def _cite(self, citations: tuple[Citation, ...], out: list[bytes]) -> None:
        for citation in citations:
            now = self._open
            if now is None or not isinstance(now.part, OutputText):
                now = self._part(OutputText(""), out)
            assert isinstance(now.part, OutputText)
            annotation = self.annotator.annotation(citation, now.base)
            index = len(now.part.annotations)
            now.part.annotations.append(annotation)
            more = {"annotation_index": index, "annotation": annotation}
            out.append(self._of_part("annotation.added", now, **more))

    def _let_go(self, out: list[bytes]) -> None:
        """The calls that came with a text: held until its citations, which may come in the next delta, have."""
        held, self._held = self._held, ()
        if held:
            self._close_item("completed", out)
        for piece in held:
            call = self._calls.get(piece.index)
            if call is None:
                place = len(self.response.output)
                item = FunctionCall(
                    item_id("fc", self.response.id, place),
                    "in_progress",
                    piece.id or item_id("call", self.response.id, place),
                    piece.name,
                    "",
                )
                call = self._calls[piece.index] = _Call(item, self._add(item))
                out.append(self._event("response.output_item.added", output_index=place, item=item))
            call.item.name = call.item.name or piece.name
            if piece.arguments:
                call.pieces.append(piece.arguments)
                more = {"output_index": call.place, "item_id": call.item.id, "delta": piece.arguments}
                out.append(self._event("response.function_call_arguments.delta", **more))

    def _close_all(self, status: ItemStatus, out: list[bytes]) -> None:
        self._let_go(out)
        for call in self._calls.values():
            call.sync()
            call.item.status = status
            where = {"output_index": call.place, "item_id": call.item.id}
            more = {"name": call.item.name, "arguments": call.item.arguments}
            out.append(self._event("response.function_call_arguments.done", **where, **more))
            out.append(self._event("response.output_item.done", output_index=call.place, item=call.item))
        self._close_item(status, out)

    def _close_item(self, status: ItemStatus, out: list[bytes]) -> None:
        now = self._open
        if now is None:
            return
        self._close_part(status, out)
        now.item.status = status
        out.append(self._event("response.output_item.done", output_index=now.place, item=now.item))

    def _close_part(self, status: ItemStatus, out: list[bytes]) -> None:
        now, self._open = self._open, None
        assert now is not None
        now.sync()
        if isinstance(now.part, OutputText):
            out.append(self._of_part("done", now, text=now.part.text, logprobs=now.part.logprobs))
        elif isinstance(now.part, Refusal):
            out.append(self._of_part("done", now, refusal=now.part.refusal))
        else:
            out.append(self._of_part("done", now, text=now.part.text))
        out.append(self._content("done", now))

    def _add(self, item: Item) -> int:
        self.response.output.append(item)
        return len(self.response.output) - 1

    def _of_part(self, what: str, now: _Open, **fields: object) -> bytes:
        return self._event(
            f"{_NAMES[type(now.part)]}.{what}",
            item_id=now.item.id,
            output_index=now.place,
            content_index=now.content_index,
            **fields,
        )

    def _content(self, what: str, now: _Open) -> bytes:
        return self._event(
            f"response.content_part.{what}",
            item_id=now.item.id,
            output_index=now.place,
            content_index=now.content_index,
            part=now.part,
        )

    def _snapshot(self, name: str) -> bytes:
        return self._event(name, response=self.response)

    def _event(self, name: str, /, **fields: object) -> bytes:
        self._number += 1
        return event(name, self._number - 1, **fields)
