"""One question through the house. The way of a request, in eight steps, each a line of `Engine.chat` or `Answer`:

1. find the workload (or the pinned candidate) that the client asked for as `model`;
2. understand the question: the query that stands alone, the features asked for, whether a program asks;
3. retrieve passages that the caller may read;
4. route: choose a candidate;
5. compose the prompt: the candidate's system text, the passages as data;
6. call the model and wait for its first delta, so that a failure before it is still an honest HTTP error;
7. pass deltas on, adding citations as their markers appear;
8. log what was asked, found, chosen, answered and spent, whatever the outcome.

The engine knows protocols only. Online requests, the page and batch jobs all come through here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType

from msgspec import Struct
from msgspec.structs import replace

from rungwise_server.citing import Citer
from rungwise_server.errors import NotFound, RungwiseError, StreamBroken, UpstreamError
from rungwise_server.prompt import Prompt, compose
from rungwise_server.protocols import ChatModel, InferenceLog, Retriever, Router
from rungwise_server.question import features, is_housekeeping, search_query
from rungwise_server.types import (
    Caller,
    ChatRequest,
    Choice,
    Citation,
    Delta,
    Inference,
    Outcome,
    Passage,
    Price,
    Question,
    Route,
    ToolCall,
    Usage,
)


class Candidate(Struct, frozen=True):
    """A model with a prompt. `generates` is False for a model that only picks from passages."""

    name: str
    model: ChatModel
    prompt: Prompt | None = None
    price: Price | None = None
    generates: bool = True


class Workload(Struct, frozen=True):
    """A use case. Without a retriever nothing is searched and the client's messages go to the model as they are."""

    name: str
    router: Router
    candidates: tuple[str, ...]
    prompt: Prompt | None = None
    retriever: Retriever | None = None
    passages: int = 6


class Engine:
    """Answers questions.

    Args:
        workloads: by the name that clients ask for; the first is the default.
        candidates: every candidate of every workload.
        pins: for each candidate, the router that always chooses it and the workload whose prompt and passages it gets.
        log: where each answer goes.
        observe: called with each inference as it is logged (metrics).
    """

    def __init__(
        self,
        workloads: Mapping[str, Workload],
        candidates: Mapping[str, Candidate],
        pins: Mapping[str, tuple[Router, Workload]],
        log: InferenceLog,
        observe: Callable[[Inference], None] = lambda _: None,
    ) -> None:
        self.workloads = workloads
        self.candidates = candidates
        self._pins = pins
        self.log = log
        self._observe = observe

    def models(self) -> list[str]:
        """What a client may ask for: workloads first, then candidates."""
        return [*self.workloads, *(name for name in self.candidates if name not in self.workloads)]

    async def chat(self, request: ChatRequest, caller: Caller, surface: str = "chat") -> "Answer":
        """Take `request` through steps 1 to 6; the Answer then yields its deltas.

        Raises:
            NotFound: no such model. Nothing is logged.
            RungwiseError: whatever failed before the first delta; logged as `failed`.
        """
        router, workload = self._find(request.model)
        question = Question(
            workload.name,
            caller,
            request.messages,
            search_query(request.messages),
            features(request.messages, request.params),
            is_housekeeping(request.messages),
        )
        answer = Answer(self, request, question, surface)
        try:
            retriever = None if question.housekeeping else workload.retriever
            passages = None
            if retriever is not None and question.query:
                passages = await retriever.retrieve(question.query, caller, workload.passages)
                answer.passages = tuple(passages)
            answer.route = await router.route(question, answer.passages)
            candidate = self.candidates[answer.route.candidate]
            prompt = None if question.housekeeping else candidate.prompt or workload.prompt
            asked = request
            if prompt is not None or passages is not None:
                messages = compose(prompt, request.messages, passages) if candidate.generates else request.messages
                asked = replace(request, messages=messages, query=question.query, passages=answer.passages)
            answer.prompt = prompt if candidate.generates else None
            await answer.start(candidate.model.stream(asked), candidate.name)
        except asyncio.CancelledError:
            await answer.finish("cancelled", "the caller left before the first byte")
            raise
        except RungwiseError as error:
            await answer.finish("failed", error.message)
            raise
        except BaseException as error:
            await answer.finish("failed", repr(error))
            raise
        return answer

    def _find(self, model: str) -> tuple[Router, Workload]:
        if workload := self.workloads.get(model):
            return workload.router, workload
        if pin := self._pins.get(model):
            return pin
        known = ", ".join(self.models())
        raise NotFound(f"The model {model!r} does not exist. There are: {known}", param="model", code="model_not_found")

    async def record(self, inference: Inference) -> None:
        """Step 8."""
        await self.log.append(inference)
        self._observe(inference)

    def cost(self, candidate: str, usage: Usage | None) -> float | None:
        """What `usage` cost at `candidate`, None where the price or the usage is not known."""
        price = self.candidates[candidate].price if candidate in self.candidates else None
        return price.of(usage) if price and usage else None


