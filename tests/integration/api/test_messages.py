"""Anthropic's own SDK against our `/v1/messages`: what it parses is strictly what its types say."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import msgspec
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.shared.error_response import ErrorResponse
from pydantic import TypeAdapter

from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.extractive import Extractive
from rungwise_server.models.litellm import LiteLLM
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import ChatModel
from rungwise_server.records import Feedback, LogQuery
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import inferences
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller, ToolCall, Usage

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # litellm's own

QUESTION: Any = [{"role": "user", "content": "how many days of annual leave ?"}]
TOOLS: Any = [{"name": "lookup", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}]
CALLS = (ToolCall(0, "call_1", "lookup", '{"q": "leave"}'), ToolCall(1, "call_2", "lookup", '{"q": "sick"}'))
PASSAGES = [
    passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook"),
    passage("Ask for leave days early.", "everyone", number=2, title="Rules"),
]
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture
async def url(upstream: FakeUpstream, log: MemoryLog) -> AsyncIterator[str]:
    models: dict[str, ChatModel] = {
        "wire": OpenAICompatible(url=upstream.url, model="m"),
        "claude": LiteLLM("anthropic/claude-sonnet-4-5", api_key="k", url=upstream.origin),
        "quotes": Extractive(HashEmbedder(), lambda text: "en"),
    }
    engine = small_engine(models["wire"], others=models, passages=PASSAGES, prompt=Prompt("p", "Cite."), log=log)
    async with serving(engine, MemoryIndex(), {"rw-ana": Caller("ana")}) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": "rw-ana", "anthropic-version": "2023-06-01", "anthropic-beta": "some-2025-01-01"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as made:
        yield made


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=url, api_key="rw-ana", max_retries=0) as made:
        yield made


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "wire", "max_tokens": 50, "messages": QUESTION, **fields}


async def ask(http: httpx.AsyncClient, **fields: Any) -> Message:
    response = await http.post("/v1/messages", json=body(**fields))
    assert response.status_code == 200, response.text
    message = Message.model_validate_json(response.text, strict=True)
    assert response.headers["request-id"] == message.id
    return message


async def listen(http: httpx.AsyncClient, **fields: Any) -> list[Any]:
    """The events, each of its type; pings left out."""
    response = await http.post("/v1/messages", json=body(stream=True, **fields))
    assert response.status_code == 200, response.text
    events = []
    for event in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        kind = json.loads(data.removeprefix("data: "))["type"]
        assert name == f"event: {kind}"
        if kind != "ping":
            events.append(EVENT.validate_json(data.removeprefix("data: "), strict=True))
    return events


@pytest.mark.parametrize("model", ["wire", "claude", "quotes"])
async def test_a_message_with_citations_a_log_row_and_feedback(
    http: httpx.AsyncClient, url: str, upstream: FakeUpstream, log: MemoryLog, model: str
) -> None:
    upstream.script = Reply(text="You get 25 days [1]. Yes, 25 [1].", usage=Usage(30, 6, 20))
    message = await ask(http, model=model)
    assert message.id.startswith("msg_")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    (block,) = message.content
    assert block.type == "text"
    assert block.citations is not None
    cited = block.citations[0]
    assert cited.type == "search_result_location"
    assert (cited.cited_text, cited.title) == (PASSAGES[0].text, "Handbook")
    assert cited.source == f"{url}/v1/sources/{PASSAGES[0].id}"
    assert len({c.source for c in block.citations if c.type == "search_result_location"}) == len(block.citations)
    (row,) = await inferences(log)
    assert (row.id, row.surface, row.caller.user) == (message.id, "messages", "ana")
    assert row.choices[0].text == block.text
    if model != "quotes":
        usage = message.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 20, 6)
    rated = await http.post("/v1/feedback", json={"inference_id": message.id, "kind": "rating", "value": 1})
    assert rated.status_code == 201
    (said,) = [r async for r in log.read(LogQuery(inference_ids=frozenset({message.id})))]
    assert isinstance(said, Feedback)


@pytest.mark.parametrize("model", ["wire", "claude", "quotes"])
async def test_a_stream_brings_the_same_in_order(http: httpx.AsyncClient, upstream: FakeUpstream, model: str) -> None:
    upstream.script = Reply(text="You get 25 days [1].", delay=0.001, usage=Usage(30, 6, 20))
    events = await listen(http, model=model)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    deltas = [event.delta for event in events[2:-3]]
    text = "".join(delta.text for delta in deltas if delta.type == "text_delta")
    (whole,) = (await ask(http, model=model)).content
    assert whole.type == "text"
    assert text == whole.text
    assert [delta.citation for delta in deltas if delta.type == "citations_delta"] == whole.citations
    assert events[-2].delta.stop_reason == "end_turn"
    if model != "quotes":
        assert (events[-2].usage.input_tokens, events[-2].usage.cache_read_input_tokens) == (10, 20)


async def test_the_sdk_asks_streams_and_puts_together(client: AsyncAnthropic, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="You get 25 days [1].", delay=0.001)
    message = await client.messages.create(model="wire", max_tokens=9, messages=QUESTION)
    assert message._request_id == message.id
    async with client.messages.stream(model="wire", max_tokens=9, messages=QUESTION) as stream:
        assert "".join([piece async for piece in stream.text_stream]) == "You get 25 days [1]."
        final = await stream.get_final_message()
    (block,) = final.content
    assert block.type == "text"
    assert block.citations is not None
    assert len(block.citations) == 1
    assert final.usage.output_tokens == message.usage.output_tokens
    beta = await client.beta.messages.create(
        model="wire", max_tokens=9, messages=QUESTION, betas=["files-api-2025-04-14"]
    )
    assert beta.content[0].type == "text"


@pytest.mark.parametrize("model", ["wire", "claude"])
@pytest.mark.parametrize("text", ["", "Let me look [1]."])
async def test_a_round_trip_of_two_parallel_calls(
    client: AsyncAnthropic, http: httpx.AsyncClient, upstream: FakeUpstream, model: str, text: str
) -> None:
    upstream.script = Reply(text=text, tool_calls=CALLS)
    message = await ask(http, model=model, tools=TOOLS)
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == [*(["text"] if text else []), "tool_use", "tool_use"]
    called = [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"]
    assert called == [(call.id, call.name, json.loads(call.arguments)) for call in CALLS]
    async with client.messages.stream(model=model, max_tokens=9, messages=QUESTION, tools=TOOLS) as stream:
        final = await stream.get_final_message()
    assert [(b.id, b.name, b.input) for b in final.content if b.type == "tool_use"] == called
    assert final.stop_reason == "tool_use"
    upstream.script = Reply(text="25 and 10.")
    results = [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "25"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "10"}]},
    ]
    turns = [*QUESTION, final.to_param(), {"role": "user", "content": results}]
    answer = await client.messages.create(model=model, max_tokens=9, messages=turns, tools=TOOLS)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "25 and 10."
    if model == "wire":
        sent = upstream.last.json["messages"]
        assert sent[-3]["tool_calls"][0]["function"] == {"name": "lookup", "arguments": '{"q":"leave"}'}
        assert sent[-2:] == [
            {"role": "tool", "tool_call_id": "call_1", "content": "25"},
            {"role": "tool", "tool_call_id": "call_2", "content": "10"},
        ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(text="cut", finish_reason="length"), "max_tokens"),
        (Reply(text="no", finish_reason="content_filter"), "refusal"),
        (Reply(tool_calls=CALLS[:1], finish_reason="stop"), "tool_use"),
        (Reply(text="odd", finish_reason="eos"), "end_turn"),
        (Reply(), "end_turn"),
    ],
)
async def test_why_it_ended(
    http: httpx.AsyncClient, upstream: FakeUpstream, reply: Reply, reason: str, stream: bool
) -> None:
    upstream.script = reply
    if stream:
        assert (await listen(http))[-2].delta.stop_reason == reason
    else:
        assert (await ask(http)).stop_reason == reason


@pytest.mark.parametrize("stream", [False, True])
async def test_the_stop_sequence_is_told_where_the_model_tells_it(
    http: httpx.AsyncClient, upstream: FakeUpstream, stream: bool
) -> None:
    choice = {"index": 0, "finish_reason": "stop", "stop_reason": "END"}
    said = {"role": "assistant", "content": "one "}
    end = {"id": "x", "object": "o", "created": 1, "model": "m", "choices": [{**choice, "message": said}]}
    chunk = {**end, "choices": [{**choice, "delta": said}]}
    event = b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    upstream.script = Reply(body=(event, b"data: [DONE]\n\n") if stream else (msgspec.json.encode(end),))
    if stream:
        last = (await listen(http, stop_sequences=["END"]))[-2].delta
    else:
        last = await ask(http, stop_sequences=["END"])
    assert (last.stop_reason, last.stop_sequence) == ("stop_sequence", "END")
    assert upstream.last.json["stop"] == ["END"]


@pytest.mark.parametrize(
    ("arguments", "parsed"), [("", {}), ('{"q": "cut', {"_unparsed": '{"q": "cut'}), ("[1]", {"_unparsed": "[1]"})]
)
async def test_arguments_that_are_no_object_are_not_lost(
    http: httpx.AsyncClient, upstream: FakeUpstream, arguments: str, parsed: dict[str, Any]
) -> None:
    upstream.script = Reply(tool_calls=(ToolCall(0, "", "lookup", arguments),))
    (block,) = (await ask(http, tools=TOOLS)).content
    assert block.type == "tool_use"
    assert block.input == parsed
    assert block.id


@pytest.mark.parametrize(
    ("reply", "status", "kind", "error"),
    [
        (Reply(status=500, error="boom"), 502, "api_error", anthropic.InternalServerError),
        (
            Reply(status=429, error="slow", headers={"retry-after": "7"}),
            429,
            "rate_limit_error",
            anthropic.RateLimitError,
        ),
        (Reply(status=400, error="too long"), 400, "invalid_request_error", anthropic.BadRequestError),
        (Reply(status=404, error="gone"), 404, "not_found_error", anthropic.NotFoundError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_failures_come_in_anthropics_shape(
    client: AsyncAnthropic,
    upstream: FakeUpstream,
    reply: Reply,
    status: int,
    kind: str,
    error: type[anthropic.APIStatusError],
    stream: bool,
) -> None:
    upstream.script = reply
    with pytest.raises(error, match=reply.error) as caught:
        await client.messages.create(model="wire", max_tokens=9, messages=QUESTION, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.type == kind
    assert caught.value.request_id
    shown = ErrorResponse.model_validate(caught.value.body, strict=True)
    assert shown.request_id == caught.value.request_id
    assert caught.value.response.headers["x-request-id"] == caught.value.request_id


async def test_a_stream_that_breaks_ends_with_the_error(
    client: AsyncAnthropic, http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="one two three four", delay=0.005, cut=3, reset=True)
    response = await http.post("/v1/messages", json=body(stream=True))
    name, data = response.text.removesuffix("\n\n").split("\n\n")[-1].split("\n")
    assert name == "event: error"
    shown = ErrorResponse.model_validate_json(data.removeprefix("data: "), strict=True)
    assert (shown.error.type, shown.request_id) == ("api_error", response.headers["request-id"])
    with pytest.raises(anthropic.APIStatusError, match="broke off"):
        async with client.messages.stream(model="wire", max_tokens=9, messages=QUESTION) as stream:
            await stream.get_final_message()
    assert {row.outcome for row in await inferences(log)} == {"broken"}


async def test_who_may_not_ask_or_asks_for_what_is_not_there(url: str, client: AsyncAnthropic) -> None:
    async with AsyncAnthropic(base_url=url, api_key="rw-nobody", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await stranger.messages.create(model="wire", max_tokens=9, messages=QUESTION)
        assert caught.value.type == "authentication_error"
    with pytest.raises(anthropic.NotFoundError, match="nobody") as missing:
        await client.messages.create(model="nobody", max_tokens=9, messages=QUESTION)
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.NotFoundError, match="usage"):
        await client.messages.count_tokens(model="wire", messages=QUESTION)


async def test_a_body_over_the_limit_is_refused_in_the_same_shape(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/messages", content=b" " * 1_000_001)
    assert response.status_code == 413
    ErrorResponse.model_validate_json(response.text, strict=True)
