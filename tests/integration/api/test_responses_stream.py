"""`/v1/responses` as a stream: its events, each held to the client's types, and how it ends."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.log import inferences
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ToolCall

QUESTION = "how many days of annual leave ?"

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}}
CALL = ToolCall(0, "call_1", "get_weather", '{"location": "Bonn"}')


def told(stream: str) -> list[dict[str, Any]]:
    """The events of a stream, each valid, numbered without gaps, `[DONE]` last."""
    blocks = stream.removesuffix("\n\n").split("\n\n")
    assert blocks.pop() == "data: [DONE]"
    events = []
    for number, block in enumerate(blocks):
        data = block.partition("data: ")[2]
        EVENT.validate_json(data, strict=True)
        events.append(json.loads(data))
        assert events[-1]["sequence_number"] == number
        assert block.startswith(f"event: {events[-1]['type']}\n")
    return events


async def listen(http: httpx.AsyncClient, **fields: object) -> list[dict[str, Any]]:
    """A streamed answer's events."""
    return told((await http.post("/v1/responses", json={"model": "default", "stream": True, **fields})).text)


async def test_a_stream_is_valid_and_the_same_as_what_is_kept(
    client: AsyncOpenAI, upstream: FakeUpstream, http: httpx.AsyncClient
) -> None:
    upstream.script = Reply(text="You get 25 days [1]. A note is needed [2].", delay=0.002)
    events = await listen(http, input=QUESTION)
    kinds = [event["type"] for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert kinds.count("response.output_text.annotation.added") == 2
    assert "".join(e["delta"] for e in events if "delta" in e) == "You get 25 days [1]. A note is needed [2]."
    final = events[-1]["response"]
    assert {event["response"]["id"] for event in events if "response" in event} == {final["id"]}
    kept = await client.responses.with_raw_response.retrieve(final["id"])
    assert json.loads(kept.text) == final
    async with client.responses.stream(model="default", input=QUESTION) as stream:
        async for _ in stream:
            pass
        assert (await stream.get_final_response()).output_text == "You get 25 days [1]. A note is needed [2]."


async def test_a_streamed_call(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="I look.", tool_calls=(CALL, ToolCall(1, "call_2", "get_weather", "{}")))
    events = await listen(http, input="?", tools=[WEATHER])
    done = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert [event["arguments"] for event in done] == [CALL.arguments, "{}"]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]


async def test_probabilities_and_effort(client: AsyncOpenAI, upstream: FakeUpstream, http: httpx.AsyncClient) -> None:
    upstream.script = Reply(text="hello world")
    response = await client.responses.create(
        model="default",
        input="hi",
        include=["message.output_text.logprobs"],
        top_logprobs=3,
        reasoning={"effort": "low"},
    )
    message: Any = response.output[0]
    assert [p.token for p in message.content[0].logprobs] == ["hello world"]
    sent = upstream.last.json
    assert (sent["logprobs"], sent["top_logprobs"], sent["reasoning_effort"]) == (True, 3, "low")
    events = await listen(http, input="hi", top_logprobs=2)
    assert "".join(p["token"] for e in events if "delta" in e for p in e["logprobs"]) == "hello world"


async def test_thoughts_come_as_an_item_of_their_own(
    client: AsyncOpenAI, upstream: FakeUpstream, http: httpx.AsyncClient
) -> None:
    def chunk(delta: object, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "model": "m", "choices": [choice]}).encode() + b"\n\n"

    usage = {"prompt_tokens": 1, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
    pieces = [chunk({"reasoning_content": "let me "}), chunk({"reasoning_content": "see"}), chunk({"content": "25"})]
    tail = b"data: " + json.dumps({"id": "x", "choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    upstream.script = Reply(body=(*pieces, chunk({}, "stop"), tail))
    events = await listen(http, input="hi")
    final = events[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["reasoning", "message"]
    assert final["output"][0]["content"] == [{"type": "reasoning_text", "text": "let me see"}]
    assert final["usage"]["output_tokens_details"]["reasoning_tokens"] == 3
    again: Any = [*final["output"], {"role": "user", "content": "go on"}]
    upstream.script = Reply(text="ok")
    await client.responses.create(model="default", input=again)
    assert [m["role"] for m in upstream.last.json["messages"]] == ["system", "assistant", "user"]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_ends_early_is_incomplete(
    http: httpx.AsyncClient, upstream: FakeUpstream, finish: str, reason: str, stream: bool
) -> None:
    upstream.script = Reply(text="one two", finish_reason=finish)
    answer = await http.post("/v1/responses", json={"model": "default", "input": "count", "stream": stream})
    response = told(answer.text)[-1]["response"] if stream else answer.json()
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None


async def test_a_stream_that_breaks_says_so_ends_and_is_kept(
    client: AsyncOpenAI, http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="one two three four", delay=0.005, cut=3, reset=True)
    events = await listen(http, input="count")
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["error"]["code"] == "stream_broken"
    kept = await client.responses.retrieve(events[-1]["response"]["id"])
    assert kept.status == "failed"
    assert kept.error is not None
    assert kept.output_text
    (row,) = await inferences(log)
    assert row.outcome == "broken"
    async with client.responses.stream(model="default", input="count") as stream:
        with pytest.raises(openai.APIError, match="broke off"):
            await stream.until_done()
