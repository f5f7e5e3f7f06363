"""A shadow behind a real upstream: in silence, beside the answer, within its money, never in the way."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.records import Inference, LogQuery
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned
from rungwise_server.shadow import Shadow
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retriever import FixedRetriever, passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller, Price, Usage

USAGE = Usage(100, 10)
PRICE = Price(1000.0, 1000.0)
COST = PRICE.of(USAGE)  # .11
NOON = 20_000 * 86_400 + 43_200.0
KEYS = {"rw-ana": Caller("ana"), "rw-bo": Caller("bo", frozenset({"staff"}))}


@pytest.fixture
async def main() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text="the answer", usage=USAGE)) as fake:
        yield fake


@pytest.fixture
async def cheap() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(text="another answer", usage=USAGE)) as fake:
        yield fake


class House:
    def __init__(self, main: FakeUpstream, cheap: FakeUpstream, log: MemoryLog) -> None:
        self.main, self.cheap, self.log = main, cheap, log
        self.left_out: list[str] = []
        self.now = NOON

    def engine(
        self,
        *,
        daily: float = 100.0,
        share: float = 1.0,
        concurrent: int = 4,
        able: frozenset[str] = frozenset({"tools"}),
    ) -> Engine:
        candidates = {
            "main": Candidate("main", OpenAICompatible(url=self.main.url, model="M"), price=PRICE),
            "cheap": Candidate("cheap", OpenAICompatible(url=self.cheap.url, model="C"), price=PRICE),
        }
        shadow = Shadow(
            "w/cheap",
            "cheap",
            able,
            daily,
            self.log,
            share=share,
            concurrent=concurrent,
            left_out=self.left_out.append,
            clock=lambda: self.now,
        )
        passages = [
            passage("leave is 25 days", "everyone", number=1),
            passage("leave of staff is 30 days", "group:staff", number=2),
        ]
        workload = Workload(
            "w",
            Housekeeping(Pinned("main", "the first"), "main"),
            tuple(candidates),
            retriever=FixedRetriever(passages),
            shadow=shadow,
        )
        pins = {name: (Pinned("cheap", "by name"), workload) for name in ("cheap", "w/cheap")}
        return Engine({"w": workload}, candidates, pins, self.log)

    async def rows(self, surface: str = "") -> list[Inference]:
        found = [r async for r in self.log.read(LogQuery(own=True, housekeeping=True)) if isinstance(r, Inference)]
        return [row for row in found if not surface or row.surface == surface]


@pytest.fixture
def house(main: FakeUpstream, cheap: FakeUpstream, log: MemoryLog) -> House:
    return House(main, cheap, log)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def post(url: str, content: str = "how long is leave", key: str = "rw-ana", **fields: object) -> httpx.Response:
    body = {"model": "w", "messages": [{"role": "user", "content": content}], **fields}
    async with httpx.AsyncClient(timeout=30, headers={"authorization": f"Bearer {key}"}) as http:
        return await http.post(f"{url}/v1/chat/completions", json=body)


@pytest.mark.parametrize("stream", [False, True])
async def test_it_answers_beside_the_answer(house: House, stream: bool) -> None:
    options = {"include_usage": True} if stream else None
    engine = house.engine()
    async with serving(engine, MemoryIndex(), KEYS) as url:
        response = await post(url, stream=stream, temperature=0.3, stream_options=options)
        assert response.headers["x-rungwise-candidate"] == "main"
        assert "another" not in response.text
        await until(lambda: len(house.cheap.requests) == 1)
        async with asyncio.timeout(10):
            while len(await house.rows()) < 2:
                await asyncio.sleep(0.005)
    row, shadow = await house.rows()
    assert (shadow.surface, shadow.candidate, shadow.beside) == ("shadow", "cheap", row.id)
    assert shadow.choices[0].text == "another answer"
    assert shadow.caller == row.caller == Caller("ana")
    assert shadow.passages == row.passages
    assert shadow.cost == row.cost == pytest.approx(COST)
    sent = house.cheap.last.json
    assert sent["temperature"] == 0.3
    assert "stream" not in sent
    assert "stream_options" not in sent
    assert [r.id async for r in house.log.read(LogQuery())] == [row.id]


async def test_it_reads_what_the_caller_may_read(house: House) -> None:
    async with serving(house.engine(), MemoryIndex(), KEYS) as url:
        await post(url, key="rw-bo")
        await post(url, key="rw-ana")
        await until(lambda: len(house.cheap.requests) == 2)
    told = [b"of staff" in seen.body for seen in house.cheap.requests]
    assert told == [True, False]


async def test_one_that_hangs_or_fails_is_in_nobodys_way(house: House) -> None:
    house.cheap.script = Reply(hang=math.inf)
    engine = house.engine(concurrent=2)
    async with serving(engine, MemoryIndex(), KEYS) as url:
        for _ in range(5):
            assert (await post(url)).status_code == 200
        assert house.left_out == ["busy"] * 3
        await until(lambda: len(house.cheap.requests) == 2)
        await engine.close()
    cancelled = await house.rows("shadow")
    assert [row.outcome for row in cancelled] == ["cancelled"] * 2
    house.cheap.script = Reply(status=500, error="broken")
    async with serving(house.engine(), MemoryIndex(), KEYS) as url:
        assert (await post(url)).status_code == 200
        async with asyncio.timeout(10):
            while len(await house.rows("shadow")) < 3:
                await asyncio.sleep(0.005)
    assert (await house.rows("shadow"))[-1].outcome == "failed"


async def test_it_keeps_to_its_money_over_restarts_until_midnight(house: House) -> None:
    # Another process has spent it but for one answer; what the traffic of the same candidate costs does not count.
    await house.log.append(an_inference("s", at=NOON - 60, surface="shadow", workload="w", candidate="cheap", cost=0.9))
    await house.log.append(an_inference("t", at=NOON - 60, workload="w", candidate="cheap", cost=50.0))
    await house.log.append(
        an_inference("y", at=NOON - 86_400, surface="shadow", workload="w", candidate="cheap", cost=9)
    )
    engine = house.engine(daily=1.0)
    async with serving(engine, MemoryIndex(), KEYS) as url:
        await post(url)
        async with asyncio.timeout(10):
            while len(await house.rows("shadow")) < 3:
                await asyncio.sleep(0.005)
        await post(url)
        await until(lambda: house.left_out == ["spent"])
        assert len(house.cheap.requests) == 1
        house.now = NOON + 50_000
        await post(url)
        await until(lambda: len(house.cheap.requests) == 2)


async def test_what_is_no_traffic_of_the_workload_is_not_shadowed(house: House) -> None:
    engine = house.engine(able=frozenset())
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    title = "### Task:\nGenerate a title.\n### Output:\nJSON\n<chat_history>x</chat_history>"
    async with serving(engine, MemoryIndex(), KEYS) as url:
        await post(url, model="cheap")
        house.cheap.requests.clear()
        await post(url, tools=[tool])
        await post(url, content=title)
        house.main.script = Reply(status=500, error="no")
        await post(url)
        house.main.script = Reply(text="the answer")
        await post(url, content="the last one")
        await until(lambda: len(house.cheap.requests) == 1)
    assert b"the last one" in house.cheap.last.body
    assert house.left_out == []


async def test_a_share_of_all(house: House) -> None:
    async with serving(house.engine(share=0.0), MemoryIndex(), KEYS) as url:
        for _ in range(5):
            await post(url)
    assert not house.cheap.requests
