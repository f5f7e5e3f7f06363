"""Anthropic's requests in chat's words, and what is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.api.messages.request import read_messages
from rungwise_server.errors import BadRequest
from rungwise_server.types import ChatRequest

USER = {"role": "user", "content": "hi"}
TOOL = {"name": "lookup", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
USE = {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"q": 1}}


def read(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [USER], **fields}
    return read_messages(json.dumps(body).encode(), "msg_1")[0]


def turns(request: ChatRequest) -> list[Any]:
    return [json.loads(bytes(message.raw)) for message in request.messages]


def params(request: ChatRequest) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in request.params.items()}


def part(block: dict[str, Any]) -> Any:
    (turn,) = turns(read(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, block]}]))
    return turn["content"]


def test_the_fields_under_chats_names() -> None:
    request = read(
        system=[{"type": "text", "text": "Be"}, {"type": "text", "text": "brief.", "cache_control": {}}],
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        metadata={"user_id": "u1"},
        tools=[{**TOOL, "description": "Finds.", "strict": True, "cache_control": {"type": "ephemeral"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
        thinking={"type": "enabled", "budget_tokens": 2000},
        service_tier="standard_only",
        stream=True,
        guided_regex="x",
        cache_control={"type": "ephemeral"},
    )
    assert (request.model, request.stream, request.id) == ("m", True, "msg_1")
    assert turns(request) == [{"role": "system", "content": "Be\nbrief."}, USER]
    function = {"name": "lookup", "parameters": {"type": "object"}, "description": "Finds.", "strict": True}
    assert params(request) == {
        "max_completion_tokens": 5,
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "user": "u1",
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "service_tier": "default",
        "guided_regex": "x",
    }


def test_what_asks_for_nothing_is_left_out() -> None:
    nulls = dict.fromkeys(
        ("system", "tools", "tool_choice", "stop_sequences", "temperature", "metadata", "n", "stream")
    )
    request = read(**nulls, thinking={"type": "disabled"}, service_tier="auto", container=None)
    assert params(request) == {"max_completion_tokens": 5}
    assert not request.stream


@pytest.mark.parametrize(
    ("choice", "chats"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "lookup"}, {"type": "function", "function": {"name": "lookup"}}),
    ],
)
def test_the_choice_of_a_tool(choice: dict[str, Any], chats: object) -> None:
    assert params(read(tools=[TOOL], tool_choice=choice))["tool_choice"] == chats


def test_blocks_of_text_are_one_text_and_that_is_what_is_searched_for() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}]
    request = read(messages=[{"role": "user", "content": blocks}])
    assert turns(request) == [{"role": "user", "content": "one\ntwo"}]
    assert request.messages[0].text == "one\ntwo"


def test_images_and_files_are_parts() -> None:
    see = {"type": "text", "text": "see"}
    address = "data:image/png;base64,AA=="
    assert part(IMAGE) == [see, {"type": "image_url", "image_url": {"url": address}}]
    there = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    assert part(there) == [see, {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]
    source = {"type": "base64", "media_type": "application/pdf", "data": "AA=="}
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
    assert part({"type": "document", "title": "a.pdf", "source": source}) == [see, {"type": "file", "file": file}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "D"}},
        {
            "type": "document",
            "title": "T",
            "context": "C",
            "source": {"type": "content", "content": [{"type": "text", "text": "D"}]},
        },
        {"type": "search_result", "title": "T", "source": "C", "content": [{"type": "text", "text": "D"}]},
    ],
)
def test_documents_are_text(block: dict[str, Any]) -> None:
    assert part(block) == "see\nT\nC\nD"


def test_a_turn_with_tools_and_what_was_thought_before() -> None:
    request = read(
        messages=[
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hmm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Let me look."},
                    USE,
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "no such thing", "is_error": True},
                    {"type": "tool_result", "tool_use_id": "t2"},
                    {"type": "tool_result", "tool_use_id": "t3", "content": [{"type": "text", "text": "see"}, IMAGE]},
                    {"type": "text", "text": "go on"},
                ],
            },
        ]
    )
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": '{"q":1}'}}
    assert turns(request) == [
        USER,
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "content": "Error: no such thing", "tool_call_id": "t1"},
        {"role": "tool", "content": "", "tool_call_id": "t2"},
        {"role": "tool", "content": "see", "tool_call_id": "t3"},
        {"role": "user", "content": [image, {"type": "text", "text": "go on"}]},
    ]
    assert turns(read(messages=[USER, {"role": "assistant", "content": [USE]}]))[1]["content"] is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
            "messages[0].content[0].source.media_type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": "x"}]}]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "u"}}]}]},
            "messages[0].content[0].source.type",
        ),
        ({"messages": [{"role": "user", "content": [USE]}]}, "messages[0].content[0].type"),
        ({"messages": [USER, {"role": "assistant", "content": [IMAGE]}]}, "messages[1].content[0].type"),
        (
            {"messages": [USER, {"role": "assistant", "content": [{**USE, "input": None}]}]},
            "messages[1].content[0].input",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "x"}]}]},
            "messages[1].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "?"}]}],
                    }
                ]
            },
            "messages[0].content[0].content[0].type",
        ),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"temperature": 1.5}, "temperature"),
        ({"tools": [{"name": "lookup"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stream_options": {}}, "stream_options"),
    ],
)
def test_what_is_wrong_is_told_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    assert caught.value.param == param


def test_max_tokens_must_be_there() -> None:
    with pytest.raises(BadRequest, match="max_tokens"):
        read_messages(json.dumps({"model": "m", "messages": [USER]}).encode(), "msg_1")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
KINDS = ["text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "odd"]
SOURCES = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "content", "base64", "url", "?"])},
    optional={"data": st.text(max_size=5), "media_type": st.just("a/b"), "url": st.text(max_size=5), "content": JSON},
)
BLOCKS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional={
            **dict.fromkeys(("text", "id", "name", "tool_use_id", "title"), st.text(max_size=5) | JSON),
            "source": SOURCES | JSON,
            "input": st.dictionaries(st.text(max_size=3), JSON, max_size=2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS), "tool_use_id": st.just("t"), "content": st.lists(inner, max_size=3)}
    ),
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text() | st.lists(BLOCKS, max_size=3)}
)


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(TURNS, min_size=1, max_size=3), other=st.dictionaries(st.text(max_size=5), JSON, max_size=2))
def test_whatever_comes_is_read_or_refused(messages: list[Any], other: dict[str, Any]) -> None:
    try:
        request = read(**{**other, "messages": messages, "model": "m", "max_tokens": 5})
    except BadRequest:
        return
    assert all(turn["role"] in ("user", "assistant", "system", "tool") for turn in turns(request))
