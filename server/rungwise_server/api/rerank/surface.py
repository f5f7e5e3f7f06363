"""`POST /v1/rerank`, `/rerank` and `/v2/rerank`: texts in the order in which they answer a query.

As Jina, Cohere (v1 and v2) and vLLM speak it: each of their clients finds in the answer what it looks for.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rungwise_server.api.errors import error_body
from rungwise_server.api.surface import Asked, Reply
from rungwise_server.api.wire import read
from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.protocols import Reranker

DEFAULT = "default"

_DOCUMENTS = 1000
_CHARACTERS = 1_200_000
_PER_TOKEN = 4

Positive = Annotated[int, Meta(ge=1)]


class _Body(Struct, forbid_unknown_fields=True):
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | dict[str, object]], Meta(min_length=1, max_length=_DOCUMENTS)]
    model: str | None = None
    top_n: Positive | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    max_tokens_per_doc: Positive | None = None
    max_chunks_per_doc: Positive | None = None
    user: str | None = None


class _Document(Struct):
    text: str


class _Result(Struct):
    index: int
    relevance_score: float
    document: _Document | UnsetType = UNSET


class _Usage(Struct):
    prompt_tokens: int
    total_tokens: int


class _Version(Struct):
    version: str


class _Units(Struct):
    search_units: int = 1


class _Meta(Struct):
    api_version: _Version
    billed_units: _Units


class _Answer(Struct):
    id: str
    model: str
    results: list[_Result]
    usage: _Usage
    meta: _Meta
    object: str = "list"


_BODY = msgspec.json.Decoder(_Body)


class Rerank:
    """The surface. It answers without a chat model.

    Args:
        version: of Cohere's API: with 2, documents come back only where the request asks for them.
    """

    name = "rerank"
    prefix = "rerank"

    def __init__(self, reranker: Reranker, version: int = 1) -> None:
        self._reranker = reranker
        self._version = version

    async def read(self, asked: Asked) -> Reply:
        """The whole answer.

        Raises:
            BadRequest: a field is not of the form that any of the three takes, or over its limit.
            NotFound: `model` is not the reranker.
            UpstreamError: the reranker is behind a URL, and failed.
        """
        body = read(_BODY, asked.body)
        if body.model not in (None, "", DEFAULT, self._reranker.name):
            raise NotFound(
                f"The reranking model {body.model!r} does not exist. There is {self._reranker.name}, also as "
                f"{DEFAULT!r}.",
                param="model",
                code="model_not_found",
            )
        texts = [_text(document, at, body.rank_fields) for at, document in enumerate(body.documents)]
        characters = len(body.query) + sum(map(len, texts))
        if characters > _CHARACTERS:
            raise BadRequest(
                f"Invalid 'documents': {characters} characters; at most {_CHARACTERS} are taken in one request.",
                param="documents",
            )
        most = _PER_TOKEN * body.max_tokens_per_doc if body.max_tokens_per_doc else None
        scores = await self._reranker.score(body.query, [t[:most] for t in texts], body.max_chunks_per_doc or 0)
        order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[: body.top_n]
        shown = self._version == 1 if body.return_documents is None else body.return_documents
        results = [_Result(at, scores[at], _Document(texts[at]) if shown else UNSET) for at in order]
        tokens = -(-characters // _PER_TOKEN)
        meta = _Meta(_Version(str(self._version)), _Units())
        return Reply(msgspec.json.encode(_Answer(asked.id, self._reranker.name, results, _Usage(tokens, tokens), meta)))

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)


def _text(document: str | dict[str, object], at: int, fields: list[str] | None) -> str:
    """A document's text: its own, its field `text`, or the fields that are to be ranked by."""
    if isinstance(document, str):
        return document
    names = fields or ["text"]
    values = [document.get(name) for name in names]
    if not all(isinstance(value, str) for value in values):
        raise BadRequest(
            f"Invalid value for 'documents[{at}]': it is a text, or an object with a text as {' and '.join(names)}.",
            param=f"documents[{at}]",
        )
    return "\n".join(str(value) for value in values)