class _Draft:
    """One choice of an answer as it grows."""

    __slots__ = ("calls", "finish", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: dict[int, ToolCall] = {}
        self.finish = ""

    def add(self, delta: Delta) -> None:
        if delta.text:
            self.texts.append(delta.text)
        if delta.finish_reason:
            self.finish = delta.finish_reason
        for call in delta.tool_calls:
            had = self.calls.get(call.index)
            self.calls[call.index] = (
                replace(had, arguments=had.arguments + call.arguments, name=had.name or call.name) if had else call
            )


class Answer:
    """The answer to one request: an async iterator of deltas that logs itself when it ends, in whichever way.

    Use it as an async context manager; leaving it early aborts the model and logs `cancelled`.
    """

    def __init__(self, engine: Engine, request: ChatRequest, question: Question, surface: str) -> None:
        self._engine = engine
        self._request = request
        self._question = question
        self._surface = surface
        self._began = time.perf_counter()
        self._at = time.time()
        self._drafts = {0: _Draft()}
        self._first_ms = 0.0
        self._logged = False
        self._deltas: AsyncIterator[Delta] | None = None
        self._first: Delta | None = None
        self.id = request.id
        self.model = ""
        self.passages: tuple[Passage, ...] = ()
        self.citations: list[Citation] = []
        self.usage: Usage | None = None
        self.route: Route | None = None
        self.prompt: Prompt | None = None
        self.candidate = ""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What was said so far, put together, by choice."""
        drafts = (draft for _, draft in sorted(self._drafts.items()))
        return tuple(
            Choice("".join(d.texts), tuple(d.calls.values()), d.finish)
            for d in drafts
            if d.texts or d.calls or d.finish
        )

    async def start(self, deltas: AsyncIterator[Delta], candidate: str) -> None:
        """Step 6: wait for the first delta."""
        self._deltas = deltas
        self.candidate = candidate
        try:
            self._first = await anext(deltas)
        except StopAsyncIteration:
            raise UpstreamError(f"The model behind {candidate!r} ended without an answer.") from None
        self._first_ms = (time.perf_counter() - self._began) * 1000
        self.model = self._first.model
        self.candidate = self._first.candidate or candidate

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Steps 7 and 8. The log has the answer before the last delta's consumer learns that it was the last."""
        assert self._first is not None
        assert self._deltas is not None
        citer = Citer(self.passages) if self.passages else None
        try:
            for delta in self._took(self._first, citer):
                yield delta
            async for delta in self._deltas:
                for out in self._took(delta, citer):
                    yield out
        except RungwiseError as error:
            await self.finish("broken", error.message)
            raise error if isinstance(error, StreamBroken) else StreamBroken(error.message) from error
        await self.finish("ok")

    def _took(self, delta: Delta, citer: Citer | None) -> tuple[Delta, ...]:
        draft = self._drafts.get(delta.index)
        if draft is None:
            draft = self._drafts[delta.index] = _Draft()
        draft.add(delta)
        if delta.usage is not None:
            self.usage = delta.usage
        if citer is None or delta.index or not delta.text:
            return (delta,)
        if delta.citations:
            self.citations += delta.citations
            return (delta,)
        found = citer.feed(delta.text)
        if not found:
            return (delta,)
        self.citations += found
        if not self._request.stream or not delta.wire:
            return (replace(delta, citations=found),)
        # The wire goes out as it came; the citations follow in an event of their own.
        return (delta, Delta(citations=found))

    async def finish(self, outcome: Outcome, error: str = "") -> None:
        """Step 8, once: what comes after the first call changes nothing."""
        if self._logged:
            return
        self._logged = True
        request, question = self._request, self._question
        await self._engine.record(
            Inference(
                id=request.id,
                at=self._at,
                surface=self._surface,
                workload=question.workload,
                caller=question.caller,
                messages=request.messages,
                params=request.params,
                query=question.query,
                passages=self.passages,
                route=self.route,
                candidate=self.candidate,
                model=self.model,
                prompt=self.prompt.id if self.prompt else "",
                choices=self.choices,
                citations=tuple(self.citations),
                outcome=outcome,
                error=error,
                usage=self.usage,
                cost=self._engine.cost(self.candidate, self.usage),
                first_ms=self._first_ms,
                total_ms=(time.perf_counter() - self._began) * 1000,
                housekeeping=question.housekeeping,
            )
        )

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._logged:
            # Shielded: a caller who left must not cancel the row that says so.
            await asyncio.shield(self._close())

    async def _close(self) -> None:
        close = getattr(self._deltas, "aclose", None)
        if close is not None:
            await close()
        await self.finish("cancelled", "the caller left")
