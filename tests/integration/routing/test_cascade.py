"""A cascade in front of two real upstreams: what leaves, what is logged, what it costs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import httpx
import msgspec
import pytest
from msgspec import Raw

from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import UpstreamError
from rungwise_server.evals import Answered, Checked
from rungwise_server.judging.verifying import ByEvidence, ByRepeating, ByTokens
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import Verifier
from rungwise_server.records import Inference, LogQuery
from rungwise_server.routing.cascade import Cascade
from rungwise_server.routing.rules import Pinned
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retriever import FixedRetriever, passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.types import Caller, Price, Usage

ALL = frozenset({"tools", "json", "logprobs", "images"})
USAGE = Usage(100, 10)
SMALL, LARGE = Price(1.0, 1.0), Price(10.0, 10.0)
SMALL_COST, LARGE_COST = SMALL.of(USAGE), LARGE.of(USAGE)
PASSAGES = [passage("Annual leave is 25 days for everyone.", "everyone", number=1, title="Handbook")]
GROUNDED = "Annual leave is 25 days."
INVENTED = "Dragons breathe purple fire on Tuesdays."


class Says:
    """A verifier that says what it is told, and keeps what it was asked."""

    def __init__(self, *said: Checked | UpstreamError, params: Mapping[str, Raw] = {}, ready: str = "") -> None:
        self.said = list(said)
        self.params = params
        self.why_not = ready
        self.asked: list[tuple[Answered, Caller]] = []

    async def ready(self, workload: str) -> str:
        return self.why_not

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Callable[[], Awaitable[str]]) -> Checked:
        self.asked.append((draft, caller))
        said = self.said.pop(0)
        if isinstance(said, UpstreamError):
            raise said
        return said


class Waits(Says):
    """One that never comes to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def check(self, draft: Answered, caller: Caller, wire: bytes, again: Callable[[], Awaitable[str]]) -> Checked:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def small() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text=GROUNDED, usage=USAGE)) as fake:
        yield fake


@pytest.fixture
async def large() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text="the strongest says so", usage=USAGE)) as fake:
        yield fake


def engine_of(
    log: MemoryLog,
    small: FakeUpstream,
    large: FakeUpstream,
    verifier: Verifier,
    *,
    drafting: Sequence[str] = ("small",),
    can: frozenset[str] = ALL,
) -> Engine:
    candidates = {
        "large": Candidate("large", OpenAICompatible(url=large.url, model="L"), price=LARGE),
        "small": Candidate("small", OpenAICompatible(url=small.url, model="S"), price=SMALL),
        "middle": Candidate("middle", OpenAICompatible(url=small.url, model="M"), Prompt("own", "Mine."), price=SMALL),
    }
    able = {"large": ALL, "small": can, "middle": can}
    workload = Workload(
        "default",
        Cascade(able, drafting),
        tuple(candidates),
        Prompt("grounded", "Cite."),
        FixedRetriever(PASSAGES),
        verifier=verifier,
    )
    pins = {name: (Pinned(name, "by name"), workload) for name in candidates}
    return Engine({"default": workload}, candidates, pins, log)


async def ask(engine: Engine, *, stream: bool = False, model: str = "default", **fields: object) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "How long is annual leave?"}], "stream": stream}
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(timeout=30) as http:
        return await http.post(f"{url}/v1/chat/completions", json={**body, **fields})


