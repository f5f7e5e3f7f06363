"""One question through the house. The way of a request, in eight steps, each a line of `Engine.chat` or `Answer`:

1. find the workload (or the pinned candidate) that the client asked for as `model`;
2. understand the question: the query that stands alone, the features asked for, whether a program asks;
3. retrieve passages that the caller may read;
4. route: choose a candidate;
5. compose the prompt: the candidate's system text, the passages as data;
6. call the model and wait for its first delta, so that a failure before it is still an honest HTTP error; where the
   route says whom to turn to else, the answer is held back until it is verified (`cascade`);
7. pass deltas on, adding citations as their markers appear;
8. log what was asked, found, chosen, answered and spent, whatever the outcome.

The engine knows protocols only. Online requests, the page and batch jobs all come through here.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.answer import Answer
from rungwise_server.cascade import Call, drafted
from rungwise_server.errors import NotFound, RungwiseError
from rungwise_server.prompt import Prompt, compose
from rungwise_server.protocols import ChatModel, InferenceLog, Retriever, Router, Verifier
from rungwise_server.question import features, is_housekeeping, search_query
from rungwise_server.records import Inference
from rungwise_server.shadow import Shadow
from rungwise_server.types import Caller, ChatRequest, Passage, Price, Question, Search, Usage


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
    verifier: Verifier | None = None
    """Verifies the drafts of a cascade; without one there is none."""
    shadow: Shadow | None = None
    """Answers in silence what others have answered."""


class Engine:
    """Answers questions.

    Args:
        workloads: by the name that clients ask for; the first is the default.
        candidates: every candidate of every workload.
        pins: for each candidate, the router that always chooses it and the workload whose prompt and passages it gets.
        log: where each answer goes.
        searcher: opens what a request wants searched itself, in place of its workload's retriever.
        grounding: how to answer from what such a request has found, where its workload has no prompt.
        observe: called with each inference as it is logged (metrics).
    """

    def __init__(
        self,
        workloads: Mapping[str, Workload],
        candidates: Mapping[str, Candidate],
        pins: Mapping[str, tuple[Router, Workload]],
        log: InferenceLog,
        observe: Callable[[Inference], None] = lambda _: None,
        searcher: Callable[[Search], Retriever] | None = None,
        grounding: Prompt | None = None,
    ) -> None:
        self.workloads = workloads
        self.candidates = candidates
        self._pins = pins
        self.log = log
        self._observe = observe
        self._searcher = searcher
        self._grounding = grounding

    def models(self) -> list[str]:
        """What a client may ask for: workloads first, then candidates."""
        return [*self.workloads, *(name for name in self.candidates if name not in self.workloads)]

    async def chat(self, request: ChatRequest, caller: Caller, surface: str = "chat", beside: str = "") -> Answer:
        """Take `request` through steps 1 to 6; the Answer then yields its deltas. `beside`: see Inference.

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
        # What a client wants searched itself, nobody else could answer from.
        shadow = workload.shadow if request.search is None else None
        answer = Answer(request, question, surface, partial(self._record, shadow), self._cost, beside)
        try:
            passages = await self._retrieve(request.search, question, workload)
            answer.passages = tuple(passages or ())
            answer.route = await router.route(question, answer.passages)
            ask = partial(self._call, request, question, workload, passages)
            if answer.route.then and workload.verifier is not None:
                call = await drafted(answer, request, workload.verifier, workload.name, caller, ask)
            else:
                call = ask(answer.route.candidate)
            answer.prompt = call.prompt
            await answer.start(call.deltas, call.candidate)
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

    def _call(
        self,
        request: ChatRequest,
        question: Question,
        workload: Workload,
        passages: Sequence[Passage] | None,
        name: str,
        params: Mapping[str, Raw] = {},
        whole: bool = False,
    ) -> Call:
        """Step 5, for the candidate `name`. See `cascade.Ask` for the last two."""
        candidate = self.candidates[name]
        fallback = self._grounding if request.search is not None and passages is not None else None
        prompt = None if question.housekeeping else candidate.prompt or workload.prompt or fallback
        asked = request
        if prompt is not None or passages is not None:
            messages = compose(prompt, request.messages, passages) if candidate.generates else request.messages
            asked = replace(request, messages=messages, query=question.query, passages=tuple(passages or ()))
        if params or whole:
            fields = {**asked.params, **params}
            if whole:
                fields.pop("stream_options", None)
            asked = replace(asked, params=fields, stream=asked.stream and not whole)
        return Call(name, prompt if candidate.generates else None, candidate.model.stream(asked))

    async def _retrieve(
        self, search: Search | None, question: Question, workload: Workload
    ) -> Sequence[Passage] | None:
        """Step 3; None where nothing was searched."""
        if not question.query:
            return None
        if search is not None and self._searcher is not None:
            return await self._searcher(search).retrieve(question.query, question.caller, search.limit)
        if question.housekeeping or workload.retriever is None:
            return None
        return await workload.retriever.retrieve(question.query, question.caller, workload.passages)

    def _find(self, model: str) -> tuple[Router, Workload]:
        if workload := self.workloads.get(model):
            return workload.router, workload
        if pin := self._pins.get(model):
            return pin
        known = ", ".join(self.models())
        raise NotFound(f"The model {model!r} does not exist. There are: {known}", param="model", code="model_not_found")

    async def _record(self, shadow: Shadow | None, inference: Inference) -> None:
        await self.log.append(inference)
        self._observe(inference)
        if shadow is not None:
            shadow.follow(inference, self.chat)

    async def close(self) -> None:
        """Give up what answers in silence. Answers of clients end with their own connections."""
        for workload in self.workloads.values():
            if workload.shadow is not None:
                await workload.shadow.close()

    def _cost(self, candidate: str, usage: Usage | None) -> float | None:
        price = self.candidates[candidate].price if candidate in self.candidates else None
        return price.of(usage) if price and usage else None
