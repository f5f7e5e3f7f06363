"""`/moderations` of an OpenAI-compatible server: a body in, a body out."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from rungwise_server.errors import UpstreamError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.openai_errors import upstream_error
from rungwise_server.models.openai_wire import read_failure

_LIMIT = 32_000_000
_SECRET_HEADERS = ("authorization", "x-api-key", "api-key")


class Moderations:
    """The server at `url` (up to and with `/v1`). Raises SetupError for a bad URL or header."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] = {},
        timeout: float = 120.0,
        connect_timeout: float = 5.0,
        client: HttpClient,
    ) -> None:
        lines = {"content-type": "application/json"}
        if api_key:
            lines["authorization"] = f"Bearer {api_key}"
        lines |= {name.lower(): value for name, value in headers.items()}
        parts = urlsplit(url)
        self._endpoint = client.endpoint(
            parts._replace(path=parts.path.rstrip("/") + "/moderations").geturl(),
            headers=lines,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._secrets = [api_key, *(lines[name].removeprefix("Bearer ") for name in _SECRET_HEADERS if name in lines)]

    async def __call__(self, body: bytes) -> bytes:
        """The server's answer to `body`, as it came. Raises UpstreamError and its kinds."""
        response = await self._endpoint.request(body)
        answer = await response.body(_LIMIT)
        if response.status == 200:
            return answer
        raise self._failed(response.status, answer, response.headers)

    def _failed(self, status: int, answer: bytes, headers: Mapping[bytes, bytes]) -> UpstreamError:
        who = f"moderations at {self._endpoint.name}"
        return upstream_error(who, status, read_failure(answer), headers=headers, secrets=self._secrets)
