"""A client that leaves - before the first byte, in mid-stream, without a stream - takes its model call with it."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Inference
from rungwise_server.testing.log import inferences
from rungwise_server.testing.upstream import FakeUpstream, Reply

USER = [{"role": "user", "content": "how many days of annual leave ?"}]
SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": USER}),
    "completions": ("/v1/completions", {"prompt": "one"}),
    "prompts": ("/v1/completions", {"prompt": ["one", "two", "three"]}),
    "responses": ("/v1/responses", {"input": "one"}),
    "messages": ("/v1/messages", {"messages": USER, "max_tokens": 9}),
}
PHASES = {
    "before the first byte of a stream": (Reply(hang=math.inf), True),
    "in mid-stream": (Reply(text="word " * 1000, delay=0.05), True),
    "before the first byte of a whole answer": (Reply(hang=math.inf), False),
    "in the middle of a whole answer": (Reply(body=(b'{"id": ', *[b" "] * 1000), delay=0.05), False),
}


async def logged(log: MemoryLog, count: int) -> Sequence[Inference]:
    async with asyncio.timeout(5):
        while True:
            if len(rows := await inferences(log)) >= count:
                return rows
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("surface", SURFACES)
async def test_the_model_sees_it_within_a_second(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog, surface: str, phase: str
) -> None:
    upstream.script, stream = PHASES[phase]
    path, fields = SURFACES[surface]
    calls = 3 if surface == "prompts" and not stream else 1  # streams of several prompts come one after the other
    body = {"model": "default", "stream": stream, **fields}

    async def ask() -> None:
        async with http.stream("POST", path, json=body) as response:
            async for _ in response.aiter_bytes():
                pass

    asking = asyncio.create_task(ask())
    async with asyncio.timeout(5):
        while len(upstream.requests) < calls or (upstream.script.delay and not upstream.last.sent):
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    for seen in list(upstream.requests):
        assert await upstream.left(seen, timeout=1.0)
    rows = await logged(log, calls)
    assert [row.outcome for row in rows] == ["cancelled"] * calls
