"""Who calls: `Authorization: Bearer KEY` or `x-api-key: KEY`; without any key made, everyone on this machine."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from rungwise_server.errors import Forbidden, Unauthorized
from rungwise_server.protocols import KeyRing
from rungwise_server.types import Caller

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANYONE = Caller()


class Gate:
    """Turns a request's headers into a Caller."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """The caller of a request.

        Raises:
            Unauthorized: keys exist, and the request has none or an unknown one.
            Forbidden: no keys exist, and the request came through another site's page or another host name.
        """
        secret = host = origin = b""
        for name, value in headers:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                if scheme.lower() == b"bearer":
                    secret = token.strip()
            elif name == b"x-api-key":
                secret = secret or value.strip()
            elif name == b"host":
                host = value
            elif name == b"origin":
                origin = value
        if not await self._keys.any():
            # A page of another site, or a host name rebound to this machine, must not use the browser of the person
            # who sits here to read their documents.
            for address in (b"//" + host, origin):
                if address not in (b"", b"//") and _hostname(address) not in _LOOPBACK:
                    raise Forbidden(
                        "No API key was made yet, so only this machine's own pages and programs may ask. "
                        "Make a key with `rungwise keys create --user NAME`."
                    )
            return _ANYONE
        if not secret:
            raise Unauthorized(
                "You did not provide an API key. Send it as `Authorization: Bearer KEY`.", code="missing_api_key"
            )
        caller = await self._keys.find(secret.decode("latin-1"))
        if caller is None:
            raise Unauthorized("Incorrect API key provided: it is unknown or was revoked.")
        return caller


def _hostname(address: bytes) -> str:
    try:
        return urlsplit(address.decode("latin-1")).hostname or ""
    except ValueError:
        return ""
