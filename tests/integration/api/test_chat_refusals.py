"""What is wrong with a chat request is told by the name of the field, in a 400 with all four keys."""

import json
from typing import Any

import httpx
import pytest

from rungwise_server.testing.upstream import FakeUpstream

USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "lookup", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}

FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"frequency_penalty": -3}, "frequency_penalty"),
    ({"logit_bias": {"50256": 101}}, "logit_bias"),
    ({"logit_bias": {"50256": "much"}}, "logit_bias"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"n": 10**30}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -5}, "max_tokens"),
    ({"max_completion_tokens": -5}, "max_completion_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    ({"logprobs": 3}, "logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"seed": 2**63}, "seed"),
    ({"seed": "lucky"}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": ["a", 5]}, "stop[1]"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": False, "stream_options": {}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]}, "tools[0].function.parameters"),
    ({"tools": [{"function": FUNCTION}]}, "tools[0].type"),
    ({"tools": "lookup"}, "tools"),
    ({"tools": [TOOL], "functions": [FUNCTION]}, "functions"),
    ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "nothing"}}}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "lookup"}}}, "tool_choice"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.json_schema.name"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": "object"}}},
        "response_format.json_schema.schema",
    ),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"modalities": "text"}, "modalities"),
    ({"store": "yes"}, "store"),
    ({"user": 5}, "user"),
    ({"model": ""}, "model"),
    ({"model": None}, "model"),
]
MESSAGES: list[tuple[Any, str]] = [
    ([], "messages"),
    ("hi", "messages"),
    (None, "messages"),
    ([{"content": "hi"}], "messages[0].role"),
    ([USER, {"role": "wizard", "content": "hi"}], "messages[1].role"),
    ([{"role": "user"}], "messages[0].content"),
    ([{"role": "user", "content": None}], "messages[0].content"),
    ([{"role": "user", "content": {"text": "hi"}}], "messages[0].content"),
    ([{"role": "user", "content": [{"text": "hi"}]}], "messages[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].image_url.url"),
    ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].input_audio"),
    ([USER, {"role": "assistant"}], "messages[1].content"),
    ([USER, {"role": "assistant", "content": None, "tool_calls": []}], "messages[1].content"),
    ([USER, {"role": "assistant", "tool_calls": [{"id": "c1"}]}], "messages[1].tool_calls[0].function"),
    ([USER, {"role": "assistant", "tool_calls": [{**CALL, "id": None}]}], "messages[1].tool_calls[0].id"),
    (
        [USER, {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}],
        "messages[1].tool_calls[0].function.arguments",
    ),
    ([USER, {"role": "tool", "content": "42"}], "messages[1].tool_call_id"),
    ([USER, {"role": "tool", "tool_call_id": "c1"}], "messages[1].content"),
]
BODIES: list[tuple[bytes, str]] = [
    (b"", "JSON"),
    (b"model=default", "JSON"),
    (b"null", "body"),
    (b'"hi"', "body"),
    (b"\xff\xfe{}", "JSON"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "hi"}], "odd": "\xff"}', "JSON"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "\\ud800"}]}', "JSON"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "hi"}], "temperature": NaN}', "JSON"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}', "temperature"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "hi"}], "x": Infinity}', "JSON"),
    (b'{"model": "default", "messages": [{"role": "user", "content": "hi"}],}', "JSON"),
    (b'{"model": "default", "odd": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "JSON"),
]


async def refused(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["code"]
    assert response.headers["x-request-id"]
    return dict(error)


@pytest.mark.parametrize(("fields", "param"), FIELDS, ids=[json.dumps(f)[:60] for f, _ in FIELDS])
async def test_a_field_is_told_by_name(
    http: httpx.AsyncClient, upstream: FakeUpstream, fields: dict[str, Any], param: str
) -> None:
    body = {"model": "default", "messages": [USER], **fields}
    error = await refused(await http.post("/v1/chat/completions", json=body))
    assert error["param"] == param
    assert param.partition("[")[0].partition(".")[0] in error["message"]
    assert not upstream.requests


@pytest.mark.parametrize(("messages", "param"), MESSAGES, ids=[json.dumps(m)[:60] for m, _ in MESSAGES])
async def test_a_message_is_told_by_its_place(http: httpx.AsyncClient, messages: Any, param: str) -> None:
    error = await refused(await http.post("/v1/chat/completions", json={"model": "default", "messages": messages}))
    assert error["param"] == param


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[repr(b[:40]) for b, _ in BODIES])
async def test_a_body_that_is_no_request(http: httpx.AsyncClient, body: bytes, words: str) -> None:
    error = await refused(await http.post("/v1/chat/completions", content=body))
    assert words in error["message"]


async def test_forms_are_no_json(http: httpx.AsyncClient) -> None:
    files = {"messages": ("a.json", b"[]", "application/json")}
    for response in (
        await http.post("/v1/chat/completions", data={"model": "default"}),
        await http.post("/v1/chat/completions", files=files),
    ):
        assert (await refused(response))["code"] == "invalid_json"


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": None, "n": None, "tools": None, "tool_choice": None, "stop": None, "stream_options": None},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "lookup"}}},
        {
            "tools": [{"type": "custom", "custom": {"name": "c"}}],
            "tool_choice": {"type": "custom", "custom": {"name": "c"}},
        },
        {"response_format": {"type": "structural_tag", "structures": []}},
        {"seed": -(2**63), "logit_bias": {"1": -100}, "stop": ["a", "b", "c", "d", "e"]},
        {"max_completion_tokens": 1, "max_tokens": None},
    ],
)
async def test_what_is_right_goes_through_as_it_came(
    http: httpx.AsyncClient, upstream: FakeUpstream, fields: dict[str, Any]
) -> None:
    response = await http.post("/v1/chat/completions", json={"model": "default", "messages": [USER], **fields})
    assert response.status_code == 200, response.text
    sent = upstream.last.json
    assert {name: sent[name] for name in fields} == fields
