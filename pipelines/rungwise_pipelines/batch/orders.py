"""Lines whose words are generated elsewhere, many at a time, in place of a candidate's URL.

The engine is asked twice. First with the candidate's model replaced by one that only notes what it is asked: what was
retrieved and routed, and the prompt, become an `Order`. When the words are there, an engine that finds those passages,
takes that route and has those words for a model answers the line: its body, its citations and its row in the log are
those of any answer, but for the times in it, which are of the second asking.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_pipelines.batch.lines import Line
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import BadRequest, RungwiseError, UpstreamError
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import ChatModel, InferenceLog
from rungwise_server.records import Inference, LogQuery, LogRecord, Total
from rungwise_server.types import Caller, ChatRequest, Delta, Message, Passage, Question, Route, Usage

Turns = Sequence[Mapping[str, str]]
"""A conversation: `role` and `content` of each message."""

Reader = Callable[[Turns], "str | list[int]"]
"""Makes of a conversation what a model reads: a prompt, or its token ids. Raises ValueError for one that it cannot."""


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a request's fields decides which words come, by the names and with the defaults of vLLM's own."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int | None = None
    min_tokens: int = 0
    stop: list[str] = []
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    ignore_eos: bool = False


class Order(Struct, frozen=True):
    """A line that waits for its words. `model` is what its client asked for; `prompt` what the model reads."""

    line: Line
    model: str
    workload: str
    route: Route
    passages: tuple[Passage, ...]
    prompt: str | list[int]
    sampling: Sampling


class Words(Struct, frozen=True):
    """What a model said to an order; or, where `error` is not empty, why it did not."""

    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    error: str = ""


class Ordered(RungwiseError):
    """Raised through the engine in place of an answer. `prompt` and `sampling` come from the model, the rest from the
    row that the log would have had.
    """

    status = 400  # of no attempt more

    def __init__(self, request: ChatRequest, prompt: str | list[int], sampling: Sampling) -> None:
        super().__init__("its words are generated elsewhere")
        self._request, self._prompt, self._sampling = request, prompt, sampling
        self.row: Inference | None = None

    def of(self, line: Line) -> Order:
        """The order for a line."""
        row = self.row
        assert row is not None
        assert row.route is not None
        return Order(line, self._request.model, row.workload, row.route, row.passages, self._prompt, self._sampling)


class Noting:
    """A ChatModel that raises Ordered, and BadRequest for what a processor of orders cannot do. `params` fill fields
    that the client left open, as they do for a model behind a URL.
    """

    def __init__(self, read: Reader, params: Mapping[str, str | int | float | bool], log: "Sieve") -> None:
        self._read, self._log = read, log
        self._params = {name: Raw(msgspec.json.encode(value)) for name, value in params.items()}

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Never yields."""
        sampling = read_sampling({**self._params, **_given(request.params)})
        try:
            prompt = self._read(_turns(request.messages))
        except ValueError as error:
            raise BadRequest(f"The model's chat template does not take these messages: {error}") from None
        ordered = Ordered(request, prompt, sampling)
        self._log.waiting[request.id] = ordered
        raise ordered
        yield  # type: ignore[unreachable]


class Refusing:
    """A ChatModel for requests that no order can be made of."""

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Never yields."""
        raise BadRequest("A line with several prompts cannot be generated this way: give each prompt its own line.")
        yield  # type: ignore[unreachable]


class Sieve:
    """An InferenceLog before another, that keeps back the rows of what is only ordered."""

    def __init__(self, log: InferenceLog) -> None:
        self._log = log
        self.waiting: dict[str, Ordered] = {}

    async def append(self, record: LogRecord) -> None:
        """See InferenceLog."""
        ordered = self.waiting.pop(record.id, None)
        if ordered is not None and isinstance(record, Inference):
            ordered.row = record
        else:
            await self._log.append(record)

    def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """See InferenceLog."""
        return self._log.read(query)

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """See InferenceLog."""
        return await self._log.totals(query)


def with_model(engine: Engine, candidate: str, model: ChatModel) -> Engine:
    """`engine` itself, with another model behind `candidate`. That one's fallbacks are not asked."""
    engine.candidates = {**engine.candidates, candidate: replace(engine.candidates[candidate], model=model)}
    return engine


