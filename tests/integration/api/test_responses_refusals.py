"""What `/v1/responses` refuses by name, what it passes on, and what fails."""

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from rungwise_server.testing.upstream import FakeUpstream, Reply


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
async def test_what_is_wrong_or_not_here_is_told_by_name(http: httpx.AsyncClient, body: object, param: str) -> None:
    answer = await http.post("/v1/responses", json=body)
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
