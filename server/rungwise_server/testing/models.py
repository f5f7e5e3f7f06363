"""A scripted `ChatModel`, and the contract suite that every `ChatModel` passes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import msgspec
import pytest
from msgspec import Raw

from rungwise_server.errors import RungwiseError, StreamBroken, UpstreamError
from rungwise_server.protocols import ChatModel
from rungwise_server.types import ChatRequest, Delta, Message, ToolCall, Usage


def chat_request(
    text: str = "hello", *, id: str = "chatcmpl-1", stream: bool = False, model: str = "default", **params: object
) -> ChatRequest:
    """One user message as a request; `params` are the client's other fields."""
    raw = Raw(msgspec.json.encode({"role": "user", "content": text}))
    return ChatRequest(
        id=id,
        model=model,
        messages=(Message(role="user", text=text, raw=raw),),
        params={name: Raw(msgspec.json.encode(value)) for name, value in params.items()},
        stream=stream,
        query=text,
    )


class ScriptedModel:
    """A `ChatModel` in the process. It yields `script` in order: a text is a Delta, an error is raised where it stands,
    a number is a wait in seconds; a finish_reason and usage are added at the end where the script does not say them.

    `requests` are those that it got; `closed` counts the streams that were left before their end.
    """

    def __init__(self, script: Sequence[str | float | Delta | RungwiseError] = (), *, model: str = "scripted") -> None:
        self.script = tuple(script)
        self.model = model
        self.requests: list[ChatRequest] = []
        self.closed = 0

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The script; with an empty one, the last message's text."""
        self.requests.append(request)
        finished, first, words = False, True, 0
        done = False
        try:
            for step in self.script or (request.messages[-1].text,):
                if isinstance(step, RungwiseError):
                    done = True
                    raise step
                if isinstance(step, int | float):
                    await asyncio.sleep(step)
                    continue
                delta = Delta(text=step) if isinstance(step, str) else step
                words += len(delta.text.split())
                finished = finished or bool(delta.finish_reason)
                yield msgspec.structs.replace(delta, model=delta.model or self.model) if first else delta
                first = False
            if not finished:
                read = sum(len(message.text.split()) for message in request.messages)
                usage = Usage(input_tokens=read, output_tokens=words)
                yield Delta(finish_reason="stop", usage=usage, model=self.model if first else "")
            done = True
        finally:
            self.closed += not done


async def collect(model: ChatModel, request: ChatRequest, into: list[Delta] | None = None) -> list[Delta]:
    """All deltas of one call. `into` keeps those that came before an error."""
    deltas = [] if into is None else into
    async for delta in model.stream(request):
        deltas.append(delta)
    return deltas


class ChatModelContract:
    """Subclass it and override the fixtures; each model in them answers as its name says.

    `echo`: the last user message, n times where the request says `n`. `caller`: one tool call, `lookup` with
    `{"q": "x"}`. `failing`: an error before the first delta. `breaking`: some text, then a failure. `slow`: a first
    word, then nothing for a long time; `left` tells whether the latest call of `slow` was given up by its client.
    """

    @pytest.fixture
    def echo(self) -> ChatModel:
        """Answers with the last user message."""
        raise NotImplementedError

    @pytest.fixture
    def caller(self) -> ChatModel:
        """Calls `lookup`."""
        raise NotImplementedError

    @pytest.fixture
    def failing(self) -> ChatModel:
        """Fails before its first delta."""
        raise NotImplementedError

    @pytest.fixture
    def breaking(self) -> ChatModel:
        """Fails after its first delta."""
        raise NotImplementedError

    @pytest.fixture
    def slow(self) -> ChatModel:
        """Says a word and hangs."""
        raise NotImplementedError

    async def left(self) -> bool:
        """Whether the provider behind `slow` has seen its client leave, within a second."""
        raise NotImplementedError

    @pytest.mark.parametrize("stream", [False, True])
    async def test_answers(self, echo: ChatModel, stream: bool) -> None:
        """Text, one finish_reason, usage, and the model's name on the first delta."""
        deltas = await collect(echo, chat_request("hello big world", stream=stream))
        assert "".join(delta.text for delta in deltas) == "hello big world"
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
        usages = [delta.usage for delta in deltas if delta.usage is not None]
        assert len(usages) == 1
        assert usages[0].output_tokens > 0
        assert deltas[0].model
        assert all(delta.index == 0 for delta in deltas)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_wire_is_openais_with_our_id(self, echo: ChatModel, stream: bool) -> None:
        """A wire, where there is one, is whole JSON or whole events, carries our id, and never `[DONE]`."""
        request = chat_request("hello big world", stream=stream, id="chatcmpl-ours")
        wire = b"".join([delta.wire for delta in await collect(echo, request)])
        if not wire:
            return
        if stream:
            assert wire.endswith(b"\n\n")
            events = wire[:-2].split(b"\n\n")
            bodies = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
        else:
            bodies = [msgspec.json.decode(wire)]
        assert {body["id"] for body in bodies} == {"chatcmpl-ours"}
        part = "delta" if stream else "message"
        said = "".join(choice[part].get("content") or "" for body in bodies for choice in body["choices"])
        assert said == "hello big world"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_tool_calls(self, caller: ChatModel, stream: bool) -> None:
        """The pieces of a call, put together by index, are the call."""
        tool = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
        deltas = await collect(caller, chat_request(stream=stream, tools=[tool]))
        pieces = [call for delta in deltas for call in delta.tool_calls]
        assert {piece.index for piece in pieces} == {0}
        whole = ToolCall(
            index=0,
            id="".join(piece.id for piece in pieces),
            name="".join(piece.name for piece in pieces),
            arguments="".join(piece.arguments for piece in pieces),
        )
        assert whole.id
        assert whole.name == "lookup"
        assert msgspec.json.decode(whole.arguments) == {"q": "x"}
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_failure_before_the_first_delta(self, failing: ChatModel, stream: bool) -> None:
        """UpstreamError, with something to read."""
        with pytest.raises(UpstreamError) as caught:
            await collect(failing, chat_request(stream=stream))
        assert caught.value.message

    async def test_failure_after_the_first_delta(self, breaking: ChatModel) -> None:
        """What came is delivered; then StreamBroken."""
        came: list[Delta] = []
        with pytest.raises(StreamBroken):
            await collect(breaking, chat_request(stream=True), came)
        assert "".join(delta.text for delta in came)

    async def test_closing_aborts(self, slow: ChatModel) -> None:
        """`aclose` after the first text lets go of the call."""
        stream = slow.stream(chat_request(stream=True))
        async with aclosing(stream):  # type: ignore[type-var]
            async for delta in stream:
                if delta.text:
                    break
        assert await self.left()

    async def test_cancelling_aborts(self, slow: ChatModel) -> None:
        """So does cancelling the task that waits."""
        began = asyncio.Event()

        async def consume() -> None:
            async for delta in slow.stream(chat_request(stream=True)):
                if delta.text:
                    began.set()

        task = asyncio.create_task(consume())
        await asyncio.wait_for(began.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await self.left()
