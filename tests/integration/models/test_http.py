"""The HTTP client against a real server. One file: each test is a way in which the other side fails one class."""

import asyncio
import random
from collections.abc import Callable

import pytest

from rungwise_server.errors import SetupError, UpstreamError
from rungwise_server.http.client import Endpoint, HttpClient
from rungwise_server.testing.upstream import FakeUpstream, Reply

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

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


async def test_the_request_that_arrives(up: FakeUpstream, client: HttpClient) -> None:
    body = "ü".encode() * 100_000
    assert await post(at(client, up), body) == b'{"ok":true}'
    assert (up.last.method, up.last.path, up.last.body) == ("POST", "/v1/chat/completions", body)
    assert up.last.headers["host"] == up.origin.removeprefix("http://")
    assert up.last.headers["x-test"] == "1"


async def test_connections_are_kept_and_shared(up: FakeUpstream, client: HttpClient) -> None:
    first, second = at(client, up), at(client, up)
    for _ in range(3):
        await post(first)
        await post(second)
    assert up.connections == 1
    up.script = Reply(text="slow", hang=0.05)
    await asyncio.gather(*[post(first, b'{"messages":[]}') for _ in range(5)])
    assert up.connections == 5
    await asyncio.gather(*[post(first) for _ in range(5)])
    assert up.connections == 5


async def test_no_more_are_kept_than_wanted(up: FakeUpstream) -> None:
    client = HttpClient(max_idle=2)
    up.script = Reply(text="slow", hang=0.05)
    await asyncio.gather(*[post(at(client, up)) for _ in range(6)])
    await until(lambda: len(up.open) == 2)
    await client.close()
    await until(lambda: not up.open)


async def test_old_ones_are_not_used_and_go(up: FakeUpstream) -> None:
    client = HttpClient(idle_timeout=0.0)
    endpoint = at(client, up, timeout=0.05)
    await post(endpoint)
    await post(endpoint)
    assert up.connections == 2
    await until(lambda: not up.open)


async def test_what_arrived_together_comes_together(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=tuple(b"data: %d\n\n" % i for i in range(100)))
    response = await at(client, up).request(b"{}")
    reads = []
    while data := await response.read():
        reads.append(data)
    assert b"".join(reads) == b"".join(up.script.body or ())
    assert len(reads) <= 2


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old"),
        (
            CHUNKED + b"2\r\nhi\r\n1;x=y\r\n!\r\n0\r\nt: r\r\n\r\n",
            200,
            b"hi!",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi", 200, b"hi"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nhi and more that nobody asked for", 500, b"hi"),
    ],
)
async def test_bodies(up: FakeUpstream, client: HttpClient, raw: bytes, status: int, body: bytes) -> None:
    up.script = Reply(raw=raw)
    response = await at(client, up).request(b"{}")
    assert response.status == status
    assert await response.body(1000) == body
    assert b"link" not in response.headers


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
        CHUNKED + b"5\r\nhi",
        CHUNKED + b"nonsense\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nhi",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/2 200\r\n\r\n",
    ],
)
async def test_hostile_answers(up: FakeUpstream, client: HttpClient, raw: bytes) -> None:
    up.script = Reply(raw=raw)
    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1"):
        await post(at(client, up))
    up.script = OK
    assert await post(at(client, up)) == b'{"ok":true}'


async def test_any_bytes_end_in_an_answer_or_an_upstream_error(up: FakeUpstream, client: HttpClient) -> None:
    good = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    chance = random.Random(7)
    endpoint = at(client, up)
    for _ in range(300):
        raw = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(raw))
            raw[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        up.script = Reply(raw=bytes(raw))
        async with asyncio.timeout(5):
            try:
                await post(endpoint)
            except UpstreamError:
                continue


async def test_a_body_over_the_limit(up: FakeUpstream, client: HttpClient) -> None:
    up.script = Reply(body=(MEGABYTE,) * 3)
    response = await at(client, up).request(b"{}")
    with pytest.raises(UpstreamError, match="more than 1000 bytes"):
        await response.body(1000)
    await until(lambda: not up.open)


async def test_a_kept_connection_that_had_ended_is_replaced(up: FakeUpstream, client: HttpClient) -> None:
    """The server closes as the second request comes: a race that every kept connection can lose."""
    answers = iter([OK, Reply(raw=b""), OK])
    up.script = lambda seen: next(answers)
    assert await post(at(client, up)) == await post(at(client, up))
    assert (len(up.requests), up.connections) == (3, 2)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 2"])
async def test_but_nothing_else_is_tried_again(up: FakeUpstream, client: HttpClient, raw: bytes) -> None:
    answers = iter([OK, Reply(raw=raw), Reply(raw=raw), OK])
    up.script = lambda seen: next(answers)
    await post(at(client, up))
    with pytest.raises(UpstreamError, match="without an answer"):
        await post(at(client, up))
    assert len(up.requests) == (3 if not raw else 2)


@pytest.mark.parametrize(("header", "size"), [("connection: close", 2), ("x: too hasty to read it all", 20 * 2**20)])
async def test_a_connection_that_may_not_be_used_again(client: HttpClient, header: str, size: int) -> None:
    """The server says so, or has answered while most of the request is still to be sent."""
    came: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{header}\r\n\r\nhi".encode())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = client.endpoint(f"http://127.0.0.1:{port}/", headers={})
    for number in (1, 2):
        assert await post(endpoint, b"x" * size) == b"hi"
        assert len(came) == number
    for writer in came:
        writer.close()
    server.close()


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://host/v1", {}),
        ("/v1", {}),
        ("http:///v1", {}),
        ("http://user:pass@host/v1", {}),
        ("http://host:99999/v1", {}),
        ("http://[::1/v1", {}),
        ("http://host/a b", {}),
        ("http://host/ü", {}),
        ("http://host/v1", {"x": "a\r\nhost: evil"}),
        ("http://host/v1", {"x\n": "a"}),
        ("http://host/v1", {"x": "ü"}),
    ],
)
def test_urls_and_headers_that_cannot_be(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(SetupError):
        HttpClient().endpoint(url, headers=headers)
