"""The HTTP client against a real server. One file: each test is a way in which the other side fails one class."""

import asyncio
import random
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rungwise_server.errors import SetupError, UpstreamError, UpstreamTimeout
from rungwise_server.http import connection
from rungwise_server.http.client import UNREACHABLE, Endpoint, HttpClient
from rungwise_server.testing.upstream import FakeUpstream, Reply

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = Reply(body=(b'{"ok":true}',))
MEGABYTE = b"x" * 2**20


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(OK) as up:
        yield up


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


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


# TLS and proxies.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of its own authority for `model.test` and 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    what = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    whom = ["-subj", "/CN=model.test", "-addext", "subjectAltName=DNS:model.test,IP:127.0.0.1"]
    command = [openssl, "req", *what, *whom, "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
async def secure(certificate: tuple[Path, Path]) -> AsyncIterator[FakeUpstream]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with FakeUpstream(OK, tls=context) as up:
        yield up


async def test_tls(secure: FakeUpstream, certificate: tuple[Path, Path]) -> None:
    client = HttpClient(tls=ssl.create_default_context(cafile=certificate[0]))
    assert await post(at(client, secure)) == await post(at(client, secure)) == b'{"ok":true}'
    assert secure.connections == 1
    secure.script = Reply(body=(b"a", b"b"), delay=30)
    response = await at(client, secure).request(b"{}")
    response.abort()
    assert await secure.left(secure.last)
    await client.close()


async def test_a_certificate_that_nobody_trusts(secure: FakeUpstream, client: HttpClient) -> None:
    with pytest.raises(UpstreamError, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted") as caught:
        await post(at(client, secure))
    assert caught.value.code == UNREACHABLE


class Proxy:
    """A proxy that reaches one server, whatever it is asked for. `heads` are the first lines that it was sent."""

    def __init__(self, up: FakeUpstream, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.up, self.answer = up, answer
        self.heads: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Proxy":
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        port = int(self.up.origin.rpartition(":")[2])
        if head.startswith(b"CONNECT"):
            writer.write(self.answer)
            head = b""
            if b" 200 " not in self.answer:
                writer.close()
                return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        back.write(head)
        self.tasks += [asyncio.create_task(self.copy(reader, back)), asyncio.create_task(self.copy(there, writer))]

    async def copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
        finally:
            target.close()


async def test_https_goes_through_a_tunnel(
    secure: FakeUpstream, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(secure) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ana:p%40ss@{proxy.address}")
        client = HttpClient(tls=ssl.create_default_context(cafile=certificate[0]))
        endpoint = client.endpoint("https://model.test/v1/chat/completions", headers={})
        assert await post(endpoint) == await post(endpoint) == b'{"ok":true}'
        assert len(proxy.heads) == 1
        assert proxy.heads[0].startswith("CONNECT model.test:443 HTTP/1.1\r\nhost: model.test:443\r\n")
        assert "proxy-authorization: Basic YW5hOnBAc3M=" in proxy.heads[0]
        assert "proxy-authorization" not in secure.last.headers
        await client.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"", b"x" * 20_000])
async def test_a_proxy_that_refuses(secure: FakeUpstream, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy(secure, answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        client = HttpClient()
        with pytest.raises(UpstreamError, match="proxy") as caught:
            await post(client.endpoint("https://model.test/v1", headers={}))
        assert caught.value.code == UNREACHABLE


async def test_http_is_asked_of_the_proxy(up: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy(up) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "inside.test")
        client = HttpClient()
        await post(client.endpoint("http://model.test/v1?x=1", headers={}))
        assert proxy.heads[0].startswith("POST http://model.test/v1?x=1 HTTP/1.1\r\nhost: model.test\r\n")
        await post(at(client, up))
        assert len(proxy.heads) == 1
        with pytest.raises(UpstreamError, match=r"cannot reach inside\.test:80"):
            await post(client.endpoint("http://inside.test/v1", headers={}))
        await client.close()


def test_a_proxy_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(SetupError, match="HTTPS_PROXY"):
        HttpClient().endpoint("https://model.test/v1", headers={})
