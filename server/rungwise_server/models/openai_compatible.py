"""vLLM, OpenAI, Ollama, llama.cpp and whatever else speaks OpenAI's chat wire: bytes through our own client."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from rungwise_server.errors import StreamBroken, UpstreamError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.openai_errors import redact, upstream_error
from rungwise_server.models.openai_stream import ChunkStream
from rungwise_server.models.openai_wire import Failure, read_completion, read_failure
from rungwise_server.types import ChatRequest, Delta

_BODY_LIMIT = 64 * 1024 * 1024
_ERROR_LIMIT = 1024 * 1024
_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
_LIMITS = ("max_tokens", "max_completion_tokens")
_NULL = Raw(b"null")
_TRUE = Raw(b"true")
_WITH_USAGE = Raw(b'{"include_usage":true}')


class _Named(Struct):
    id: str


class _Listed(Struct):
    data: list[_Named]


class OpenAICompatible:
    """A model behind a URL that ends with `/v1`.

    The client's fields go out as they came, except `model`; `params` fill those that the client left open. Streams are
    asked for their usage, so that the log has it; a client that did not ask does not see it.
    """

    def __init__(
        self,
        *,
        url: str,
        model: str,
        api_key: str = "",
        headers: Mapping[str, str] = {},
        params: Mapping[str, str | int | float | bool] = {},
        timeout: float = 120.0,
        connect_timeout: float = 5.0,
        client: HttpClient | None = None,
    ) -> None:
        """`timeout` is for the first byte and between two, in seconds. A `client` may be shared by several models.
        An empty `model` is the first that the server lists (a vLLM serves one), asked for once, when first needed.

        Raises:
            SetupError: the URL or a header is not of the form that HTTP takes.
        """
        lines = {"content-type": "application/json"}
        if api_key:
            lines["authorization"] = f"Bearer {api_key}"
        lines |= {name.lower(): value for name, value in headers.items()}
        parts = urlsplit(url)
        base = parts.path.rstrip("/")
        client = client or HttpClient()
        self._endpoint = client.endpoint(
            parts._replace(path=base + "/chat/completions").geturl(),
            headers=lines,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._listing = client.endpoint(
            parts._replace(path=base + "/models").geturl(),
            headers=lines,
            timeout=timeout,
            connect_timeout=connect_timeout,
            method="GET",
        )
        self._who = f"the model {model!r} at {self._endpoint.name}" if model else f"the model at {self._endpoint.name}"
        self._secrets = [api_key, *(v.removeprefix("Bearer ") for k, v in lines.items() if k in _SECRET_HEADERS)]
        self._model = Raw(msgspec.json.encode(model)) if model else None
        self._params = {name: Raw(msgspec.json.encode(value)) for name, value in params.items()}

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """One call upstream. See `ChatModel` and `Delta` for what comes.

        Of a whole answer with several choices the first Delta has the body as `wire`, the others have none.
        """
        body, strip = self._body(request, self._model or await self._first_served())
        response = await self._endpoint.request(body)
        try:
            if response.status != 200:
                raise upstream_error(
                    self._who,
                    response.status,
                    read_failure(await response.body(_ERROR_LIMIT)),
                    headers=response.headers,
                    secrets=self._secrets,
                )
            if not request.stream or b"json" in response.headers.get(b"content-type", b""):
                whole = read_completion(await response.body(_BODY_LIMIT), request.id, wire=not request.stream)
                if isinstance(whole, Failure):
                    raise self._failed(whole)
                for delta in whole:
                    yield delta
                return
            chunks = ChunkStream(request.id, strip_usage=strip)
            begun = False
            while True:
                try:
                    data = await response.read()
                except UpstreamError as error:
                    if chunks.complete:
                        return
                    raise self._broken(Failure(error.message)) if begun else error from None
                for delta in chunks.feed(data) if data else chunks.finish():
                    begun = True
                    yield delta
                if chunks.failure is not None:
                    raise self._broken(chunks.failure) if begun else self._failed(chunks.failure)
                if chunks.done or not data:
                    response.release()
                    break
            if not begun:
                raise UpstreamError(f"{self._who} sent an empty answer")
        finally:
            response.abort()

    async def _first_served(self) -> Raw:
        response = await self._listing.request()
        body = await response.body(_BODY_LIMIT)
        if response.status != 200:
            raise upstream_error(self._who, response.status, read_failure(body), secrets=self._secrets)
        try:
            served = msgspec.json.decode(body, type=_Listed).data
        except msgspec.MsgspecError:
            served = []
        if not served:
            raise UpstreamError(f"{self._endpoint.name} lists no model: name one in the candidate's `model`")
        self._model = Raw(msgspec.json.encode(served[0].id))
        return self._model

    def _failed(self, failure: Failure) -> UpstreamError:
        if failure.status:
            return upstream_error(self._who, failure.status, failure, secrets=self._secrets)
        return UpstreamError(f"{self._who} failed: {redact(failure.message, self._secrets)}")

    def _broken(self, failure: Failure) -> StreamBroken:
        return StreamBroken(f"the answer of {self._who} broke off: {redact(failure.message, self._secrets)}")

    def _body(self, request: ChatRequest, model: Raw) -> tuple[bytes, bool]:
        """The request's JSON, and whether usage must be kept from the client."""
        given = request.params
        fields: dict[str, object] = {"model": None, "messages": None, **given}
        fields["model"] = model
        fields["messages"] = [message.raw for message in request.messages]
        fields |= {name: value for name, value in self._params.items() if _open(given, name)}
        fields.pop("stream", None)
        strip = False
        if request.stream:
            fields["stream"] = _TRUE
            fields["stream_options"], strip = _stream_options(given.get("stream_options"))
        return msgspec.json.encode(fields), strip


def _open(given: Mapping[str, Raw], name: str) -> bool:
    """Whether the client left a field to us. The limit of tokens has two names, and an upstream takes one of them."""
    return all(bytes(given.get(each, _NULL)) == b"null" for each in (_LIMITS if name in _LIMITS else (name,)))


def _stream_options(given: Raw | None) -> tuple[Raw, bool]:
    """The options with usage asked for, and whether the client had not asked itself."""
    if given is None or bytes(given) == b"null":
        return _WITH_USAGE, True
    try:
        options = msgspec.json.decode(given, type=dict[str, Raw])
    except msgspec.ValidationError:
        return given, False
    if bytes(options.get("include_usage", b"")) == b"true":
        return given, False
    return Raw(msgspec.json.encode({**options, "include_usage": _TRUE})), True
