"""Embeddings from any server that speaks OpenAI's `/embeddings`: vLLM, TEI, OpenAI. The only door to aiohttp here."""

import asyncio
import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, Self

import msgspec
import numpy as np
from msgspec import Struct

from rungwise_server.errors import SetupError, UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from rungwise_server.retrieval.embedders.recent import Recent
from rungwise_server.types import Vector

if TYPE_CHECKING:
    from aiohttp import ClientSession

_BATCH = 64
_AT_ONCE = 8
_QUERY = 2000
_ATTEMPTS = {"passage": 5, "query": 2}
_PATIENCE = {"passage": 60.0, "query": 2.0}


class _Row(Struct):
    index: int
    embedding: list[float]


class _Answer(Struct):
    data: list[_Row]


class _Failure(Struct):
    message: str = ""


class _Refusal(Struct):
    error: _Failure | str = ""
    message: str = ""


class OpenAIEmbeddings:
    """An embedder behind a URL. Made by `open`, which asks the server once how long its vectors are.

    Its name is the model's: moving the server changes nothing. Belongs to one event loop; `close` it at the end.
    """

    def __init__(
        self,
        session: "ClientSession",
        url: str,
        model: str,
        *,
        dimensions: int,
        query_prefix: str,
        passage_prefix: str,
        languages: frozenset[str],
    ) -> None:
        self._session = session
        self._url = url.rstrip("/").removesuffix("/embeddings") + "/embeddings"
        self._model = model
        self._wanted = dimensions
        self._dimensions = dimensions
        self._prefixes = {"query": query_prefix, "passage": passage_prefix}
        self._languages = languages
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._recent = Recent()
        self._decoder = msgspec.json.Decoder(_Answer)

    @classmethod
    async def open(
        cls,
        url: str,
        model: str,
        *,
        api_key: str = "",
        dimensions: int = 0,
        query_prefix: str = "",
        passage_prefix: str = "",
        languages: frozenset[str] = frozenset(),
        timeout: float = 60.0,
    ) -> Self:
        """Connect to `url` (up to and with `/v1`) and embed one word, to know the model and its dimensions.

        `dimensions` other than 0 are asked for. `timeout` is in seconds for one request; proxies are taken from the
        environment.

        Raises:
            SetupError: URL or model is missing, or the server gives vectors of other dimensions than those asked for.
            UpstreamError: the server cannot be reached or refuses; the message names it.
        """
        from aiohttp import ClientSession, ClientTimeout

        if not url.startswith(("http://", "https://")) or not model:
            raise SetupError("embedder.kind `openai` needs embedder.url (http://…/v1) and embedder.model")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        session = ClientSession(headers=headers, timeout=ClientTimeout(total=timeout, connect=10), trust_env=True)
        embedder = cls(
            session,
            url,
            model,
            dimensions=dimensions,
            query_prefix=query_prefix,
            passage_prefix=passage_prefix,
            languages=languages,
        )
        try:
            found = (await embedder._ask(["dimensions"], "query")).shape[1]
            if dimensions and found != dimensions:
                raise SetupError(f"{model} gives {found} dimensions, not the {dimensions} of embedder.dimensions")
        except BaseException:
            await session.close()
            raise
        embedder._dimensions = found
        return embedder

    @property
    def name(self) -> str:
        """Model and dimensions, and a fingerprint of the prefixes where there are some."""
        prefixes = "\0".join(self._prefixes.values())
        mark = f"@{blake2b(prefixes.encode(), digest_size=4).hexdigest()}" if prefixes != "\0" else ""
        return f"{self._model}/{self._dimensions}{mark}"

    @property
    def dimensions(self) -> int:
        """Length of a vector, as the server gave it."""
        return self._dimensions

    @property
    def languages(self) -> frozenset[str]:
        """As configured; empty means any."""
        return self._languages

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        """Rows of unit length, in order. A query's attempts end within seconds, a passage's within minutes.

        Raises:
            UpstreamTimeout, UpstreamLimited, UpstreamRefused, UpstreamError: what the last attempt met.
        """
        if not texts:
            return np.zeros((0, self._dimensions), np.float32)
        if kind == "query" and (remembered := self._recent.find(texts)) is not None:
            return remembered
        batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        tasks = [asyncio.create_task(self._batch(batch, kind)) for batch in batches]
        try:
            rows = np.concatenate(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
        if rows.shape[1] != self._dimensions:
            raise UpstreamError(f"{self._where} now gives {rows.shape[1]} dimensions, not {self._dimensions}")
        if kind == "query":
            self._recent.keep(texts, rows)
        return rows

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _batch(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        """One request, made again while that helps and patience lasts."""
        pause = 0.5
        async with self._at_once:
            for attempt in range(1, _ATTEMPTS[kind] + 1):
                try:
                    return await self._ask(texts, kind)
                except UpstreamRefused:
                    raise
                except UpstreamError as error:
                    wait = error.retry_after if error.retry_after is not None else pause * random.uniform(0.5, 1.0)  # noqa: S311
                    if attempt == _ATTEMPTS[kind] or wait > _PATIENCE[kind]:
                        raise
                await asyncio.sleep(wait)
                pause *= 2
        raise AssertionError("unreachable")

    async def _ask(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        from aiohttp import ClientError

        cut = _QUERY if kind == "query" else None
        # OpenAI refuses an empty input, and no server takes half a surrogate pair.
        inputs = [
            (self._prefixes[kind] + text[:cut]).encode("utf-8", "replace").decode().strip() or "." for text in texts
        ]
        body: dict[str, object] = {"model": self._model, "input": inputs, "encoding_format": "float"}
        if self._wanted:
            body["dimensions"] = self._wanted
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(self._url, data=msgspec.json.encode(body), headers=headers) as response:
                answer = await response.read()
        except TimeoutError:
            raise UpstreamTimeout(f"{self._where} did not answer in time") from None
        except ClientError as error:
            raise UpstreamError(f"{self._where} cannot be reached: {error}", code="upstream_unreachable") from None
        if response.status != 200:
            raise self._failure(response.status, answer, response.headers.get("Retry-After", ""))
        return self._vectors(answer, len(texts))

    def _vectors(self, answer: bytes, count: int) -> Vector:
        try:
            rows = sorted(self._decoder.decode(answer).data, key=lambda row: row.index)
            vectors = np.array([row.embedding for row in rows], np.float64)
        except (msgspec.MsgspecError, ValueError) as error:
            raise UpstreamError(f"{self._where} answered something else than embeddings: {error}") from None
        if [row.index for row in rows] != list(range(count)) or vectors.ndim != 2 or not vectors.shape[1]:
            raise UpstreamError(f"{self._where} answered {len(rows)} embeddings for {count} texts, or empty ones")
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise UpstreamError(f"{self._where} answered an embedding that is zero or no number")
        return np.asarray(vectors / norms, np.float32)

    def _failure(self, status: int, answer: bytes, retry_after: str) -> UpstreamError:
        message = f"{self._where} answered {status}: {_reason(answer)}"
        wait = float(retry_after) if retry_after.isdecimal() else None
        if status == 429:
            return UpstreamLimited(message, retry_after=wait)
        if status in (400, 404, 413, 422):
            return UpstreamRefused(message, status=status)
        if status >= 500:
            return UpstreamError(message, retry_after=wait)
        hint = ": check embedder.api_key_env or embedder.api_key_file" if status in (401, 403) else ""
        return UpstreamRefused(message + hint, status=502)

    @property
    def _where(self) -> str:
        return f"the embedder at {self._url}"


def _reason(answer: bytes) -> str:
    """What an error's body says, short and in one line."""
    try:
        refusal = msgspec.json.decode(answer, type=_Refusal)
        error = refusal.error if isinstance(refusal.error, str) else refusal.error.message
        text = error or refusal.message
    except msgspec.MsgspecError:
        text = answer.decode("utf-8", "replace")
    return " ".join(text.split())[:300] or "nothing"
