"""Responses in the background: they run on without their client, and any server over the same store tells how far."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from openai.types.responses import Response

from rungwise_server.api.responses.store import Body
from rungwise_server.app import create_app
from rungwise_server.database import open_database
from rungwise_server.errors import Unavailable
from rungwise_server.keeping import Kept, KeptQuery, KeptStore
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.records import Inference, LogQuery
from rungwise_server.store.sql import SqlKept
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller

SLOW = Reply(text="word " * 1000, delay=0.02)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptStore]:
    database = open_database(f"sqlite:///{tmp_path / 'kept.db'}")
    yield SqlKept(database)
    database.close()


@asynccontextmanager
async def server(upstream: FakeUpstream, log: MemoryLog, kept: KeptStore) -> AsyncIterator[AsyncOpenAI]:
    engine = small_engine(OpenAICompatible(url=upstream.url, model="up-model"), log=log)
    app = create_app(fake_parts(engine, keys={"rw-ana": Caller("ana")}, kept=kept))
    async with listening(app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ana", max_retries=0) as client:
        yield client


@pytest.fixture
async def client(upstream: FakeUpstream, log: MemoryLog, kept: KeptStore) -> AsyncIterator[AsyncOpenAI]:
    async with server(upstream, log, kept) as made:
        yield made


async def until(client: AsyncOpenAI, id: str, status: str) -> Response:
    async with asyncio.timeout(10):
        while (response := await client.responses.retrieve(id)).status != status:
            await asyncio.sleep(0.05)
    return response


async def holds(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.02)


async def outcomes(log: MemoryLog) -> list[str]:
    return [r.outcome async for r in log.read(LogQuery(kind="inference")) if isinstance(r, Inference)]


async def test_it_is_answered_at_once_and_ends_by_itself(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="done", hang=0.2)
    queued = await client.responses.create(model="default", input="work", background=True)
    assert (queued.status, queued.background, queued.output) == ("queued", True, [])
    response = await until(client, queued.id, "completed")
    assert response.output_text == "done"
    assert response.usage is not None
    assert await outcomes(log) == ["ok"]
    following = await client.responses.create(model="default", input="on", previous_response_id=queued.id)
    assert following.status == "completed"
    assert (await client.responses.cancel(queued.id)).status == "completed"


async def test_its_failure_is_told(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=500, error="boom")
    queued = await client.responses.create(model="default", input="work", background=True)
    failed = await until(client, queued.id, "failed")
    assert failed.error is not None
    assert "boom" in failed.error.message
    with pytest.raises(openai.BadRequestError, match="failed"):
        await client.responses.create(model="default", input="on", previous_response_id=queued.id)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("delete", [False, True])
async def test_cancelling_or_deleting_aborts_the_model_from_any_server(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog, kept: KeptStore, elsewhere: bool, delete: bool
) -> None:
    upstream.script = SLOW
    queued = await client.responses.create(model="default", input="work", background=True)
    async with asyncio.timeout(5):
        while not upstream.requests or not upstream.last.sent:
            await asyncio.sleep(0.01)
    async with server(upstream, log, kept) as other:
        asked = other if elsewhere else client
        if delete:
            await asked.responses.delete(queued.id)
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(queued.id)
        else:
            assert (await asked.responses.cancel(queued.id)).status == "cancelled"
            assert (await asked.responses.cancel(queued.id)).status == "cancelled"
        assert await upstream.left(upstream.last, timeout=2.0)

    async def logged() -> bool:
        return await outcomes(log) == ["cancelled"]

    await holds(logged)
    if not delete:
        assert (await client.responses.retrieve(queued.id)).status == "cancelled"


async def test_a_stream_can_be_left_and_taken_up_again_at_any_server(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog, kept: KeptStore
) -> None:
    upstream.script = Reply(text="one two three four five six ", delay=0.25)
    stream = await client.responses.create(model="default", input="count", background=True, stream=True)
    first = []
    async for event in stream:
        first.append(event)
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    assert [event.type for event in first[:3]] == ["response.created", "response.queued", "response.in_progress"]
    created = first[0]
    assert created.type == "response.created"
    async with server(upstream, log, kept) as other:
        rest = [
            event
            async for event in await other.responses.retrieve(
                created.response.id, stream=True, starting_after=first[-1].sequence_number
            )
        ]
    events = [*first, *rest]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "one two three four five six "
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == text
    again = [event async for event in await client.responses.retrieve(created.response.id, stream=True)]
    assert [event.type for event in again] == [event.type for event in events]


async def test_one_whose_server_died_has_failed(client: AsyncOpenAI, upstream: FakeUpstream, kept: KeptStore) -> None:
    upstream.script = SLOW
    stream = await client.responses.create(model="default", input="work", background=True, stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    (row,) = await kept.list(KeptQuery("response", None))
    body = msgspec.json.decode(row.body, type=Body)
    dead = replace(row, id="resp_dead", body=msgspec.Raw(msgspec.json.encode(replace(body, beat=time.time() - 60))))
    await kept.add(dead)
    failed = await client.responses.retrieve("resp_dead")
    assert failed.status == "failed"
    assert failed.error is not None
    assert "Send the request again" in failed.error.message
    events = [event async for event in await client.responses.retrieve("resp_dead", stream=True)]
    assert events[-1].type == "response.failed"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_a_server_that_stops_leaves_nothing_in_progress(
    upstream: FakeUpstream, log: MemoryLog, kept: KeptStore
) -> None:
    upstream.script = SLOW
    async with server(upstream, log, kept) as client:
        queued = await client.responses.create(model="default", input="work", background=True)
        async with asyncio.timeout(5):
            while not upstream.requests or not upstream.last.sent:
                await asyncio.sleep(0.01)
    assert await upstream.left(upstream.last)
    assert await outcomes(log) == ["cancelled"]
    async with server(upstream, log, kept) as client:
        stopped = await client.responses.retrieve(queued.id)
    assert stopped.status == "failed"
    assert stopped.error is not None
    assert "stopped" in stopped.error.message


async def test_events_end_with_done(client: AsyncOpenAI) -> None:
    body = {"model": "default", "input": "hi", "background": True, "stream": True}
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        made = await http.post(f"{client.base_url}responses", json=body)
        id = json.loads(made.text.split("\n")[1][6:])["response"]["id"]
        again = await http.get(f"{client.base_url}responses/{id}?stream=true")
    assert made.text.endswith("data: [DONE]\n\n")
    assert again.text == made.text
    assert again.headers["content-type"].startswith("text/event-stream")


class Down(MemoryKept):
    """A store whose database is down."""

    async def add(self, kept: Kept) -> Kept:
        raise Unavailable("the database is down")


async def test_without_the_database_answers_go_on_and_say_that_they_are_not_kept(
    upstream: FakeUpstream, log: MemoryLog
) -> None:
    async with server(upstream, log, Down()) as client:
        answer = await client.responses.create(model="default", input="hi")
        assert (answer.output_text, answer.to_dict()["store"]) == ("hi", False)
        async with client.responses.stream(model="default", input="hi") as stream:
            assert (await stream.get_final_response()).to_dict()["store"] is False
        with pytest.raises(openai.InternalServerError, match="database is down"):
            await client.responses.create(model="default", input="hi", background=True)
