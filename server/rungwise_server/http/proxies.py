"""Ways out through a company's HTTP proxy: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl reads them."""

import asyncio
import base64
import ipaddress
import ssl
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from rungwise_server.errors import SetupError


class Proxy(NamedTuple):
    """An HTTP proxy, and the headers that it wants."""

    host: str
    port: int
    headers: dict[str, str]


class Proxies:
    """The proxies of the environment, read when this is made. Loopback addresses never go through one."""

    def __init__(self) -> None:
        self._urls = getproxies_environment()

    def of(self, scheme: str, host: str) -> Proxy | None:
        """The proxy for a URL's scheme and host; None where it is reached directly."""
        url = self._urls.get(scheme) or self._urls.get("all")
        if not url or _loopback(host) or proxy_bypass_environment(host, self._urls):
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise SetupError(
                f"the proxy for {scheme} must be of the form http://HOST:PORT (see {scheme.upper()}_PROXY)"
            )
        headers = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["proxy-authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        return Proxy(parts.hostname, parts.port or 80, headers)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def tunnel(
    proxy: Proxy, host: str, port: int, tls: ssl.SSLContext, protocol: asyncio.Protocol
) -> asyncio.Transport:
    """A TLS connection to host and port through the proxy (CONNECT). Raises OSError."""
    loop = asyncio.get_running_loop()
    transport, opening = await loop.create_connection(lambda: _Opening(loop), proxy.host, proxy.port)
    try:
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = {"host": name, **proxy.headers}
        head = f"CONNECT {name} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        transport.write(head.encode())
        status = await opening.status
        if status.split(b" ")[1:2] != [b"200"]:
            said = status.decode("latin-1")[:80]
            raise OSError(0, f"the proxy {proxy.host}:{proxy.port} refused: {said}")
        secured = await loop.start_tls(transport, protocol, tls, server_hostname=host)
    except BaseException:
        transport.abort()
        raise
    return cast("asyncio.Transport", secured)


class _Opening(asyncio.Protocol):
    """The proxy's answer to CONNECT, up to its blank line."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.status: asyncio.Future[bytes] = loop.create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.status.done():
            return
        if b"\r\n\r\n" in self._head:
            self.status.set_result(self._head.partition(b"\r\n")[0])
        elif len(self._head) > 16_384:
            self.status.set_exception(OSError(0, "the proxy sent an endless answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(OSError(0, "the proxy closed the connection"))
