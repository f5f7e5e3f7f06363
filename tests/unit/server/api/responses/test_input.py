"""Requests as hostile as they come are refused by name; those that are taken mean one chat, however they came."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from rungwise_server.api.responses.input import kept_form, messages, references, sealed
from rungwise_server.api.responses.request import read_create
from rungwise_server.errors import BadRequest
from rungwise_server.types import Message

ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)

json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
words = st.sampled_from(["", "a", "user", "c1"])
types = st.sampled_from(
    [
        *("message", "function_call", "function_call_output", "reasoning", "item_reference", "file_search_call"),
        *("compaction", "computer_call", "input_text", "output_text", "refusal", "input_image", "input_file", "text"),
    ]
)
parts = st.fixed_dictionaries(
    {"type": types}, optional=dict.fromkeys(("text", "refusal", "image_url", "file_data", "detail"), words | json)
)
contents = words | st.lists(parts, max_size=3) | json
items = st.fixed_dictionaries(
    {},
    optional={
        "type": types | json,
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
        "content": contents,
        "output": contents,
        **dict.fromkeys(("id", "call_id", "name", "arguments", "encrypted_content", "status"), words | json),
    },
)
tools = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "file_search", "mcp"])},
    optional={
        "name": words,
        "vector_store_ids": st.just(["a"]) | json,
        "filters": json,
        "parameters": json,
    },
)
bodies = st.fixed_dictionaries(
    {"model": st.just("default")},
    optional={
        "input": words | st.lists(items, max_size=4) | json,
        "tools": st.lists(tools, max_size=2) | json,
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | tools | json,
        **dict.fromkeys(("text", "reasoning", "include", "metadata", "stream", "background", "truncation"), json),
        **dict.fromkeys(("temperature", "max_output_tokens", "stream_options", "instructions", "top_k"), json),
    },
)


@settings(max_examples=300, deadline=None)
@given(bodies)
def test_any_body_is_read_or_refused_by_name(body: dict[str, Any]) -> None:
    refused: BadRequest | None = None
    try:
        wanted = read_create(msgspec.json.encode(body), "resp_1")
        if not references(wanted.items):
            messages(kept_form(wanted.items, "resp_1"), wanted.response.instructions)
    except BadRequest as error:
        refused = error
    if refused is not None:
        assert refused.message
        assert refused.param is None or refused.param.split("[")[0].split(".")[0] in {*body, "input"}


def kept(*given: object) -> list[Raw]:
    return kept_form([Raw(msgspec.json.encode(item)) for item in given], "resp_1")


def chat(*given: object, instructions: str | None = None) -> list[Any]:
    return [msgspec.json.decode(message.raw) for message in messages(kept(*given), instructions)]


text = st.text(max_size=5)
good = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": text}),
    st.fixed_dictionaries(
        {
            "type": st.just("message"),
            "role": st.just("user"),
            "content": st.lists(
                st.fixed_dictionaries({"type": st.just("input_text"), "text": text})
                | st.just({"type": "input_image", "image_url": "data:image/png;base64,AA=="}),
                min_size=1,
                max_size=2,
            ),
        }
    ),
    st.just({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}),
    st.just({"type": "reasoning", "summary": []}),
    st.just({"type": "file_search_call", "id": "fs_1", "queries": [], "status": "completed"}),
    st.builds(lambda summary: {"type": "compaction", "encrypted_content": sealed(summary)}, text),
)


@settings(deadline=None)
@given(st.lists(good, min_size=1, max_size=6))
def test_the_kept_form_is_openais_keeps_its_form_and_means_the_same(given: list[dict[str, Any]]) -> None:
    once = kept(*given)
    for item in once:
        ITEM.validate_json(bytes(item), strict=True)
    again = kept_form(once, "resp_2")
    assert [msgspec.json.decode(item) for item in again] == [msgspec.json.decode(item) for item in once]
    if any(item.get("type") not in ("reasoning", "file_search_call") for item in given):
        told: list[Message] = list(messages(once, None))
        for message in told:
            raw = msgspec.json.decode(message.raw)
            assert raw["role"] == message.role != "developer"
            assert raw.get("tool_calls") or raw["content"] is not None


def test_one_turn_of_an_assistant_is_one_message() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "5"}]}
    said = chat({"role": "assistant", "content": "I look."}, call, {**call, "call_id": "d"}, output)
    assert [message["role"] for message in said] == ["assistant", "tool"]
    assert said[0]["content"] == "I look."
    assert [each["id"] for each in said[0]["tool_calls"]] == ["c", "d"]
    assert said[1] == {"role": "tool", "tool_call_id": "c", "content": "5"}


def test_instructions_stand_in_one_message_with_the_systems_text() -> None:
    said = chat({"role": "developer", "content": "b"}, {"role": "user", "content": "c"}, instructions="a")
    assert said == [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}]


@pytest.mark.parametrize(
    ("data", "is_text"),
    [
        ("data:text/plain;base64," + base64.b64encode("grün".encode()).decode(), True),
        (base64.b64encode(b"plain").decode(), True),
        (base64.b64encode(b"%PDF-1.7\xff").decode(), False),
        (base64.b64encode(b"a\0b").decode(), False),
        ("no base64 at all!", False),
    ],
)
def test_a_file_is_text_or_the_models_to_read(data: str, is_text: bool) -> None:
    part = {"type": "input_file", "filename": "a.txt", "file_data": data}
    (message,) = chat({"role": "user", "content": [part]})
    assert message["content"][0]["type"] == ("text" if is_text else "file")
