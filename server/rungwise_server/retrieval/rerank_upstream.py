"""A cross-encoder behind a URL: `/rerank` as vLLM, Jina, TEI's OpenAI gateways and Cohere serve it."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rungwise_server.errors import UpstreamError, UpstreamLimited, UpstreamRefused
from rungwise_server.http.client import HttpClient

_LIMIT = 32_000_000
_REFUSED = frozenset({400, 404, 413, 422})


class _Result(Struct):
    index: int
    relevance_score: float


class _Answer(Struct):
    results: list[_Result]


class UpstreamReranker:
    """The Reranker at `url` (up to and with `/v1`), which is asked for `model`. Raises SetupError for a bad URL."""

    def __init__(self, url: str, model: str, *, api_key: str = "", client: HttpClient) -> None:
        self._model = model
        self._endpoint = client.endpoint(
            url.rstrip("/").removesuffix("/rerank") + "/rerank",
            headers={
                "content-type": "application/json",
                **({"authorization": f"Bearer {api_key}"} if api_key else {}),
            },
        )

    @property
    def name(self) -> str:
        """The model's."""
        return self._model

    async def score(self, query: str, texts: Sequence[str], chunks: int = 0) -> list[float]:
        """See Reranker.

        Raises:
            UpstreamLimited, UpstreamRefused, UpstreamTimeout, UpstreamError: what it met.
        """
        body: dict[str, object] = {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}
        body["return_documents"] = False
        if chunks:
            body["max_chunks_per_doc"] = chunks
        response = await self._endpoint.request(msgspec.json.encode(body))
        answer = await response.body(_LIMIT)
        if response.status != 200:
            raise self._failure(response.status, answer, response.headers.get(b"retry-after", b""))
        try:
            scores = {
                result.index: result.relevance_score for result in msgspec.json.decode(answer, type=_Answer).results
            }
            return [scores[at] for at in range(len(texts))]
        except (msgspec.MsgspecError, KeyError):
            raise UpstreamError(f"{self._where} answered something else than a score for each document") from None

    def _failure(self, status: int, answer: bytes, retry_after: bytes) -> UpstreamError:
        said = f"{self._where} answered {status}: {' '.join(answer[:300].decode('utf-8', 'replace').split())}"
        if status == 429:
            return UpstreamLimited(said, retry_after=float(retry_after) if retry_after.isdigit() else None)
        if status in _REFUSED:
            return UpstreamRefused(said, status=status)
        if status in (401, 403):
            said += ": check reranker.api_key_env or reranker.api_key_file"
        return UpstreamError(said)

    @property
    def _where(self) -> str:
        return f"the reranker at {self._endpoint.name}"
