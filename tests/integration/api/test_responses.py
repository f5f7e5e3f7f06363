"""`/v1/responses` through openai-python, over real sockets: what is asked, what the model is sent, what comes back."""

import asyncio
import json
import math
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Feedback, LogQuery
from rungwise_server.testing.log import inferences
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Passage, ToolCall

QUESTION = "how many days of annual leave ?"

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}

CALL = ToolCall(0, "call_1", "get_weather", '{"location": "Bonn"}')


async def test_an_answer_with_citations_a_log_row_and_feedback(
    client: AsyncOpenAI,
    http: httpx.AsyncClient,
    upstream: FakeUpstream,
    log: MemoryLog,
    url: str,
    passages: list[Passage],
) -> None:
    upstream.script = Reply(text="You get 25 days [1].")
    raw = await client.responses.with_raw_response.create(
        model="default", input=QUESTION, instructions="Be short.", temperature=0.25, max_output_tokens=99
    )
    Response.model_validate_json(raw.text, strict=True)
    response = raw.parse()
    assert response.output_text == "You get 25 days [1]."
    message: Any = response.output[0]
    cited = message.content[0].annotations[0]
    assert (cited.type, cited.url, cited.title) == ("url_citation", f"{url}/v1/sources/{passages[0].id}", "Handbook")
    assert response.output_text[cited.start_index : cited.end_index] == "[1]"
    assert (response.status, response.instructions, response.temperature) == ("completed", "Be short.", 0.25)
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert raw.headers["x-request-id"] == response.id
    assert response.id.startswith("resp_")
    sent = upstream.last.json
    assert sent["messages"][0] == {"role": "system", "content": "Cite.\n\nBe short."}
    assert "Annual leave is 25 days." in sent["messages"][1]["content"]
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.25, 99)
    assert not {"input", "instructions", "max_output_tokens", "store", "stream"} & set(sent)
    (row,) = await inferences(log)
    assert (row.id, row.surface, row.query) == (response.id, "responses", QUESTION)
    body = {"inference_id": response.id, "kind": "rating", "value": 1}
    assert (await http.post("/v1/feedback", json=body)).status_code == 201
    assert [r.inference_id async for r in log.read(LogQuery(kind="feedback")) if isinstance(r, Feedback)] == [row.id]


async def test_tools_there_and_back(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    upstream.script = Reply(tool_calls=(CALL,))
    first = await client.responses.create(
        model="default", input="weather in Bonn ?", tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )
    sent = upstream.last.json
    assert sent["tools"] == [{"type": "function", "function": {k: v for k, v in WEATHER.items() if k != "type"}}]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_1", "get_weather", {"location": "Bonn"})
    assert first.tools[0].type == "function"
    upstream.script = Reply(text="It rains.")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    by_id = await client.responses.create(
        model="default", input=[output], tools=[WEATHER], previous_response_id=first.id
    )
    assert by_id.output_text == "It rains."
    kept = upstream.last.json["messages"]
    whole: Any = [{"role": "user", "content": "weather in Bonn ?"}, *first.output, output]
    await client.responses.create(model="default", input=whole, tools=[WEATHER])
    assert [m["role"] for m in kept] == ["system", "user", "assistant", "tool"]
    assert kept[2]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert kept[3] == {"role": "tool", "content": "rain", "tool_call_id": "call_1"}
    assert upstream.last.json["messages"][2:] == kept[2:]
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        await client.responses.create(model="default", input=[output])


@pytest.mark.parametrize(
    ("choice", "sent", "names"),
    [
        ({"type": "function", "name": "a"}, {"type": "function", "function": {"name": "a"}}, ["a", "b"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]},
            "required",
            ["b"],
        ),
        ("none", "none", ["a", "b"]),
    ],
)
async def test_a_choice_of_tools(
    client: AsyncOpenAI, upstream: FakeUpstream, choice: Any, sent: Any, names: list[str]
) -> None:
    tools: Any = [{"type": "function", "name": name, "parameters": {}} for name in ("a", "b")]
    response = await client.responses.create(model="default", input="hi", tools=tools, tool_choice=choice)
    assert upstream.last.json["tool_choice"] == sent
    assert [tool["function"]["name"] for tool in upstream.last.json["tools"]] == names
    assert [tool.name for tool in response.tools if tool.type == "function"] == ["a", "b"]


async def test_a_schema_is_passed_on_and_parsed(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    class Leave(BaseModel):
        days: int

    upstream.script = Reply(text='{"days": 25}')
    response = await client.responses.parse(model="default", input=QUESTION, text_format=Leave)
    assert response.output_parsed == Leave(days=25)
    shape = upstream.last.json["response_format"]
    assert (shape["type"], shape["json_schema"]["name"], shape["json_schema"]["strict"]) == (
        "json_schema",
        "Leave",
        True,
    )
    await client.responses.create(
        model="default", input="json", text={"format": {"type": "json_object"}, "verbosity": "low"}
    )
    assert upstream.last.json["response_format"] == {"type": "json_object"}
    assert upstream.last.json["verbosity"] == "low"


async def test_files_and_images_in_the_input(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    content: Any = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="},
        {"type": "input_file", "filename": "b.bin", "file_data": "data:application/pdf;base64,/wA="},
    ]
    await client.responses.create(model="default", input=[{"role": "user", "content": content}])
    parts = upstream.last.json["messages"][-1]["content"][1:]  # the passages come first
    assert parts == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "text", "text": "a.txt:\nhello"},
        {"type": "file", "file": {"filename": "b.bin", "file_data": "data:application/pdf;base64,/wA="}},
    ]


@pytest.mark.parametrize(
    ("reply", "stream"),
    [
        (Reply(hang=math.inf), True),
        (Reply(hang=math.inf), False),
        (Reply(text="word " * 1000, delay=0.05), True),
        (Reply(text="slow", hang=30), False),
    ],
)
async def test_when_the_client_leaves_the_model_sees_it_within_a_second(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog, reply: Reply, stream: bool
) -> None:
    upstream.script = reply
    asking = asyncio.create_task(http.post("/v1/responses", json={"model": "default", "input": "hi", "stream": stream}))
    async with asyncio.timeout(5):
        while not upstream.requests or (reply.delay and not upstream.last.sent):
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    assert await upstream.left(upstream.last, timeout=1.0)
    async with asyncio.timeout(5):
        while not (found := await inferences(log)):
            await asyncio.sleep(0.01)
    assert found[0].outcome == "cancelled"
