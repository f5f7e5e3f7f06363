"""`POST /v1/completions`: OpenAI's legacy wire, for clients that know no other.

A prompt becomes a user message, so retrieval, routing, permissions and the log hold as for chat. Several prompts are
several inferences of one response: the first has its id, the others that id with `-1`, `-2` … after it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from msgspec import UNSET, UnsetType

from rungwise_server.answer import Answer
from rungwise_server.api.chat.surface import DONE
from rungwise_server.api.chat.wire import Annotation, annotations
from rungwise_server.api.completions.wire import Ask, Choice, Writer, read_ask, read_logprobs
from rungwise_server.api.errors import error_body
from rungwise_server.api.surface import Asked, Reply, collect, told_in_stream
from rungwise_server.engine import Engine
from rungwise_server.errors import RungwiseError
from rungwise_server.types import Caller, ChatRequest, Citation, Delta, Usage

_AT_ONCE = 8  # prompts of one request that are with a model at the same time


class Completions:
    """The surface."""

    name = "completions"
    prefix = "cmpl"

    def __init__(self, engine: Engine) -> None:
        """`engine` answers the prompts of a request that has several; one alone takes the usual way."""
        self._engine = engine

    async def read(self, asked: Asked) -> "CompletionExchange | Reply":
        """See `Surface`."""
        ask = read_ask(asked.body)
        writer = Writer(asked.id, include_usage=ask.include_usage)
        exchanges = [CompletionExchange(ask, number, asked, writer) for number in range(len(ask.prompts))]
        if len(exchanges) == 1:
            return exchanges[0]
        if ask.stream:
            return Reply(self._one_after_the_other(exchanges, asked.caller))
        return Reply(await self._together(exchanges, asked.caller, writer))

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)

    async def _together(self, exchanges: Sequence["CompletionExchange"], caller: Caller, writer: Writer) -> bytes:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(exchange: CompletionExchange) -> tuple[Answer, bytes]:
            async with turns, await self._engine.chat(exchange.request, caller, self.name) as answer:
                return answer, await collect(answer)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(exchange)) for exchange in exchanges]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        answers = [task.result() for task in tasks]
        choices = [c for e, (answer, wire) in zip(exchanges, answers, strict=True) for c in e.choices(answer, wire)]
        first = answers[0][0]
        return writer.whole(first.model or first.candidate, choices, _sum([answer.usage for answer, _ in answers]))

    async def _one_after_the_other(
        self, exchanges: Sequence["CompletionExchange"], caller: Caller
    ) -> AsyncIterator[bytes]:
        """The streams of all prompts; one that fails before its first delta ends them all."""
        usages: list[Usage | None] = []
        for exchange in exchanges:
            try:
                answer = await self._engine.chat(exchange.request, caller, self.name)
            except RungwiseError as error:
                if exchange is exchanges[0]:
                    raise
                yield b"data: " + error_body(error) + b"\n\n" + DONE
                return
            async with answer:
                if body := exchange.open(answer):
                    yield body
                try:
                    async for delta in answer:
                        if body := exchange.delta(delta):
                            yield body
                except Exception as error:  # the response has begun
                    yield await exchange.broken(answer, await told_in_stream(error, answer))
                    return
                usages.append(answer.usage)
        yield exchanges[0].end(_sum(usages))


class CompletionExchange:
    """One prompt and its answer, `n` choices that follow those of the prompts before it."""

    __slots__ = ("_ask", "_base", "_echo", "_model", "_offsets", "_sources", "_writer", "request")

    def __init__(self, ask: Ask, number: int, asked: Asked, writer: Writer) -> None:
        prompt = ask.prompts[number]
        own_id = f"{asked.id}-{number}" if number else asked.id
        self.request = ChatRequest(own_id, ask.model, ask.messages(number), ask.params, stream=ask.stream)
        self._ask = ask
        self._writer = writer
        self._sources = asked.sources
        self._base = number * ask.n
        self._echo = prompt if ask.echo else ""
        self._offsets: dict[int, int] = {}
        self._model = ""

    def open(self, answer: Answer) -> bytes:
        """The prompt, where it is to be echoed."""
        self._model = answer.model or answer.candidate
        if not self._echo:
            return b""
        indices = range(self._base, self._base + self._ask.n)
        return b"".join([self._writer.chunk(self._model, Choice(index, self._echo)) for index in indices])

    def delta(self, delta: Delta) -> bytes:
        """A chunk, with text, citations or the end of a choice."""
        if not (delta.text or delta.citations or delta.finish_reason):
            return b""
        index = delta.index
        at = self._offsets.get(index, len(self._echo))
        self._offsets[index] = at + len(delta.text)
        logprobs = read_logprobs(delta.wire, at).get(index) if self._ask.logprobs else None
        cited = self._cited(delta.citations)
        finish = delta.finish_reason or None
        return self._writer.chunk(self._model, Choice(self._base + index, delta.text, finish, logprobs, cited))

    async def close(self, answer: Answer) -> bytes:
        """Usage, where it was asked for, and `[DONE]`."""
        return self.end(answer.usage)

    async def broken(self, answer: Answer, error: RungwiseError) -> bytes:
        """The error, and `[DONE]`."""
        return b"data: " + error_body(error) + b"\n\n" + DONE

    async def whole(self, answer: Answer, wire: bytes) -> bytes:
        """A `text_completion`."""
        return self._writer.whole(answer.model or answer.candidate, self.choices(answer, wire), answer.usage)

    def end(self, usage: Usage | None) -> bytes:
        """The last events of a stream."""
        return (self._writer.usage(self._model, usage) if self._ask.include_usage and usage else b"") + DONE

    def choices(self, answer: Answer, wire: bytes) -> list[Choice]:
        """The choices of a whole answer."""
        logprobs = read_logprobs(wire, len(self._echo)) if self._ask.logprobs else {}
        cited = self._cited(answer.citations)
        return [
            Choice(
                self._base + index,
                self._echo + choice.text,
                choice.finish_reason or "stop",
                logprobs.get(index),
                cited if index == 0 else UNSET,
            )
            for index, choice in enumerate(answer.choices)
        ]

    def _cited(self, citations: Sequence[Citation]) -> list[Annotation] | UnsetType:
        return annotations(citations, self._sources, len(self._echo)) or UNSET


def _sum(usages: Sequence[Usage | None]) -> Usage | None:
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return Usage(
        sum(usage.input_tokens for usage in known),
        sum(usage.output_tokens for usage in known),
        sum(usage.cached_tokens for usage in known),
    )
