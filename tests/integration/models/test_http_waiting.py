"""What the HTTP client does when an answer is slow, is left, or never comes."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from rungwise_server.errors import UpstreamError, UpstreamTimeout
from rungwise_server.http import connection
from rungwise_server.http.client import UNREACHABLE, Endpoint, HttpClient
from rungwise_server.testing.upstream import FakeUpstream, Reply

OK = Reply(body=(b'{"ok":true}',))

MEGABYTE = b"x" * 2**20


def at(client: HttpClient, up: FakeUpstream, timeout: float = 20.0) -> Endpoint:
    return client.endpoint(up.url + "/chat/completions", headers={"x-test": "1"}, timeout=timeout)


async def post(endpoint: Endpoint, body: bytes = b"{}") -> bytes:
    return await (await endpoint.request(body)).body(10**9)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_silence_before_the_answer(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(text="late", hang=30)
    with pytest.raises(UpstreamTimeout, match=r"has not answered for 0\.05 s"):
        await post(at(client, up, timeout=0.05))
    assert await up.left(up.last)


async def test_silence_in_the_answer(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=(b"a", b"b"), delay=30)
    response = await at(client, up, timeout=0.05).request(b"{}")
    assert await response.read() == b"a"
    with pytest.raises(UpstreamTimeout, match=r"has not gone on for 0\.05 s"):
        await response.read()
    assert await up.left(up.last)


async def test_a_long_answer_is_no_silence(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=tuple(b"%d " % i for i in range(40)), delay=0.02)
    assert (await post(at(client, up, timeout=0.4))).split()[-1] == b"39"


async def test_a_shorter_timeout_on_a_kept_connection(up: FakeUpstream, client: HttpClient) -> None:
    await post(at(client, up, timeout=60))
    up.script = Reply(text="late", hang=30)
    with pytest.raises(UpstreamTimeout):
        await post(at(client, up, timeout=0.05))
    assert up.connections == 1


async def test_nobody_listens(client: HttpClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(UpstreamError, match=f"cannot reach 127.0.0.1:{port}") as caught:
            await post(client.endpoint(f"http://127.0.0.1:{port}/v1", headers={}))
    assert caught.value.code == UNREACHABLE


async def test_nobody_accepts(client: HttpClient) -> None:
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (one, two):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        endpoint = client.endpoint(f"http://127.0.0.1:{full.getsockname()[1]}/", headers={}, connect_timeout=0.1)
        with pytest.raises(UpstreamTimeout, match=r"took no connection within 0\.1 s") as caught:
            await post(endpoint)
    assert caught.value.code == UNREACHABLE


async def test_no_such_host(client: HttpClient) -> None:
    for host in ("no-such-host.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(UpstreamError, match="cannot reach"):
            await post(client.endpoint(f"http://{host}/v1", headers={}))


async def test_a_slow_reader_holds_the_sender(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=(MEGABYTE,) * 64)
    response = await at(client, up, timeout=0.2).request(b"{}")
    held = up.last
    await until(lambda: response._connection._paused)
    # Whoever asks later and is more patient is given up in the meantime; a lagging reader is not.
    up.script = Reply(hang=30)
    with pytest.raises(UpstreamTimeout):
        await post(at(client, up, timeout=0.4))
    assert held.sent < 32 * 2**20
    assert len(await response.body(10**9)) == 64 * 2**20
    up.script = Reply(body=(MEGABYTE,) * 64)
    assert await post(at(client, up)) == MEGABYTE * 64
    assert up.connections == 2, "the lagging reader's connection is used again"


async def test_aborting_is_seen_upstream(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=(b"a", b"b"), delay=30)
    (await at(client, up).request(b"{}")).abort()
    assert await up.left(up.last)


@pytest.mark.parametrize("reply", [Reply(text="late", hang=30), Reply(body=(b"a", b"b"), delay=30)])
async def test_cancelling_is_seen_upstream(up: FakeUpstream, client: HttpClient, reply: Reply) -> None:
    up.script = reply
    task = asyncio.create_task(post(at(client, up)))
    await until(lambda: bool(up.requests and (up.last.sent or reply.hang)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await up.left(up.last)


async def test_a_released_connection_is_used_again_if_its_end_comes(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=(b"a", b"b", b"c"), delay=0.01)
    endpoint = at(client, up)
    (await endpoint.request(b"{}")).release()
    await until(lambda: bool(endpoint._pool._idle))
    up.script = OK
    await post(endpoint)
    assert up.connections == 1


async def test_a_released_connection_is_closed_if_it_does_not(
    up: FakeUpstream, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_DRAIN_SECONDS", 0.05)
    up.script = Reply(body=tuple(b"word" for _ in range(1000)), delay=0.01)
    (await at(client, up).request(b"{}")).release()
    assert await up.left(up.last)


async def test_closing_the_client_ends_what_waits(up: FakeUpstream) -> None:
    client = HttpClient()
    up.script = Reply(text="late", hang=30)
    task = asyncio.create_task(post(at(client, up)))
    await until(lambda: bool(up.requests))
    await client.close()
    with pytest.raises(UpstreamError, match="closed by this server"):
        await task
    assert await up.left(up.last)
