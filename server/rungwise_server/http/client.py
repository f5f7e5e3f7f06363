"""A lean HTTP/1.1 client for calling models: kept-alive connections, bytes in, bytes out.

A general client costs three to thirty times as much CPU a request, and a gateway does little else than call. So: one
pool an origin, the request's head made once, and no more wake-ups than reads of the socket (see `connection`).

A client belongs to one event loop. It raises UpstreamError and its kinds only; messages name host and port.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from rungwise_server.errors import SetupError, UpstreamError, UpstreamTimeout
from rungwise_server.http.connection import Connection, Response
from rungwise_server.http.proxies import Proxies, Proxy, tunnel

UNREACHABLE = "upstream_unreachable"
"""The `code` of errors that mean that no connection was made: another replica may be alive."""


class HttpClient:
    """Pools of connections, and what they have in common.

    `tls` replaces the system's trust for https; of each origin at most `max_idle` connections are kept, for at most
    `idle_timeout` seconds. The proxies that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name are read here, once.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, max_idle: int = 256, idle_timeout: float = 30.0) -> None:
        self._tls = tls
        self._max_idle = max_idle
        self._idle_timeout = idle_timeout
        self._proxies = Proxies()
        self._pools: dict[tuple[str, str, int], _Pool] = {}

    def endpoint(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: float = 120.0,
        connect_timeout: float = 5.0,
        method: str = "POST",
    ) -> "Endpoint":
        """One URL to ask. `timeout` is for the first byte and between two, both timeouts in seconds.

        Raises:
            SetupError: the URL is no absolute http(s) URL, or a header has a line break in it.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise SetupError(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise SetupError(f"{url!r} is no URL of the form http(s)://HOST[:PORT]/PATH, without user and password")
        port = port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = {"host": parts.netloc, "user-agent": "rungwise", "accept": "*/*", "accept-encoding": "identity"}
        lines |= {name.lower(): value for name, value in headers.items()}
        proxy = self._proxies.of(parts.scheme, host)
        if proxy is not None and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
            lines |= proxy.headers
        if any(not text.isprintable() or not text.isascii() for pair in lines.items() for text in pair):
            raise SetupError(f"a header for {url} has a line break or another character that HTTP does not take")
        if not target.isascii() or " " in target:
            raise SetupError(f"{url!r} has characters that must be percent-encoded")
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        key = (parts.scheme, host, port)
        pool = self._pools.get(key)
        if pool is None:
            if parts.scheme == "https" and self._tls is None:
                self._tls = ssl.create_default_context()
            tls = self._tls if parts.scheme == "https" else None
            pool = self._pools[key] = _Pool(
                host, port, tls=tls, proxy=proxy, max_idle=self._max_idle, idle_timeout=self._idle_timeout
            )
        return Endpoint(pool, head.encode() + b"content-length: ", timeout, connect_timeout)

    async def close(self) -> None:
        """Drop all connections, those in use too."""
        for pool in self._pools.values():
            for connection in list(pool.open):
                connection.close()
        await asyncio.sleep(0)


class Endpoint:
    """Where requests of one kind go."""

    __slots__ = ("_connect_timeout", "_head", "_pool", "_timeout")

    def __init__(self, pool: "_Pool", head: bytes, timeout: float, connect_timeout: float) -> None:
        self._pool, self._head, self._timeout, self._connect_timeout = pool, head, timeout, connect_timeout

    @property
    def name(self) -> str:
        """`host:port`, for messages."""
        return self._pool.name

    async def request(self, body: bytes = b"") -> Response:
        """Send `body`; the response is there once its head is.

        A kept-alive connection that the other side had closed, so that no byte of an answer came, is replaced by a
        fresh one, once. Cancelling closes the connection.
        """
        data = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        connection = self._pool.take()
        if connection is not None:
            response = connection.send(data, self._timeout)
            if await response.started(retry=True):
                return response
        connection = await self._pool.connect(self._connect_timeout)
        response = connection.send(data, self._timeout)
        await response.started()
        return response


class _Pool:
    """The connections to one origin. Idle ones are taken latest first, so that those not needed grow old and go."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
        max_idle: int,
        idle_timeout: float,
    ) -> None:
        self.name = f"{host}:{port}"
        self.idle_timeout = idle_timeout
        self.open: set[Connection] = set()
        self._host, self._port, self._tls, self._proxy = host, port, tls, proxy
        self._max_idle = max_idle
        self._idle: dict[Connection, None] = {}

    def take(self) -> "Connection | None":
        """An idle connection that has not been seen to end."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable():
                return connection
            connection.drop()
        return None

    def made(self, connection: Connection) -> None:
        """It is open."""
        self.open.add(connection)

    def give(self, connection: "Connection") -> None:
        """Keep it for the next request."""
        self._idle[connection] = None
        if len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.drop()

    def forget(self, connection: "Connection") -> None:
        """It has ended."""
        self._idle.pop(connection, None)
        self.open.discard(connection)

    async def connect(self, timeout: float) -> "Connection":
        """A fresh connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                if self._proxy is not None and self._tls is not None:
                    protocol = Connection(self, loop)
                    transport = await tunnel(self._proxy, self._host, self._port, self._tls, protocol)
                    protocol.connection_made(transport)
                    return protocol
                host, port = (self._proxy.host, self._proxy.port) if self._proxy else (self._host, self._port)
                name = self._host if self._tls else None
                _, protocol = await loop.create_connection(
                    lambda: Connection(self, loop), host, port, ssl=self._tls, server_hostname=name
                )
                return protocol
        except TimeoutError:
            raise UpstreamTimeout(
                f"{self.name} took no connection within {timeout:g} s: is it running, and reachable from this server?",
                code=UNREACHABLE,
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise UpstreamError(
                f"the certificate of {self.name} is not trusted: {error.verify_message}", code=UNREACHABLE
            ) from None
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UpstreamError(f"cannot reach {self.name}: {reason}", code=UNREACHABLE) from None
