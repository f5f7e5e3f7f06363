"""`OpenAICompatible` against a real server: what it asks, what comes back, and every way to fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from rungwise_server.errors import (
    SetupError,
    StreamBroken,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from rungwise_server.http.client import HttpClient
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.testing.models import chat_request, collect
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ChatRequest, Delta, Usage

KEY = "sk-the-servers-own"


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(api_key=KEY) as up:
        yield up


def at(up: FakeUpstream, timeout: float = 20.0, **params: str | int | float | bool) -> OpenAICompatible:
    return OpenAICompatible(url=up.url, model="the-model", api_key=KEY, timeout=timeout, params=params)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


# What goes up.


@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_fields_go_as_they_came(up: FakeUpstream, stream: bool) -> None:
    params: dict[str, Any] = {"temperature": 0.1, "seed": None, "guided_json": {"a": [1, {"b": "ü"}]}, "tools": []}
    request = chat_request("hi", stream=stream, model="a-workload", **params)
    await collect(at(up), request)
    sent = up.last.json
    assert sent.pop("model") == "the-model"
    assert sent.pop("messages") == [{"role": "user", "content": "hi"}]
    assert sent.pop("stream", False) is stream
    assert sent.pop("stream_options", None) == ({"include_usage": True} if stream else None)
    assert sent == params
    for value in request.params.values():
        assert bytes(value) in up.last.body


async def test_own_params_fill_what_the_client_left_open(up: FakeUpstream) -> None:
    model = at(up, temperature=0.5, top_p=0.9, max_tokens=100, user="house")
    await collect(model, chat_request("hi", temperature=0.1, top_p=None, max_completion_tokens=7))
    sent = up.last.json
    assert (sent["temperature"], sent["top_p"], sent["user"]) == (0.1, 0.9, "house")
    assert "max_tokens" not in sent
    assert sent["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    ("options", "sent", "shown"),
    [
        (None, {"include_usage": True}, False),
        ({"include_usage": True, "x": 1}, {"include_usage": True, "x": 1}, True),
        ({"include_usage": False}, {"include_usage": True}, False),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}, False),
    ],
)
async def test_usage_is_always_asked_for_and_shown_to_who_asked(
    up: FakeUpstream, options: dict[str, object] | None, sent: dict[str, object], shown: bool
) -> None:
    deltas = await collect(at(up), chat_request("hi there", stream=True, stream_options=options))
    assert up.last.json["stream_options"] == sent
    assert [delta.usage for delta in deltas if delta.usage] == [Usage(2, 2)]
    assert (b'"usage"' in b"".join(delta.wire for delta in deltas)) is shown


async def test_headers_and_address(up: FakeUpstream) -> None:
    headers = {"X-Team": "blue", "Authorization": f"Bearer {KEY}"}
    model = OpenAICompatible(url=up.url + "/?api-version=3", model="m", headers=headers)
    await collect(model, chat_request("hi"))
    assert up.last.path == "/v1/chat/completions?api-version=3"
    assert up.last.headers["x-team"] == "blue"
    assert up.last.headers["content-type"] == "application/json"


def test_a_key_that_is_no_header() -> None:
    with pytest.raises(SetupError) as caught:
        OpenAICompatible(url="http://host/v1", model="m", api_key="sk-1\nx: y")
    assert "sk-1" not in caught.value.message


# What comes down.


async def test_connections_are_used_again(up: FakeUpstream) -> None:
    client = HttpClient()
    first, second = (OpenAICompatible(url=up.url, model=m, api_key=KEY, client=client) for m in ("a", "b"))
    for _ in range(3):
        assert text(await collect(first, chat_request("hi"))) == "hi"
        assert text(await collect(second, chat_request("hi there", stream=True))) == "hi there"
    assert up.connections == 1
    await client.close()


async def test_a_connection_whose_body_ends_after_done_is_used_again(up: FakeUpstream) -> None:
    up.script = Reply(text="a b", delay=0.005)
    model = at(up)
    for _ in range(3):
        await collect(model, chat_request(stream=True))
        async with asyncio.timeout(10):
            while not model._endpoint._pool._idle:
                await asyncio.sleep(0.005)
    assert up.connections == 1


async def test_a_stream_that_comes_as_a_whole(up: FakeUpstream) -> None:
    """Some servers cannot stream and do not say so."""
    up.script = Reply(body=(b'{"id":"x","model":"m","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}',))
    deltas = await collect(at(up), chat_request(stream=True))
    assert [(delta.text, delta.finish_reason, delta.wire) for delta in deltas] == [("hi", "stop", b"")]


async def test_events_come_as_they_are_sent(up: FakeUpstream) -> None:
    up.script = Reply(text="a b", delay=0.1)
    stream = at(up).stream(chat_request(stream=True))
    first = await anext(stream)
    assert (first.text, first.model) == ("", "the-model")
    assert up.last.ended is None
    assert text([delta async for delta in stream]) == "a b"


async def test_real_servers_habits(up: FakeUpstream) -> None:
    """No space after the colon, CRLF, comments, an end without `[DONE]`, usage with the last words."""
    events = [
        b": keep-alive\r\n\r\n",
        b'data:{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}\r\n\r\n',
        b'data:{"id":"x","choices":[{"index":0,"delta":{"content":"h"}}]}\r\n\r\n',
        b'data:{"id":"x","choices":[{"index":0,"delta":{"content":"i"},"finish_reason":"stop"}],',
        b'"usage":{"prompt_tokens":1,"completion_tokens":2}}\r\n\r\n',
    ]
    up.script = Reply(body=tuple(events), headers={"content-type": "text/event-stream"}, delay=0.001)
    deltas = await collect(at(up), chat_request(stream=True))
    assert text(deltas) == "hi"
    assert deltas[-1].usage == Usage(1, 2)


# Failures.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "kind", "status", "message"),
    [
        (Reply(status=400, error="bad tool", param="tools", code="x"), UpstreamRefused, 400, "bad tool"),
        (Reply(status=404, error="no such model"), UpstreamRefused, 404, "no such model"),
        (Reply(status=413, error="too long"), UpstreamRefused, 413, "too long"),
        (Reply(status=422, error="what?"), UpstreamRefused, 422, "what\\?"),
        (Reply(status=401, error=f"bad key {KEY}"), UpstreamError, 502, "this server's own key"),
        (Reply(status=403, error="not for you"), UpstreamError, 502, "this server's own key"),
        (Reply(status=429, error="slow", headers={"retry-after": "7"}), UpstreamLimited, 429, "slow"),
        (Reply(status=500, error=f"{KEY} at fault"), UpstreamError, 502, "at fault"),
        (Reply(status=503, body=(b"<html>",)), UpstreamError, 502, "503"),
        (Reply(body=(b"not json",)), UpstreamError, 502, "no chat completion"),
        (Reply(body=(b"",)), UpstreamError, 502, "no chat completion|empty answer"),
        (Reply(body=(b'{"error":{"message":"overloaded","code":429}}',)), UpstreamLimited, 429, "overloaded"),
        (Reply(raw=b"garbage"), UpstreamError, 502, "no HTTP"),
        (Reply(raw=b""), UpstreamError, 502, "closed the connection"),
        (Reply(hang=30), UpstreamTimeout, 504, "has not answered"),
        (Reply(status=500, body=(b"x" * 2**21,)), UpstreamError, 502, "more than"),
    ],
)
async def test_before_the_first_delta(
    up: FakeUpstream, reply: Reply, kind: type[UpstreamError], status: int, message: str, stream: bool
) -> None:
    up.script = reply
    with pytest.raises(UpstreamError, match=message) as caught:
        await collect(at(up, timeout=0.2 if reply.hang else 20), chat_request(stream=stream))
    error = caught.value
    assert (type(error), error.status) == (kind, status)
    assert KEY not in error.message
    if kind is UpstreamRefused:
        assert (error.param, error.code) == (reply.param, reply.code or "upstream_refused")
    assert error.retry_after == (7.0 if reply.headers else None)
    assert len(up.requests) == 1


async def test_nobody_there() -> None:
    async with FakeUpstream() as up:
        model = at(up)
    with pytest.raises(UpstreamError, match=f"cannot reach {up.origin.removeprefix('http://')}"):
        await collect(model, chat_request())


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'data: {"error":{"message":"prompt too long","code":400}}\n\n', UpstreamRefused),
        (b'data: {"error":{"message":"out of memory","code":500}}\n\n', UpstreamError),
        (b"event: error\ndata: {}\n\n", UpstreamError),
        (b"data: {nonsense\n\n", UpstreamError),
        (b"data: [DONE]\n\n", UpstreamError),
        (b": ping\n\n", UpstreamError),
    ],
)
async def test_a_stream_that_begins_with_an_error(up: FakeUpstream, event: bytes, kind: type[UpstreamError]) -> None:
    up.script = Reply(body=(event,), headers={"content-type": "text/event-stream"})
    with pytest.raises(UpstreamError) as caught:
        await collect(at(up), chat_request(stream=True))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="a b c", error=f"out of {KEY}"),
        Reply(text="a b c", cut=3, delay=0.001),
        Reply(text="a b c", cut=3, delay=0.05, reset=True),
        Reply(text="a b c", cut=3, delay=0.001, until_close=True, headers={"content-type": "text/event-stream"}),
        Reply(text="a b c", delay=30),
    ],
    ids=["error event", "cut", "reset", "silent end", "hang"],
)
async def test_after_the_first_delta(up: FakeUpstream, reply: Reply) -> None:
    up.script = reply
    came: list[Delta] = []
    with pytest.raises(StreamBroken) as caught:
        await collect(at(up, timeout=0.2), chat_request(stream=True), came)
    assert came
    assert "a b c".startswith(text(came))
    assert KEY not in caught.value.message
    assert "the-model" in caught.value.message
    assert len(up.requests) == 1


async def test_an_end_after_the_finish_is_no_break(up: FakeUpstream) -> None:
    """All was said; only `[DONE]` and the end of the body are missing."""
    up.script = Reply(text="a b c", cut=5, delay=0.001)
    assert text(await collect(at(up), chat_request(stream=True))) == "a b c"


async def test_leaving_is_seen_upstream_before_the_first_byte(up: FakeUpstream) -> None:
    up.script = Reply(hang=30)
    task = asyncio.create_task(collect(at(up), chat_request(stream=True)))
    async with asyncio.timeout(10):
        while not up.requests:
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await up.left(up.last)


async def test_messages_go_as_they_came(up: FakeUpstream) -> None:
    raw = msgspec.Raw(b'{"role":"user", "content":[{"type":"text","text":"hi"},{"type":"odd","x":null}], "name":"ana"}')
    message = msgspec.structs.replace(chat_request("hi").messages[0], raw=raw)
    deltas = await collect(at(up), ChatRequest(id="chatcmpl-1", model="m", messages=(message,)))
    assert bytes(raw) in up.last.body
    assert text(deltas) == "hi"


async def test_without_a_name_the_first_model_that_the_server_lists_answers() -> None:
    async with FakeUpstream(models=("first", "second")) as up:
        model = OpenAICompatible(url=up.url, model="")
        for _ in range(2):
            await collect(model, chat_request("hello"))
        assert [(seen.method, seen.path) for seen in up.requests] == [
            ("GET", "/v1/models"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/chat/completions"),
        ]
        assert up.last.json["model"] == "first"


async def test_a_server_that_lists_no_model_is_told_what_to_do() -> None:
    async with FakeUpstream(models=()) as up:
        with pytest.raises(UpstreamError, match="name one"):
            await collect(OpenAICompatible(url=up.url, model=""), chat_request("hello"))
