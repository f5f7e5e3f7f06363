"""What a request asks of sampling, and what cannot be had where words are generated elsewhere."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rungwise_pipelines.batch.generate import ORDER, row_of
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.orders import Noting, Order, Ordered, Sampling, Sieve, Turns, read_sampling
from rungwise_server.errors import BadRequest
from rungwise_server.log.memory import MemoryLog
from rungwise_server.types import ChatRequest, Message, Route


def raws(fields: dict[str, Any]) -> dict[str, Raw]:
    return {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def request(*messages: dict[str, Any], **params: Any) -> ChatRequest:
    said = (Message(m["role"], str(m.get("content")), Raw(msgspec.json.encode(m))) for m in messages)
    return ChatRequest("id", "w", tuple(said), raws(params))


def as_text(turns: Turns) -> str:
    if "no" in turns[-1]["content"]:
        raise ValueError("roles must alternate")
    return "|".join(turn["content"] for turn in turns)


async def asked(of: ChatRequest, **params: str | int | float | bool) -> Order:
    """What a model that notes makes of a request."""
    with pytest.raises(Ordered) as raised:
        await anext(Noting(as_text, params, Sieve(MemoryLog())).stream(of))
    ordered = raised.value
    return Order(Line(1, "1", "u", b"{}"), "w", "w", Route("c", "", ""), (), ordered._prompt, ordered._sampling)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Sampling()),
        ({"temperature": 0, "top_p": 0.5, "seed": 4, "top_k": 3}, Sampling(temperature=0, top_p=0.5, seed=4, top_k=3)),
        ({"max_completion_tokens": 7}, Sampling(max_tokens=7)),
        ({"stop": "x"}, Sampling(stop=["x"])),
        ({"stop": ["x", "y"], "temperature": None}, Sampling(stop=["x", "y"])),
        (
            {"n": 1, "tools": [], "response_format": {"type": "text"}, "logprobs": False, "user": "a", "store": True},
            Sampling(),
        ),
    ],
)
def test_fields_that_decide_which_words_come(fields: dict[str, Any], expected: Sampling) -> None:
    assert read_sampling(raws(fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"logit_bias": {"1": 2}},
        {"of_some_vendor": 1},
        {"stop": 3},
    ],
)
def test_what_cannot_be_had_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        read_sampling(raws(fields))
    assert refused.value.param == next(iter(fields))


@pytest.mark.parametrize("fields", [{"temperature": "hot"}, {"max_tokens": 1.5}, {"seed": "x"}])
def test_a_wrong_value_is_told(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(fields))):
        read_sampling(raws(fields))


async def test_what_the_client_set_stands_before_the_candidates_params() -> None:
    user = {"role": "user", "content": "hello"}
    assert (await asked(request(user), temperature=0.2, max_tokens=9)).sampling == Sampling(
        temperature=0.2, max_tokens=9
    )
    given = await asked(request(user, temperature=1, max_completion_tokens=5), temperature=0.2, max_tokens=9)
    assert given.sampling == Sampling(temperature=1, max_tokens=5)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
        {"role": "assistant", "content": "I"},
        {"role": "user", "content": "no"},
    ],
)
async def test_a_conversation_that_is_not_text_or_not_the_users_turn_is_refused(message: dict[str, Any]) -> None:
    model = Noting(as_text, {}, Sieve(MemoryLog()))
    with pytest.raises(BadRequest):
        await anext(model.stream(request({"role": "user", "content": "hello"}, message)))


async def test_a_row_for_rays_processor_has_a_value_for_each_field() -> None:
    order = await asked(request({"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}))
    row = row_of({ORDER: msgspec.msgpack.encode(order)})
    assert row["prompt"] == "be kind|hello"
    assert None not in row["sampling_params"].values()
    assert row["sampling_params"].keys() == set(Sampling.__struct_fields__)