def text_of(response: httpx.Response) -> str:
    if "event-stream" not in response.headers["content-type"]:
        return str(response.json()["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        for choice in msgspec.json.decode(event).get("choices", [])
    )


async def logged(log: MemoryLog) -> list[Inference]:
    return [r async for r in log.read(LogQuery(own=True)) if isinstance(r, Inference)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_draft_that_holds_is_the_answer(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream, stream: bool
) -> None:
    verifier = Says(Checked(True, "it looks good"))
    response = await ask(engine_of(log, small, large, verifier), stream=stream)
    assert text_of(response) == GROUNDED
    assert response.headers["x-rungwise-candidate"] == "small"
    assert "held back until it was verified: it looks good" in response.headers["x-rungwise-route"]
    assert not large.requests
    (row,) = await logged(log)
    assert (row.surface, row.candidate, row.beside) == ("chat", "small", "")
    assert row.cost == pytest.approx(SMALL_COST)
    assert row.route is not None
    assert (row.route.candidate, row.route.then, row.route.policy) == ("small", ("large",), "cascade")
    draft, _ = verifier.asked[0]
    assert draft.answer == GROUNDED
    assert draft.passages == tuple(PASSAGES)
    assert draft.messages[-1].text == "How long is annual leave?"


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_does_not_is_never_seen_and_both_are_paid(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream, stream: bool
) -> None:
    response = await ask(engine_of(log, small, large, Says(Checked(False, "it looks bad"))), stream=stream)
    assert text_of(response) == "the strongest says so"
    assert GROUNDED not in response.text
    assert response.headers["x-rungwise-candidate"] == "large"
    assert "small drafted, and it did not hold: it looks bad; large answers" in response.headers["x-rungwise-route"]
    draft, row = await logged(log)
    assert (draft.surface, draft.candidate, draft.beside, draft.outcome) == ("draft", "small", row.id, "ok")
    assert draft.choices[0].text == GROUNDED
    assert (draft.cost, draft.usage) == (0.0, USAGE)
    assert (row.surface, row.candidate) == ("chat", "large")
    assert row.cost == pytest.approx(SMALL_COST + LARGE_COST)
    assert row.usage == USAGE
    traffic = [r async for r in log.read(LogQuery()) if isinstance(r, Inference)]
    assert [r.id for r in traffic] == [row.id]
    assert sum(one.cost for one in await log.totals(LogQuery(own=True))) == pytest.approx(row.cost)


async def test_several_draft_in_turn_each_with_its_own_prompt(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream
) -> None:
    verifier = Says(Checked(False, "no"), Checked(True, "yes"))
    response = await ask(engine_of(log, small, large, verifier, drafting=("small", "middle")))
    assert response.headers["x-rungwise-candidate"] == "middle"
    draft, row = await logged(log)
    assert draft.prompt.startswith("grounded@")
    assert row.prompt.startswith("own@")
    assert row.cost == pytest.approx(2 * SMALL_COST)
    assert not large.requests


@pytest.mark.parametrize(
    ("reply", "outcome", "why"),
    [
        (Reply(status=500, error="out of memory"), "failed", "out of memory"),
        (Reply(text=GROUNDED, cut=2, usage=USAGE), "broken", "broke off"),
        (Reply(text="", usage=USAGE), "ok", "it has no text"),
        (Reply(text=GROUNDED, finish_reason="length", usage=USAGE), "ok", "it was cut off"),
    ],
)
async def test_a_draft_that_fails_is_made_up_for(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream, reply: Reply, outcome: str, why: str
) -> None:
    small.script = reply
    verifier = Says()
    response = await ask(engine_of(log, small, large, verifier), stream=True)
    assert response.status_code == 200
    assert text_of(response) == "the strongest says so"
    draft, row = await logged(log)
    assert (draft.outcome, row.outcome) == (outcome, "ok")
    assert row.route is not None
    assert why in row.route.reason
    assert not verifier.asked
    if outcome == "failed":
        assert row.cost == pytest.approx(LARGE_COST)


async def test_where_it_cannot_be_verified_the_strongest_answers(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream
) -> None:
    response = await ask(engine_of(log, small, large, Says(UpstreamError("the judge is down"))))
    assert response.headers["x-rungwise-candidate"] == "large"
    assert "could not be verified: the judge is down" in response.headers["x-rungwise-route"]
    assert [row.surface for row in await logged(log)] == ["draft", "chat"]


async def test_nothing_is_drafted_for_nothing(log: MemoryLog, small: FakeUpstream, large: FakeUpstream) -> None:
    engine = engine_of(log, small, large, Says(ready="its certificate has expired"))
    response = await ask(engine)
    assert (
        "nothing was drafted, since its certificate has expired: large answers" in response.headers["x-rungwise-route"]
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    engine = engine_of(log, small, large, Says())
    assert "tools are offered" in (await ask(engine, tools=[tool])).headers["x-rungwise-route"]
    assert "several choices" in (await ask(engine, n=2)).headers["x-rungwise-route"]
    pinned = await ask(engine, model="small")
    assert pinned.headers["x-rungwise-route"] == "by name"
    assert len(small.requests) == 1
    engine = engine_of(log, small, large, Says(), can=frozenset())
    assert "only large can do what is asked" in (await ask(engine, logprobs=True)).headers["x-rungwise-route"]
    assert len(small.requests) == 1


async def test_where_the_strongest_fails_too_the_error_is_honest_and_the_draft_is_paid(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream
) -> None:
    large.script = Reply(status=503, error="overloaded")
    response = await ask(engine_of(log, small, large, Says(Checked(False, "no"))), stream=True)
    assert response.status_code == 502
    assert "overloaded" in response.json()["error"]["message"]
    draft, row = await logged(log)
    assert (draft.surface, row.outcome) == ("draft", "failed")
    assert row.cost == pytest.approx(SMALL_COST)


@pytest.mark.parametrize("when", ["drafting", "verifying"])
async def test_a_caller_who_leaves_ends_the_draft_and_both_are_logged(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream, when: str
) -> None:
    verifier = Waits()
    if when == "drafting":
        small.script = Reply(text="word " * 50, delay=0.2)
    engine = engine_of(log, small, large, verifier)
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(timeout=30) as http:
        body = {"model": "default", "messages": [{"role": "user", "content": "annual leave"}], "stream": True}
        task = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=body))
        async with asyncio.timeout(10):
            while not (small.requests if when == "drafting" else verifier.begun.is_set()):
                await asyncio.sleep(0.01)
        task.cancel()
        async with asyncio.timeout(10):
            while len(await logged(log)) < 2:
                await asyncio.sleep(0.01)
    draft, row = await logged(log)
    assert (draft.surface, draft.outcome) == ("draft", "cancelled")
    assert row.outcome == "cancelled"
    if when == "drafting":
        assert await small.left(small.last)
    assert not large.requests


async def test_by_evidence(log: MemoryLog, small: FakeUpstream, large: FakeUpstream) -> None:
    engine = engine_of(log, small, large, ByEvidence(HashEmbedder()))
    assert (await ask(engine)).headers["x-rungwise-candidate"] == "small"
    for text, why in ((f"{GROUNDED} {INVENTED}", "does not support"), ("I do not know.", "it claims nothing")):
        small.script = Reply(text=text, usage=USAGE)
        response = await ask(engine)
        assert response.headers["x-rungwise-candidate"] == "large"
        assert why in response.headers["x-rungwise-route"]


@pytest.mark.parametrize("stream", [False, True])
async def test_by_tokens_asks_for_them_and_the_client_does_not_see_them(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream, stream: bool
) -> None:
    # The fake's tokens all have a logarithm of -.5, so .61 in the mean.
    sure, unsure = (engine_of(log, small, large, ByTokens(least)) for least in (0.6, 0.62))
    response = await ask(sure, stream=stream)
    assert response.headers["x-rungwise-candidate"] == "small"
    assert text_of(response) == GROUNDED
    assert small.last.json["logprobs"] is True
    assert "-0.5" not in response.text
    seen = await ask(sure, stream=stream, logprobs=True)
    assert "-0.5" in seen.text
    assert (await ask(unsure, stream=stream)).headers["x-rungwise-candidate"] == "large"


async def test_by_repeating_pays_and_logs_what_it_asks(
    log: MemoryLog, small: FakeUpstream, large: FakeUpstream
) -> None:
    engine = engine_of(log, small, large, ByRepeating(HashEmbedder(), samples=2))
    options = {"include_usage": True}
    response = await ask(engine, stream=True, stream_options=options)
    assert text_of(response) == GROUNDED
    assert [seen.json.get("temperature") for seen in small.requests] == [None, 1, 1]
    assert "stream_options" not in small.last.json
    *others, row = await logged(log)
    assert [(other.surface, other.beside) for other in others] == [("draft", row.id)] * 2
    assert row.cost == pytest.approx(3 * SMALL_COST)

    answers = iter([GROUNDED, INVENTED, "Nobody has ever counted the stars above Lisbon."])

    def unsteady(seen: Seen) -> Reply:
        return Reply(text=next(answers), usage=USAGE)

    small.script = unsteady
    response = await ask(engine)
    assert response.headers["x-rungwise-candidate"] == "large"
    assert "asked 2 times more" in response.headers["x-rungwise-route"]
    assert (await logged(log))[-1].cost == pytest.approx(3 * SMALL_COST + LARGE_COST)
