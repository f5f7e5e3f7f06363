"""`/v1/responses` through openai-python, over real sockets: what is asked, what the model is sent, what comes back."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from rungwise_server.engine import Engine
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.records import Feedback, Inference, LogQuery
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller, ToolCall

PASSAGES = [
    passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook"),
    passage("Sick leave needs a note.", "everyone", number=2, title="Sickness"),
]
QUESTION = "how many days of annual leave ?"
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
CALL = ToolCall(0, "call_1", "get_weather", '{"location": "Bonn"}')


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def engine(upstream: FakeUpstream, log: MemoryLog) -> Engine:
    model = OpenAICompatible(url=upstream.url, model="up-model")
    return small_engine(model, passages=PASSAGES, log=log, prompt=Prompt("grounded", "Cite."))


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    keys = {"rw-ana": Caller("ana"), "rw-bo": Caller("bo")}
    async with serving(engine, MemoryIndex(), keys) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ana", max_retries=0) as made:
        yield made


async def rows(log: MemoryLog) -> list[Inference]:
    return [r async for r in log.read(LogQuery(kind="inference", housekeeping=True)) if isinstance(r, Inference)]


async def posted(url: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        return await http.post(f"{url}/v1/responses", json=body)


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


async def test_an_answer_with_citations_a_log_row_and_feedback(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog, url: str
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
    assert (cited.type, cited.url, cited.title) == ("url_citation", f"{url}/v1/sources/{PASSAGES[0].id}", "Handbook")
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
    (row,) = await rows(log)
    assert (row.id, row.surface, row.query) == (response.id, "responses", QUESTION)
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        body = {"inference_id": response.id, "kind": "rating", "value": 1}
        assert (await http.post(f"{url}/v1/feedback", json=body)).status_code == 201
    assert [r.inference_id async for r in log.read(LogQuery(kind="feedback")) if isinstance(r, Feedback)] == [row.id]


async def test_a_stream_is_valid_and_the_same_as_what_is_kept(
    client: AsyncOpenAI, upstream: FakeUpstream, url: str
) -> None:
    upstream.script = Reply(text="You get 25 days [1]. A note is needed [2].", delay=0.002)
    events = told((await posted(url, {"model": "default", "input": QUESTION, "stream": True})).text)
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


async def test_a_streamed_call(url: str, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="I look.", tool_calls=(CALL, ToolCall(1, "call_2", "get_weather", "{}")))
    events = told((await posted(url, {"model": "default", "input": "?", "tools": [WEATHER], "stream": True})).text)
    done = [event for event in events if event["type"] == "response.function_call_arguments.done"]
    assert [event["arguments"] for event in done] == [CALL.arguments, "{}"]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call", "function_call"]


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


async def test_probabilities_and_effort(client: AsyncOpenAI, upstream: FakeUpstream, url: str) -> None:
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
    body = {"model": "default", "input": "hi", "top_logprobs": 2, "stream": True}
    events = told((await posted(url, body)).text)
    assert "".join(p["token"] for e in events if "delta" in e for p in e["logprobs"]) == "hello world"


async def test_thoughts_come_as_an_item_of_their_own(client: AsyncOpenAI, upstream: FakeUpstream, url: str) -> None:
    def chunk(delta: object, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "model": "m", "choices": [choice]}).encode() + b"\n\n"

    usage = {"prompt_tokens": 1, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}}
    pieces = [chunk({"reasoning_content": "let me "}), chunk({"reasoning_content": "see"}), chunk({"content": "25"})]
    tail = b"data: " + json.dumps({"id": "x", "choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    upstream.script = Reply(body=(*pieces, chunk({}, "stop"), tail))
    events = told((await posted(url, {"model": "default", "input": "hi", "stream": True})).text)
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
    url: str, upstream: FakeUpstream, finish: str, reason: str, stream: bool
) -> None:
    upstream.script = Reply(text="one two", finish_reason=finish)
    answer = await posted(url, {"model": "default", "input": "count", "stream": stream})
    response = told(answer.text)[-1]["response"] if stream else answer.json()
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None


async def test_a_stream_that_breaks_says_so_ends_and_is_kept(
    client: AsyncOpenAI, url: str, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="one two three four", delay=0.005, cut=3, reset=True)
    events = told((await posted(url, {"model": "default", "input": "count", "stream": True})).text)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["error"]["code"] == "stream_broken"
    kept = await client.responses.retrieve(events[-1]["response"]["id"])
    assert kept.status == "failed"
    assert kept.error is not None
    assert kept.output_text
    (row,) = await rows(log)
    assert row.outcome == "broken"
    async with client.responses.stream(model="default", input="count") as stream:
        with pytest.raises(openai.APIError, match="broke off"):
            await stream.until_done()


async def test_a_failure_before_the_first_byte_has_its_status(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=429, error="slow down", headers={"retry-after": "7"})
    with pytest.raises(openai.RateLimitError) as caught:
        await client.responses.create(model="default", input="hi", stream=True)
    assert caught.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.NotFoundError, match="'gpt-nope' does not exist"):
        await client.responses.create(model="gpt-nope", input="hi")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "hi"}, "model"),
        ({"model": "default"}, "input"),
        ({"model": "default", "input": []}, "input"),
        ({"model": "default", "input": 5}, "input"),
        ({"model": "default", "input": "x", "temperature": 9}, "temperature"),
        ({"model": "default", "input": "x", "truncation": "auto"}, "truncation"),
        ({"model": "default", "input": "x", "n": 2}, "n"),
        ({"model": "default", "input": "x", "messages": []}, "messages"),
        ({"model": "default", "input": "x", "conversation": "conv_1"}, "conversation"),
        ({"model": "default", "input": "x", "max_tokens": 5}, "max_tokens"),
        ({"model": "default", "input": "x", "include": ["weather"]}, "include"),
        ({"model": "default", "input": "x", "background": True, "store": False}, "store"),
        ({"model": "default", "input": "x", "metadata": {"a": "b" * 513}}, "metadata"),
        ({"model": "default", "input": "x", "reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"model": "default", "input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"model": "default", "input": "x", "stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"model": "default", "input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"model": "default", "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "default", "input": "x", "tools": [{"type": "file_search"}]}, "tools[0].vector_store_ids"),
        (
            {"model": "default", "input": "x", "tool_choice": {"type": "function", "name": "f"}},
            "tool_choice",
        ),
        ({"model": "default", "input": [{"type": "message", "role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"model": "default", "input": [{"role": "user"}]}, "input[0].content"),
        ({"model": "default", "input": [{"role": "user", "content": 5}]}, "input[0].content"),
        (
            {"model": "default", "input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        (
            {"model": "default", "input": [{"role": "user", "content": [{"type": "input_video"}]}]},
            "input[0].content[0].type",
        ),
        (
            {"model": "default", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {"model": "default", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"model": "default", "input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"model": "default", "input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"model": "default", "input": [{}]}, "input[0].type"),
        ({"model": "default", "input": [None]}, "input[0]"),
        ({"model": "default", "input": [{"type": "item_reference", "id": "msg_x"}]}, "input[0].id"),
    ],
)
async def test_what_is_wrong_or_not_here_is_told_by_name(url: str, body: object, param: str) -> None:
    answer = await posted(url, body)
    assert answer.status_code in (400, 404), answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


async def test_fields_that_are_not_known_go_to_the_model(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    await client.responses.create(
        model="default",
        input="hi",
        user="u",
        extra_body={"top_k": 5, "nested": {"deep": [1, None, "ü"]}, "prompt": None},
    )
    sent = upstream.last.json
    assert (sent["top_k"], sent["nested"], sent["user"]) == (5, {"deep": [1, None, "ü"]}, "u")
    assert "prompt" not in sent


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
    url: str, upstream: FakeUpstream, log: MemoryLog, reply: Reply, stream: bool
) -> None:
    upstream.script = reply
    asking = asyncio.create_task(posted(url, {"model": "default", "input": "hi", "stream": stream}))
    async with asyncio.timeout(5):
        while not upstream.requests or (reply.delay and not upstream.last.sent):
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    assert await upstream.left(upstream.last, timeout=1.0)
    async with asyncio.timeout(5):
        while not (found := await rows(log)):
            await asyncio.sleep(0.01)
    assert found[0].outcome == "cancelled"


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
    assert (await rows(log))[-1].housekeeping
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
async def test_what_cannot_be_made_short(url: str, body: object, param: str) -> None:
    async with httpx.AsyncClient(headers={"authorization": "Bearer rw-ana"}) as http:
        answer = await http.post(f"{url}/v1/responses/compact", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
