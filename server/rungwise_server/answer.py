"""One answer on its way out: put together, cited and logged as its deltas pass."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType

from msgspec.structs import replace

from rungwise_server.citing import Citer
from rungwise_server.errors import RungwiseError, StreamBroken, UpstreamError
from rungwise_server.prompt import Prompt
from rungwise_server.records import Choice, Inference, Outcome
from rungwise_server.types import ChatRequest, Citation, Delta, Passage, Question, Route, ToolCall, Usage, new_id


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

    def __init__(
        self,
        request: ChatRequest,
        question: Question,
        surface: str,
        record: Callable[[Inference], Awaitable[None]],
        cost: Callable[[str, Usage | None], float | None],
        beside: str = "",
    ) -> None:
        """`record` takes the row; `cost` prices a candidate's usage, None where that is not known. `beside`: see
        Inference.
        """
        self._beside = beside
        self._beside_cost: float | None = 0.0
        self._paid = False
        self._record = record
        self._cost = cost
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
        self.query = question.query
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

    @property
    def cost(self) -> float | None:
        """What it cost so far, its drafts included; None where that is not known."""
        own = self._cost(self.candidate, self.usage)
        if self._beside_cost == 0.0 or (own is None and self.usage is not None):
            return own
        return None if self._beside_cost is None else self._beside_cost + (own or 0.0)

    def draft(self, candidate: str) -> "Answer":
        """An answer of `candidate` to the same question that nobody may be given: it is held, and logged apart."""
        request = replace(self._request, id=new_id("draft"))
        draft = Answer(request, self._question, "draft", self._record, self._cost, self.id)
        draft.route, draft.passages, draft.candidate = self.route, self.passages, candidate
        return draft

    async def hold(self, deltas: AsyncIterator[Delta]) -> tuple[Delta, ...]:
        """All of an answer at once, not logged yet. Raises what the model raises, before its first delta or after."""
        await self.start(deltas, self.candidate)
        assert self._first is not None
        held = [self._first]
        held += [delta async for delta in deltas]
        citer = Citer(self.passages) if self.passages else None
        for delta in held:
            self._took(delta, citer)
        return tuple(held)

    def pay(self, draft: "Answer") -> None:
        """A draft of this answer was for nothing: this one costs so much more, and the draft's own row nothing, so that
        no sum has it twice.
        """
        cost = draft.cost
        draft._paid = True
        self._beside_cost = None if self._beside_cost is None or cost is None else self._beside_cost + cost

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
        await self._record(
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
                cost=0.0 if self._paid else self.cost,
                first_ms=self._first_ms,
                total_ms=(time.perf_counter() - self._began) * 1000,
                housekeeping=question.housekeeping,
                beside=self._beside,
            )
        )

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._logged:
            # Shielded: a caller who left must not cancel the row that says so.
            await asyncio.shield(self.leave())

    async def leave(self) -> None:
        """Abort the model, and log that the caller left."""
        close = getattr(self._deltas, "aclose", None)
        if close is not None:
            await close()
        await self.finish("cancelled", "the caller left")