def answering(engine: Engine, order: Order, words: Words, model: str, grounding: Prompt) -> Engine:
    """An engine that answers the line of `order` with `words`, as said by `model`. It has the workloads, candidates and
    log of `engine`. `grounding` is that engine's own.
    """
    found = _Found(order.passages)
    home = engine.workloads[order.workload]
    workload = replace(home, router=_Chosen(order.route), retriever=found if home.retriever else None)
    chosen: Candidate = replace(
        engine.candidates[order.route.candidate], model=Saying(words, model, order.sampling.max_tokens)
    )
    workloads: dict[str, Workload] = {workload.name: workload}
    return Engine(
        workloads,
        {chosen.name: chosen},
        {order.model: (workload.router, workload)},
        engine.log,
        searcher=lambda _: found,
        grounding=grounding,
    )


class Saying:
    """A ChatModel with words that are there already."""

    def __init__(self, words: Words, model: str, max_tokens: int | None) -> None:
        self._words, self._model, self._max_tokens = words, model, max_tokens

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The words, in one piece. Raises UpstreamError where there are none."""
        said = self._words
        if said.error:
            raise UpstreamError(f"the model {self._model!r} failed: {said.error}")
        full = self._max_tokens is not None and said.output_tokens >= self._max_tokens
        usage = Usage(said.input_tokens, said.output_tokens)
        yield Delta(said.text, finish_reason="length" if full else "stop", usage=usage, model=self._model)


class _Chosen:
    def __init__(self, route: Route) -> None:
        self._route = route

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        return self._route


class _Found:
    def __init__(self, passages: tuple[Passage, ...]) -> None:
        self._passages = passages

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        return list(self._passages)


_WITHOUT_EFFECT = frozenset(
    "stream stream_options store metadata user safety_identifier prompt_cache_key prompt_cache_retention service_tier "
    "parallel_tool_calls".split()
)
"""Fields that change nothing of the words that come, or nothing that a model without tools could change."""

_NEUTRAL = {
    "n": (b"1",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "tools": (b"[]",),
    "tool_choice": (b'"none"', b'"auto"'),
    "response_format": (b'{"type":"text"}',),
    "logit_bias": (b"{}",),
    "best_of": (b"1",),
}
"""Fields that ask for more than words, and the values with which they do not."""

_ONE_STOP = msgspec.json.Decoder(str | list[str])


def read_sampling(params: Mapping[str, Raw]) -> Sampling:
    """The sampling that a request's fields ask for.

    Raises:
        BadRequest: a field has a wrong value, or asks for something that a processor of orders does not do.
    """
    fields: dict[str, object] = {}
    for name, raw in params.items():
        if name in _WITHOUT_EFFECT or bytes(raw) == b"null":
            continue
        if name in ("max_tokens", "max_completion_tokens"):
            fields["max_tokens"] = raw
        elif name == "stop":
            fields["stop"] = _stop(raw)
        elif name in Sampling.__struct_fields__:
            fields[name] = raw
        elif bytes(raw).replace(b" ", b"") not in _NEUTRAL.get(name, ()):
            raise BadRequest(f"{name!r} cannot be had where Ray's vLLM generates: leave it out.", param=name)
    try:
        return msgspec.json.decode(msgspec.json.encode(fields), type=Sampling)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid value: {error}.") from None


def _stop(raw: Raw) -> list[str]:
    try:
        given = _ONE_STOP.decode(raw)
    except msgspec.ValidationError:
        raise BadRequest("Invalid type for 'stop': expected a string or a list of strings.", param="stop") from None
    return [given] if isinstance(given, str) else given


def _given(params: Mapping[str, Raw]) -> Mapping[str, Raw]:
    """What the client set. The limit of tokens has two names: whichever it used stands for both."""
    given = {name: raw for name, raw in params.items() if bytes(raw) != b"null"}
    if "max_completion_tokens" in given:
        given["max_tokens"] = given.pop("max_completion_tokens")
    return given


class _Part(Struct):
    type: str = ""


class _Content(Struct):
    content: str | list[_Part] | None = None
    tool_calls: list[Raw] | None = None


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    for at, message in enumerate(messages):
        try:
            said = msgspec.json.decode(message.raw, type=_Content)
        except msgspec.ValidationError:
            said = _Content(tool_calls=[Raw(b"{}")])
        parts = said.content if isinstance(said.content, list) else []
        if message.role == "tool" or said.tool_calls or any(part.type != "text" for part in parts):
            what = "Only text can be had where Ray's vLLM generates: no tools, images, audio or files."
            raise BadRequest(what, param=f"messages[{at}]")
    if not messages or messages[-1].role != "user":
        raise BadRequest("Where Ray's vLLM generates, the last message must be the user's.", param="messages")
    return [{"role": message.role, "content": message.text} for message in messages]
