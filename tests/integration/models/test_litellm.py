"""litellm for real, against fakes of OpenAI's and Anthropic's wires: its exceptions and habits stay behind its door."""

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rungwise_server.errors import StreamBroken, UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from rungwise_server.http.client import UNREACHABLE
from rungwise_server.models.litellm import LiteLLM
from rungwise_server.testing.models import chat_request, collect
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Delta, Usage

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the warnings are litellm's own

KEY = "key-of-the-server"
PROVIDERS = ["openai/echo", "anthropic/claude-sonnet-4-5"]


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(api_key=KEY) as up:
        yield up


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def at(up: FakeUpstream, provider: str, timeout: float = 20.0, **params: str | float) -> LiteLLM:
    url = up.url if provider.startswith("openai/") else up.origin
    return LiteLLM(provider, api_key=KEY, url=url, timeout=timeout, params=params)


@pytest.mark.parametrize("stream", [False, True])
async def test_answers(up: FakeUpstream, provider: str, stream: bool) -> None:
    up.script = Reply(text="hello there", usage=Usage(10, 2, 4))
    request = chat_request("hi", stream=stream, temperature=0.2, seed=None, max_tokens=7, stream_options=None)
    deltas = await collect(at(up, provider, temperature=0.9, top_p=0.5), request)
    assert "".join(delta.text for delta in deltas) == "hello there"
    assert [delta.usage for delta in deltas if delta.usage] == [Usage(10, 2, 4)]
    assert all(delta.wire == b"" for delta in deltas)
    sent = up.last.json
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.2, 0.5, 7)
    assert "seed" not in sent


async def test_several_choices(up: FakeUpstream) -> None:
    for stream in (False, True):
        deltas = await collect(at(up, "openai/echo"), chat_request("hi there", stream=stream, n=2))
        for index in (0, 1):
            assert "".join(delta.text for delta in deltas if delta.index == index) == "hi there"


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "mock_response", "extra_headers", "guided_json"])
async def test_fields_that_are_not_the_callers_are_refused_by_name(up: FakeUpstream, field: str) -> None:
    params: dict[str, Any] = {field: "http://evil.invalid"}
    with pytest.raises(UpstreamRefused, match=field) as caught:
        await collect(at(up, "openai/echo"), chat_request("hi", **params))
    assert (caught.value.status, caught.value.param) == (400, field)
    assert not up.requests


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(status=400, error="bad tool"), UpstreamRefused, r"': bad tool$"),
        (Reply(status=404, error="no such model"), UpstreamRefused, r"': no such model$"),
        (Reply(status=401, error=f"bad key {KEY}"), UpstreamError, "this server's own key"),
        (Reply(status=429, error="slow down", headers={"retry-after": "7"}), UpstreamLimited, r"': slow down$"),
        (Reply(status=500, error=f"{KEY} at fault"), UpstreamError, r"': failed|: \[key\] at fault$"),
        (Reply(raw=b"garbage\r\n\r\n"), UpstreamError, "failed"),
        (Reply(hang=30), UpstreamTimeout, "has not answered for 0.3 s"),
    ],
    ids=["400", "404", "401", "429", "500", "garbage", "hang"],
)
async def test_before_the_first_delta(
    up: FakeUpstream, provider: str, reply: Reply, kind: type[UpstreamError], message: str, stream: bool
) -> None:
    up.script = reply
    with pytest.raises(UpstreamError, match=message) as caught:
        await collect(at(up, provider, timeout=0.3 if reply.hang else 20), chat_request(stream=stream))
    assert type(caught.value) is kind
    assert KEY not in caught.value.message
    assert "itellm" not in caught.value.message
    assert caught.value.retry_after == (7.0 if reply.headers else None)
    assert len(up.requests) == 1


async def test_nobody_there(provider: str) -> None:
    async with FakeUpstream() as up:
        model = at(up, provider)
    with pytest.raises(UpstreamError, match="cannot reach") as caught:
        await collect(model, chat_request())
    assert caught.value.code == UNREACHABLE


async def test_an_error_in_the_stream(up: FakeUpstream, provider: str) -> None:
    up.script = Reply(text="a b c", error=f"out of {KEY}")
    came: list[Delta] = []
    with pytest.raises(StreamBroken, match="out of") as caught:
        await collect(at(up, provider), chat_request(stream=True), came)
    assert "".join(delta.text for delta in came) == "a b c"
    assert KEY not in caught.value.message


async def test_leaving_is_seen_upstream_though_somebody_holds_the_stream(
    up: FakeUpstream, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As litellm's own callbacks may: then nothing is closed by being forgotten."""
    up.script = Reply(text="word " * 500, delay=0.01)
    model = at(up, provider)
    litellm = importlib.import_module("litellm")
    complete, held = litellm.acompletion, []

    async def holding(**arguments: object) -> object:
        held.append(await complete(**arguments))
        return held[-1]

    monkeypatch.setattr(litellm, "acompletion", holding)
    stream = model.stream(chat_request(stream=True))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await up.left(up.last)
    assert held


def test_it_is_imported_with_the_first_question_and_dials_nowhere() -> None:
    """In a process of its own, where every connection but to the loopback is an error."""
    code = """
import asyncio, socket, sys
from rungwise_server.models.litellm import LiteLLM
from rungwise_server.testing.models import chat_request, collect
from rungwise_server.testing.upstream import FakeUpstream

assert "litellm" not in sys.modules
dialled = []
def hook(event, arguments):
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", b"127.0.0.1", None):
        dialled.append(arguments[0])
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        dialled.append(arguments[1])
sys.addaudithook(hook)

async def main():
    async with FakeUpstream() as up:
        model = LiteLLM("anthropic/claude-sonnet-4-5", url=up.origin, api_key="x")
        deltas = await collect(model, chat_request("hi"))
        print(deltas[0].text, dialled)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "hi []", done.stderr
