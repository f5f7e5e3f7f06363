"""TLS and proxies of the HTTP client."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rungwise_server.errors import SetupError, UpstreamError
from rungwise_server.http.client import UNREACHABLE, Endpoint, HttpClient
from rungwise_server.testing.upstream import FakeUpstream, Reply

OK = Reply(body=(b'{"ok":true}',))


def at(client: HttpClient, up: FakeUpstream, timeout: float = 20.0) -> Endpoint:
    return client.endpoint(up.url + "/chat/completions", headers={"x-test": "1"}, timeout=timeout)


async def post(endpoint: Endpoint, body: bytes = b"{}") -> bytes:
    return await (await endpoint.request(body)).body(10**9)


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
