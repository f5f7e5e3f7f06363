"""The chat endpoint through openai-python, over real sockets, in front of a provider that fails on demand."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import inferences
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ChatRequest, Delta, Passage, ToolCall

USER: Any = [{"role": "user", "content": "how many days of annual leave ?"}]


async def test_an_answer_with_citations_a_log_row_and_its_reason(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog, url: str, passages: list[Passage]
) -> None:
    upstream.script = Reply(text="You get 25 days [1].")
    raw = await client.chat.completions.with_raw_response.create(model="default", messages=USER)
    completion = raw.parse()
    message = completion.choices[0].message
    assert message.content == "You get 25 days [1]."
    assert message.annotations is not None
    cited = message.annotations[0].url_citation
    assert cited.url == f"{url}/v1/sources/{passages[0].id}"
    assert message.content[cited.start_index : cited.end_index] == "[1]"
    assert cited.title == "Handbook"
    assert raw.headers["x-rungwise-candidate"] == "strong"
    assert raw.headers["x-rungwise-route"] == "it is the strongest"
    assert raw.headers["x-request-id"] == completion.id
    (row,) = await inferences(log)
    assert row.id == completion.id
    assert row.choices[0].text == message.content
    assert [p.id for p in row.passages] == [p.id for p in passages]
    assert row.citations[0].passage_id == passages[0].id
    assert (row.outcome, row.candidate, row.prompt) == ("ok", "strong", Prompt("grounded", "Cite.").id)
    assert row.usage is not None
    assert row.cost == pytest.approx((row.usage.input_tokens + 2 * row.usage.output_tokens) / 1e6)
    sent = upstream.last.json["messages"]
    assert sent[0] == {"role": "system", "content": "Cite."}
    assert "Annual leave is 25 days." in sent[1]["content"]


async def test_a_stream_brings_citations_as_they_are_written_and_usage_at_the_end(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="You get 25 days [1]. A note is needed [2].", delay=0.005)
    stream = await client.chat.completions.create(
        model="default",
        messages=USER,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    cited: list[str] = []
    finish: list[str] = []
    ids: set[str] = set()
    async for chunk in stream:
        ids.add(chunk.id)
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for annotation in getattr(choice.delta, "annotations", None) or []:
                assert not finish, "a citation came after the end"
                cited.append(text[annotation["url_citation"]["start_index"] : annotation["url_citation"]["end_index"]])
            if choice.finish_reason:
                finish.append(choice.finish_reason)
    assert text == "You get 25 days [1]. A note is needed [2]."
    assert cited == ["[1]", "[2]"]
    assert finish == ["stop"]
    assert usage is not None
    (row,) = await inferences(log)
    assert ids == {row.id}
    assert row.usage is not None
    assert row.usage.output_tokens == usage.completion_tokens


async def test_the_stream_without_usage_is_the_models_own_and_ends_with_done(
    http: httpx.AsyncClient, upstream: FakeUpstream
) -> None:
    upstream.script = Reply(text="no citation here")
    response = await http.post("/v1/chat/completions", json={"model": "default", "messages": USER, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in response.text
    chunks = [json.loads(event[6:]) for event in response.text.strip().split("\n\n")[:-1]]
    assert all(c["choices"][0]["delta"] or c["choices"][0]["finish_reason"] for c in chunks), "an empty event was sent"
    assert "chatcmpl-fake" not in response.text


async def test_what_the_client_sets_reaches_the_model_as_it_came(client: AsyncOpenAI, upstream: FakeUpstream) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
    ]
    upstream.script = Reply(tool_calls=(ToolCall(0, "call_1", "lookup", '{"q": 1}'),))
    completion = await client.chat.completions.create(
        model="default",
        messages=USER,
        tools=tools,
        n=2,
        seed=7,
        logprobs=True,
        temperature=0.25,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        extra_body={"guided_regex": "a+", "nested": {"deep": [1, None, "ü"]}},
    )
    assert len(completion.choices) == 2
    called: Any = completion.choices[0].message.tool_calls
    assert called[0].function.arguments == '{"q": 1}'
    assert completion.choices[0].logprobs is not None
    sent = upstream.last.json
    assert sent["model"] == "up-model"
    assert sent["tools"] == tools
    assert (sent["n"], sent["seed"], sent["temperature"], sent["guided_regex"]) == (2, 7, 0.25, "a+")
    assert sent["nested"] == {"deep": [1, None, "ü"]}


async def test_a_candidates_name_pins_and_an_unknown_model_is_named(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="strong", messages=USER)
    assert "by name" in raw.headers["x-rungwise-route"]
    with pytest.raises(openai.NotFoundError, match=r"'gpt-nope' does not exist\. There are: default, strong") as caught:
        await client.chat.completions.create(model="gpt-nope", messages=USER)
    assert caught.value.body == {
        "message": "The model 'gpt-nope' does not exist. There are: default, strong",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_housekeeping_is_not_searched_for_and_is_marked(
    client: AsyncOpenAI, upstream: FakeUpstream, log: MemoryLog
) -> None:
    task = "### Task:\nGenerate a title.\n### Chat History:\n<chat_history>annual leave</chat_history>"
    await client.chat.completions.create(model="default", messages=[{"role": "user", "content": task}])
    assert upstream.last.json["messages"] == [{"role": "user", "content": task}]
    (row,) = await inferences(log)
    assert row.housekeeping
    assert row.passages == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": "default"}', "messages"),
        (b'{"model": "default", "messages": []}', "messages"),
        (b'{"model": "default", "messages": [{"role": "wizard", "content": "x"}]}', "messages[0].role"),
        (b'{"model": "default", "messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        (b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "temperature": 9}', "temperature"),
        (b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "n": "2"}', "n"),
        (b'{"model": "default", "messages": "\xff"}', "messages"),
        (b"[" * 100_000, None),
    ],
)
async def test_bad_input_is_told_by_name(http: httpx.AsyncClient, body: bytes, param: str | None) -> None:
    response = await http.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


async def test_a_body_over_the_limit_is_refused(http: httpx.AsyncClient) -> None:
    declared = await http.post("/v1/chat/completions", content=b" " * 1_000_001)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    streamed = await http.post("/v1/chat/completions", content=chunks())
    assert (declared.status_code, streamed.status_code) == (413, 413)


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(status=500, error="boom"), openai.InternalServerError, "boom"),
        (Reply(status=401, error="bad key sk-upstream-secret"), openai.InternalServerError, "key"),
        (Reply(status=429, error="slow down", headers={"retry-after": "7"}), openai.RateLimitError, "slow down"),
        (Reply(status=400, error="too long", param="messages"), openai.BadRequestError, "too long"),
        (Reply(raw=b"garbage\r\n\r\n"), openai.InternalServerError, "HTTP"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_byte_has_its_real_status_and_a_row(
    client: AsyncOpenAI,
    upstream: FakeUpstream,
    log: MemoryLog,
    reply: Reply,
    error: type[openai.APIStatusError],
    words: str,
    stream: bool,
) -> None:
    upstream.script = reply
    with pytest.raises(error, match=words) as caught:
        await client.chat.completions.create(model="default", messages=USER, stream=stream)
    assert "sk-upstream-secret" not in caught.value.message
    if reply.status == 429:
        assert caught.value.response.headers["retry-after"] == "7"
    (row,) = await inferences(log)
    assert row.outcome == "failed"
    assert row.error


async def test_an_unreachable_model_is_named(log: MemoryLog) -> None:
    engine = small_engine(OpenAICompatible(url="http://127.0.0.1:9/v1", model="m"), log=log)
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient() as http:
        response = await http.post(f"{url}/v1/chat/completions", json={"model": "default", "messages": USER})
    assert response.status_code == 502
    assert "127.0.0.1:9" in response.json()["error"]["message"]


async def test_a_stream_that_breaks_says_so_and_still_ends(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="one two three four", delay=0.005, cut=3, reset=True)
    response = await http.post("/v1/chat/completions", json={"model": "default", "messages": USER, "stream": True})
    assert response.status_code == 200
    events = response.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert '"code":"stream_broken"' in events[-2]
    (row,) = await inferences(log)
    assert row.outcome == "broken"
    assert row.choices[0].text


class Faulty:
    """A model with a fault that nobody foresaw."""

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        yield Delta(text="one ", model="faulty")
        raise RuntimeError("a secret of the inside")


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/v1/chat/completions", {"messages": USER}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/completions", {"prompt": ["x", "y"]}),
        ("/v1/messages", {"messages": USER, "max_tokens": 9}),
    ],
)
async def test_a_fault_of_ours_in_mid_stream_is_told_without_its_words(
    log: MemoryLog, path: str, asks: dict[str, Any]
) -> None:
    body = {"model": "default", "stream": True, **asks}
    async with serving(small_engine(Faulty(), log=log), MemoryIndex()) as url, httpx.AsyncClient() as http:
        response = await http.post(f"{url}{path}", json=body)
    assert response.status_code == 200
    assert "its log says what" in response.text
    assert "secret" not in response.text
    assert response.text.endswith("data: [DONE]\n\n") == (path != "/v1/messages")
    (row,) = await inferences(log)
    assert (row.outcome, row.choices[0].text) == ("broken", "one ")


async def test_two_hundred_at_once_each_get_their_own_answer(client: AsyncOpenAI, log: MemoryLog) -> None:
    async def ask(n: int) -> None:
        completion = await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": f"zebra {n}"}]
        )
        content = completion.choices[0].message.content
        assert content is not None
        assert content.endswith(f"zebra {n}")

    await asyncio.gather(*(ask(n) for n in range(200)))
    assert len({row.id for row in await inferences(log)}) == 200
