"""Chat over each kind of model - one that speaks OpenAI's wire, one behind litellm, one that quotes: what clients get
is strictly OpenAI's, and what a model cannot do it refuses by name.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.extractive import Extractive
from rungwise_server.models.litellm import LiteLLM
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import ChatModel
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ToolCall

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # litellm's own

QUESTION: Any = [{"role": "user", "content": "how many days of annual leave ?"}]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}},
}
CALLS = (ToolCall(0, "call_1", "lookup", '{"q": "leave"}'), ToolCall(1, "call_2", "lookup", '{"q": "sick"}'))
PASSAGES = [passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook")]


@pytest.fixture
async def http(
    request: pytest.FixtureRequest, upstream: FakeUpstream, log: MemoryLog
) -> AsyncIterator[httpx.AsyncClient]:
    """A server whose candidates are `wire`, `litellm`, `claude` and `quotes`."""
    models: dict[str, ChatModel] = {
        "wire": OpenAICompatible(url=upstream.url, model="m"),
        "litellm": LiteLLM("openai/m", api_key="k", url=upstream.url),
        "claude": LiteLLM("anthropic/claude-sonnet-4-5", api_key="k", url=upstream.origin),
        "quotes": Extractive(HashEmbedder(), lambda text: "en"),
    }
    engine = small_engine(models["wire"], others=models, passages=PASSAGES, prompt=Prompt("p", "Cite."), log=log)
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(base_url=url, timeout=30) as made:
        yield made


async def ask(http: httpx.AsyncClient, model: str, **fields: Any) -> ChatCompletion:
    body = {"model": model, "messages": QUESTION, **fields}
    response = await http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return ChatCompletion.model_validate_json(response.text, strict=True)


async def listen(http: httpx.AsyncClient, model: str, **fields: Any) -> list[ChatCompletionChunk]:
    body = {"model": model, "messages": QUESTION, "stream": True, **fields}
    response = await http.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [ChatCompletionChunk.model_validate_json(e.removeprefix("data: "), strict=True) for e in events[:-2]]


async def refusal(http: httpx.AsyncClient, model: str, **fields: Any) -> str | None:
    for stream in (False, True):
        body = {"model": model, "messages": QUESTION, "stream": stream, **fields}
        response = await http.post("/v1/chat/completions", json=body)
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
    return str(error["param"])


@pytest.mark.parametrize("model", ["wire", "litellm", "claude", "quotes"])
async def test_answers_are_strictly_openais(http: httpx.AsyncClient, upstream: FakeUpstream, model: str) -> None:
    upstream.script = Reply(text="You get 25 days [1].")
    whole = await ask(http, model)
    (choice,) = whole.choices
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert whole.usage is not None
    assert choice.message.annotations is not None
    assert [a.url_citation.title for a in choice.message.annotations] == ["Handbook"]
    chunks = await listen(http, model, stream_options={"include_usage": True})
    assert {chunk.id for chunk in chunks} != {whole.id}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    deltas = [chunk.choices[0] for chunk in chunks[:-1]]
    assert "".join(each.delta.content or "" for each in deltas) == choice.message.content
    assert [each.delta.role for each in deltas if each.delta.role] == ["assistant"]
    assert [each.finish_reason for each in deltas if each.finish_reason] == ["stop"]
    assert deltas[-1].finish_reason
    cited = [a for each in deltas for a in getattr(each.delta, "annotations", None) or []]
    assert [a["url_citation"] for a in cited] == [a.url_citation.model_dump() for a in choice.message.annotations]
    without = await listen(http, model)
    assert all(chunk.usage is None and chunk.choices for chunk in without)


@pytest.mark.parametrize("model", ["wire", "litellm"])
async def test_several_choices_each_have_their_own_text_and_only_the_first_is_cited(
    http: httpx.AsyncClient, upstream: FakeUpstream, model: str
) -> None:
    upstream.script = Reply(text="You get 25 days [1].")
    whole = await ask(http, model, n=3)
    assert [c.index for c in whole.choices] == [0, 1, 2]
    assert {c.message.content for c in whole.choices} == {"You get 25 days [1]."}
    assert [bool(c.message.annotations) for c in whole.choices] == [True, False, False]
    choices = [choice for chunk in await listen(http, model, n=3) for choice in chunk.choices]
    for index in range(3):
        own = [choice for choice in choices if choice.index == index]
        assert own[0].delta.role == "assistant"
        assert "".join(each.delta.content or "" for each in own) == "You get 25 days [1]."
        assert own[-1].finish_reason == "stop"
        assert any(getattr(each.delta, "annotations", None) for each in own) == (index == 0)


@pytest.mark.parametrize("model", ["wire", "litellm", "claude"])
async def test_a_round_trip_of_two_parallel_calls(http: httpx.AsyncClient, upstream: FakeUpstream, model: str) -> None:
    upstream.script = Reply(text="Let me look [1]." if model == "wire" else "", tool_calls=CALLS)
    whole = await ask(http, model, tools=[TOOL])
    message = whole.choices[0].message
    assert whole.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    expected = [(call.id, json.loads(call.arguments)) for call in CALLS]
    assert [(c.id, json.loads(c.function.arguments)) for c in message.tool_calls if c.type == "function"] == expected
    if model == "wire":
        assert message.annotations
    chunks = await listen(http, model, tools=[TOOL])
    streamed: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                parts = streamed.setdefault(call.index, ["", ""])
                parts[0] += call.id or ""
                parts[1] += (call.function and call.function.arguments) or ""
    assert [(id, json.loads(arguments)) for id, arguments in streamed.values()] == expected
    upstream.script = Reply(text="25 and 10.")
    turns = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [c.model_dump() for c in message.tool_calls]},
        {"role": "tool", "tool_call_id": "call_1", "content": "25"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "10"}]},
    ]
    answer = await ask(http, model, messages=turns, tools=[TOOL])
    assert answer.choices[0].message.content == "25 and 10."
    sent = upstream.last.json["messages"]
    if model == "claude":
        assert [block["tool_use_id"] for block in sent[-1]["content"]] == ["call_1", "call_2"]
    else:
        assert sent[-2:] == turns[-2:]
        assert [call["id"] for call in sent[-3]["tool_calls"]] == ["call_1", "call_2"]
        # The passages stand at the question, not among the results.
        assert "Annual leave is 25 days." in sent[-4]["content"]


async def test_a_call_without_arguments_or_id_still_parses(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(tool_calls=(ToolCall(0, "", "lookup", ""),))
    message = (await ask(http, "litellm", tools=[TOOL])).choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].id


async def test_the_wire_brings_whatever_the_model_says(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="25 days")
    whole = await ask(http, "wire", logprobs=True, top_logprobs=2)
    assert whole.choices[0].logprobs is not None
    chunks = await listen(http, "wire", logprobs=True)
    assert any(choice.logprobs for chunk in chunks for choice in chunk.choices)
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": None, "refusal": "I may not.", "reasoning": "hmm"},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    upstream.script = Reply(body=(msgspec.json.encode(body),))
    whole = await ask(http, "wire")
    assert whole.choices[0].message.refusal == "I may not."
    assert (whole.service_tier, whole.system_fingerprint) == ("default", "fp")
    assert whole.model_dump()["choices"][0]["message"]["reasoning"] == "hmm"


async def test_legacy_functions_pass_and_are_logged(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog
) -> None:
    called = {"name": "lookup", "arguments": '{"q": 1}'}
    message = {"role": "assistant", "content": None, "function_call": called}
    choice = {"index": 0, "finish_reason": "function_call", "message": message}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    upstream.script = Reply(body=(msgspec.json.encode(body),))
    whole = await ask(http, "wire", functions=[TOOL["function"]], function_call="auto")
    assert whole.choices[0].message.function_call is not None
    assert upstream.last.json["functions"] == [TOOL["function"]]
    rows = [r async for r in log.read(LogQuery(kind="inference"))]
    assert isinstance(rows[0], Inference)
    assert [(c.name, c.arguments) for c in rows[0].choices[0].tool_calls] == [("lookup", '{"q": 1}')]


async def test_parts_roles_and_fields_reach_the_model_as_they_came(
    http: httpx.AsyncClient, upstream: FakeUpstream
) -> None:
    upstream.script = Reply(text="ok")
    turns: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is zebra ?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "video_url", "video_url": {"url": "https://x.example/v"}, "odd": 1},
            ],
            "name": "ana",
        },
    ]
    fields = {
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "store": True,
        "metadata": {"a": "b"},
        "reasoning_effort": "low",
        "prediction": {"type": "content", "content": "x"},
        "guided_regex": "[0-9]+",
        "chat_template_kwargs": {"enable_thinking": False},
    }
    await ask(http, "wire", messages=turns, **fields)
    sent = upstream.last.json
    assert {name: sent[name] for name in fields} == fields
    assert sent["messages"][0] == {"role": "developer", "content": "Cite.\n\nBe brief."}
    assert sent["messages"][1]["content"][-5:] == turns[1]["content"]
    assert sent["messages"][1]["name"] == "ana"


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        ("quotes", {"n": 2}, "n"),
        ("quotes", {"logprobs": True}, "logprobs"),
        ("quotes", {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ("quotes", {"response_format": {"type": "json_object"}}, "response_format"),
        (
            "quotes",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
            "response_format",
        ),
        ("quotes", {"functions": [TOOL["function"]], "function_call": {"name": "lookup"}}, "function_call"),
        ("quotes", {"modalities": ["text", "audio"]}, "modalities"),
        ("litellm", {"logprobs": True}, "logprobs"),
        ("litellm", {"modalities": ["audio"]}, "modalities"),
        ("litellm", {"functions": [TOOL["function"]]}, "functions"),
        ("litellm", {"odd": 1}, "odd"),
    ],
)
async def test_what_a_model_cannot_do_it_refuses_by_name(
    http: httpx.AsyncClient, model: str, fields: dict[str, Any], param: str
) -> None:
    assert await refusal(http, model, **fields) == param


async def test_what_asks_for_nothing_is_not_refused(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="ok")
    for model in ("litellm", "quotes"):
        await ask(http, model, logprobs=False, n=1, modalities=["text"], tool_choice="none", tools=[TOOL], seed=None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "said", "finish"),
    [
        ({"max_tokens": 2}, "Annual leave", "length"),
        ({"max_completion_tokens": 1}, "Annual", "length"),
        ({"stop": " is"}, "Annual leave", "stop"),
        ({"stop": ["days", "leave"]}, "Annual ", "stop"),
        ({"stop": ["Annual"]}, "", "stop"),
        ({"stop": "nowhere", "max_tokens": 500}, "Annual leave is 25 days. [1]", "stop"),
    ],
)
async def test_a_quoting_model_ends_where_the_client_says(
    http: httpx.AsyncClient, fields: dict[str, Any], said: str, finish: str, stream: bool
) -> None:
    if stream:
        choices = [choice for chunk in await listen(http, "quotes", **fields) for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in choices) == said
        assert choices[-1].finish_reason == finish
        return
    (choice,) = (await ask(http, "quotes", **fields)).choices
    assert (choice.message.content, choice.finish_reason) == (said, finish)
    for annotation in choice.message.annotations or []:
        assert annotation.url_citation.end_index <= len(said)


async def test_openais_own_helpers_understand_the_stream(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(tool_calls=CALLS)
    async with AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="x", max_retries=0) as client:
        for model in ("wire", "claude"):
            tools: Any = [{**TOOL, "function": {**TOOL["function"], "strict": True}}]
            async with client.chat.completions.stream(model=model, messages=QUESTION, tools=tools) as stream:
                final = await stream.get_final_completion()
            calls = final.choices[0].message.tool_calls
            assert calls is not None
            assert [call.id for call in calls] == ["call_1", "call_2"]
