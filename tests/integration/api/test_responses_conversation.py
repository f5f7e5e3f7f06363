"""Conversations of `/v1/responses`: going on by an id, items by theirs, what is kept, and long ones made short."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.log import inferences
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ToolCall

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}}
CALL = ToolCall(0, "call_1", "get_weather", '{"location": "Bonn"}')


async def test_a_conversation_goes_on_by_its_id_without_the_old_instructions(
    client: AsyncOpenAI, upstream: FakeUpstream
) -> None:
    first = await client.responses.create(model="default", input="my name is Alice", instructions="Rhyme.")
    second = await client.responses.create(model="default", input="what is my name ?", previous_response_id=first.id)
    third = await client.responses.create(model="default", input="again ?", previous_response_id=second.id)
    texts = [message["content"] for message in upstream.last.json["messages"]]
    assert len(texts) == 6
    assert "Rhyme." not in "".join(texts)
    assert texts[1] == "my name is Alice"
    assert third.previous_response_id == second.id
    items = [item async for item in client.responses.input_items.list(third.id, order="asc", limit=2)]
    assert [item.type for item in items] == ["message"] * 5
    assert [getattr(item, "role", "") for item in items] == ["user", "assistant", "user", "assistant", "user"]
    page = await client.responses.input_items.list(third.id, limit=2)
    assert ([item.id for item in page.data], page.has_more) == ([items[4].id, items[3].id], True)
    before = await client.responses.input_items.list(third.id, order="asc", extra_query={"before": items[2].id})
    assert [item.id for item in before.data] == [items[0].id, items[1].id]


async def test_items_are_referred_to_by_their_ids(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    first = await client.responses.create(model="default", input="my name is Alice")
    wanted: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "and ?"}]
    await client.responses.create(model="default", input=wanted)
    assert [m["role"] for m in upstream.last.json["messages"]] == ["system", "assistant", "user"]
    with pytest.raises(openai.NotFoundError) as caught:
        await client.with_options(api_key="rw-bo").responses.create(model="default", input=wanted)
    assert caught.value.param == "input[0].id"


async def test_what_is_kept_is_its_owners_and_can_be_deleted(client: AsyncOpenAI) -> None:
    kept = await client.responses.create(model="default", input="hi", metadata={"a": "b"})
    assert (await client.responses.retrieve(kept.id)).metadata == {"a": "b"}
    other = client.with_options(api_key="rw-bo")
    for ask in (
        other.responses.retrieve(kept.id),
        other.responses.delete(kept.id),
        other.responses.cancel(kept.id),
        other.responses.input_items.list(kept.id),
        other.responses.create(model="default", input="hi", previous_response_id=kept.id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await ask
        assert set(caught.value.body) == {"message", "type", "param", "code"}  # type: ignore[call-overload]
    assert caught.value.code == "previous_response_not_found"
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(kept.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.retrieve(kept.id, stream=True)
    await client.responses.delete(kept.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(kept.id)
    forgotten = await client.responses.create(model="default", input="hi", store=False)
    assert forgotten.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(forgotten.id)


async def test_a_long_conversation_is_made_short_and_goes_on(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(tool_calls=(CALL,))
    first = await client.responses.create(model="default", input="weather in Bonn ?", tools=[WEATHER])
    upstream.script = Reply(text="The user asked for the weather in Bonn.")
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
    raw = await client.responses.with_raw_response.compact(
        model="default", input=[output], previous_response_id=first.id
    )
    compacted = raw.parse()
    (task,) = upstream.last.json["messages"]
    assert "weather in Bonn ?" in task["content"]
    assert "get_weather" in task["content"]
    assert "tool: rain" in task["content"]
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    assert compacted.usage.total_tokens > 0
    assert (await inferences(log))[-1].housekeeping
    upstream.script = Reply(text="It rains.")
    again: Any = [*json.loads(raw.text)["output"], {"role": "user", "content": "and ?"}]
    kept = await client.responses.create(model="default", input=again)
    texts = [message["content"] for message in upstream.last.json["messages"]]
    assert texts[1:3] == [
        "weather in Bonn ?",
        "What was said before, in short:\nThe user asked for the weather in Bonn.",
    ]
    items = (await client.responses.input_items.list(kept.id, order="asc")).data
    assert [item.type for item in items] == ["message", "compaction", "message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "default"}, "input"),
        ({"model": "default", "input": "x", "stream": True}, "stream"),
        (
            {"model": "default", "input": [{"type": "compaction", "encrypted_content": "gAAA"}]},
            "input[0].encrypted_content",
        ),
    ],
)
async def test_what_cannot_be_made_short(http: httpx.AsyncClient, body: object, param: str) -> None:
    answer = await http.post("/v1/responses/compact", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
