"""What every response has in common: ids, methods, limits of bodies and of callers, errors in one shape."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from rungwise_server.api.limits import Limits
from rungwise_server.app import create_app
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller

SURFACES = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/rerank",
    "/rerank",
    "/v2/rerank",
    "/v1/moderations",
]
CHAT: Any = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(fake_parts(small_engine(ScriptedModel(["a ", "b ", "c"]))), max_body=10_000, max_upload=100_000)
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as made:
        yield made


def errs(answer: httpx.Response, status: int, code: str | None = None) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    if code:
        assert error["code"] == code


async def test_unknown_urls_and_methods(http: httpx.AsyncClient) -> None:
    errs(await http.get("/v1/nothing"), 404, "unknown_url")
    errs(await http.post("/v1/nothing", json={}), 404, "unknown_url")
    errs(await http.options("/v1/nothing"), 404, "unknown_url")
    wrong = await http.delete("/v1/models")
    errs(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    errs(await http.request("TRACE", "/v1/models"), 405)
    errs(await http.post("/static/page.js"), 405)


@pytest.mark.parametrize("path", SURFACES)
async def test_surfaces_take_post_alone(http: httpx.AsyncClient, path: str) -> None:
    wrong = await http.get(path)
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST, OPTIONS"
    assert wrong.json()["error"]["message"]
    options = await http.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, "POST, OPTIONS", b"")
    large = await http.post(path, content=b'"' + b"x" * 10_001 + b'"')
    assert large.status_code == 413
    assert large.headers["x-request-id"]


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    for path in ("/v1/models", "/livez", "/", "/static/page.js"):
        get, head = await http.get(path), await http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["x-request-id"] != get.headers["x-request-id"]
    assert (await http.head("/v1/nothing")).status_code == 404
    assert (await http.head("/v1/chat/completions")).status_code == 405


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_bodies_behind_the_surfaces_have_a_limit(http: httpx.AsyncClient, kind: str) -> None:
    errs(await http.post("/v1/feedback", content=b"x" * 10_001, headers={"content-type": kind}), 413)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    errs(await http.post("/v1/feedback", content=endless(), headers={"content-type": kind}), 413, "request_too_large")


async def test_what_is_wrong_with_a_body_behind_the_surfaces(http: httpx.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    errs(await http.post("/v1/feedback", content=b'{"a": ', headers=json), 400, "invalid_json")
    errs(await http.post("/v1/feedback", content=b"\xff\xfe", headers=json), 400)
    missing = await http.post("/v1/feedback", json={"kind": "rating", "value": 1})
    errs(missing, 400, "missing_required_parameter")
    assert missing.json()["error"]["param"] == "inference_id"
    unknown = await http.post("/v1/feedback", json={"inference_id": "a", "kind": "rating", "value": 1, "x": 1})
    errs(unknown, 400, "unknown_parameter")


async def test_a_client_s_own_request_id_is_left_alone(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == answer.json()["id"]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_idempotency_key_on_chat(http: httpx.AsyncClient, stream: bool) -> None:
    client = AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="unused", max_retries=0, http_client=http)
    header = {"idempotency-key": "k"}
    first = await http.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=header)
    again = await http.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=header)
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert again.headers["content-type"] == first.headers["content-type"]
    if stream:
        assert again.content.endswith(b"data: [DONE]\n\n")
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "other"}], extra_headers=header
        )
    assert refused.value.code == "idempotency_key_reused"


async def test_keys_behind_the_surfaces(http: httpx.AsyncClient) -> None:
    body = {"inference_id": "chatcmpl-1", "kind": "rating", "value": 1}
    first, again = [await http.post("/v1/feedback", json=body, headers={"idempotency-key": "f"}) for _ in "ab"]
    assert first.status_code == 201
    assert first.content == again.content
    upload = [
        await http.post(
            "/v1/files",
            files={"file": ("a.txt", b"text", "text/plain")},
            data={"purpose": "assistants"},
            headers={"idempotency-key": "u"},
        )
        for _ in "ab"
    ]
    assert upload[0].status_code == 200
    assert upload[0].json()["id"] == upload[1].json()["id"]


async def test_a_retry_after_a_timeout_gets_the_first_ones_answer() -> None:
    log = MemoryLog()
    model = ScriptedModel(["slow", 0.6, " answer"])
    async with (
        listening(create_app(fake_parts(small_engine(model, log=log)))) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=5, timeout=0.4) as client,
    ):
        answer = await client.chat.completions.create(**CHAT, extra_headers={"idempotency-key": "k"})
    assert answer.choices[0].message.content == "slow answer"
    assert len(model.requests) == 1
    assert [r.outcome async for r in log.read(LogQuery()) if isinstance(r, Inference)] == ["ok"]


async def test_a_server_that_stops_aborts_what_nobody_came_back_for() -> None:
    log = MemoryLog()
    model = ScriptedModel(["slow", 30.0, " answer"])
    async with listening(create_app(fake_parts(small_engine(model, log=log)))) as url:
        with pytest.raises(httpx.ReadTimeout):
            async with httpx.AsyncClient(base_url=url, timeout=0.2) as http:
                await http.post("/v1/chat/completions", json=CHAT, headers={"idempotency-key": "k"})
        running = model.closed
    assert (running, model.closed) == (0, 1)
    assert [r.outcome async for r in log.read(LogQuery()) if isinstance(r, Inference)] == ["cancelled"]


async def test_a_refused_key_in_the_shape_of_each_surface(http: httpx.AsyncClient) -> None:
    for path in SURFACES:
        refused = await http.post(path, json={}, headers={"idempotency-key": "a b"})
        assert refused.status_code == 400
        shown = refused.json()
        assert "Idempotency-Key" in shown["error"]["message"]
        assert ("type" in shown) == (path == "/v1/messages")


async def test_limits_of_a_caller() -> None:
    keys = {"rw-ana": Caller("ana"), "rw-ben": Caller("ben")}
    parts = fake_parts(small_engine(ScriptedModel()), keys=keys)
    async with listening(create_app(parts, limits=Limits(requests_per_minute=2))) as url:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ana", max_retries=0) as client:
            raw = await client.chat.completions.with_raw_response.create(**CHAT)
            assert raw.headers["x-ratelimit-limit-requests"] == "2"
            assert raw.headers["x-ratelimit-remaining-requests"] == "1"
            other = await client.embeddings.with_raw_response.create(model="default", input="a")
            assert other.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(openai.RateLimitError) as refused:
                await client.chat.completions.create(**CHAT)
            headers = refused.value.response.headers
            assert 1 <= int(headers["retry-after"]) <= 30
            assert int(headers["retry-after-ms"]) <= 30_000
            assert headers["x-ratelimit-remaining-requests"] == "0"
            assert refused.value.code == "rate_limit_exceeded"
            assert (await client.models.list()).data
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ben", max_retries=0) as client:
            await client.chat.completions.create(**CHAT)
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-nobody", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(**CHAT)


async def test_requests_at_once_and_streams_count_until_their_end() -> None:
    parts = fake_parts(small_engine(ScriptedModel(["a", 0.3, "b"])))
    async with (
        listening(create_app(parts, limits=Limits(concurrent=1))) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**CHAT)
        assert [chunk async for chunk in stream]
        async with asyncio.timeout(5):
            while True:
                try:
                    await client.chat.completions.create(**CHAT)
                except openai.RateLimitError:
                    continue
                break


async def test_an_upstream_s_own_limit_keeps_its_headers() -> None:
    headers = {"retry-after": "7", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    async with FakeUpstream(Reply(status=429, error="slow down", headers=headers)) as upstream:
        parts = fake_parts(small_engine(OpenAICompatible(url=upstream.url, model="m")))
        async with (
            listening(create_app(parts, limits=Limits(requests_per_minute=9))) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            refused = await http.post("/v1/chat/completions", json=CHAT)
            errs(refused, 429)
            for name, value in headers.items():
                assert refused.headers[name] == value
            assert "x-ratelimit-limit-requests" not in refused.headers
            upstream.script = Reply(status=429, error="pay", code="insufficient_quota")
            assert (await http.post("/v1/chat/completions", json=CHAT)).headers["x-should-retry"] == "false"
