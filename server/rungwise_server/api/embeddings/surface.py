"""`POST /v1/embeddings`: vectors of texts, from the embedder that the index is searched with.

Texts are embedded as passages are, in turns of a few: a large request neither holds up a smaller one for long nor the
searches of those who chat, and ends with the turn in which its client leaves.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rungwise_server.api.embeddings.cl100k import Cl100k
from rungwise_server.api.errors import error_body
from rungwise_server.api.surface import Asked, Reply
from rungwise_server.api.wire import read
from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.protocols import Embedder

DEFAULT = "default"
"""The model that a client asks for who does not mind which it is."""

_INPUTS = 2048
_TOKENS = 300_000
_TURN = 64

Token = Annotated[int, Meta(ge=0)]


class _Body(Struct, forbid_unknown_fields=True):
    model: Annotated[str, Meta(min_length=1)]
    input: str | list[str | Token | list[Token]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class _Row(Struct):
    index: int
    embedding: list[float] | bytes
    object: str = "embedding"


class _Usage(Struct):
    prompt_tokens: int
    total_tokens: int


class _Answer(Struct):
    data: list[Raw]
    model: str
    usage: _Usage
    object: str = "list"


_BODY = msgspec.json.Decoder(_Body)


class Embeddings:
    """The surface. It answers without a chat model.

    Args:
        names: what the embedder may be asked for as; the first is its own name, which answers carry.
    """

    name = "embeddings"
    prefix = "embd"

    def __init__(self, embedder: Embedder, names: Sequence[str]) -> None:
        self._embedder = embedder
        self._names = tuple(names)
        self._cl100k = Cl100k()

    async def read(self, asked: Asked) -> Reply:
        """The whole answer.

        Raises:
            BadRequest: a field is not of the form that OpenAI's is, or over its limit, or asks for other dimensions.
            NotFound: `model` is not the embedder.
            UpstreamError: the embedder is behind a URL, and failed.
        """
        body = read(_BODY, asked.body)
        self._check_model(body.model)
        dimensions = self._embedder.dimensions
        if body.dimensions not in (None, dimensions):
            raise BadRequest(
                f"Invalid value for 'dimensions': {self._names[0]} gives vectors of {dimensions} and no others.",
                param="dimensions",
            )
        texts, tokens = await self._texts(body.input)
        rows: list[Raw] = []
        for start in range(0, len(texts), _TURN):
            vectors = await self._embedder.embed(texts[start : start + _TURN], "passage")
            packed = body.encoding_format == "base64"
            rows += [
                Raw(msgspec.json.encode(_Row(at, vector.astype("<f4").tobytes() if packed else vector.tolist())))
                for at, vector in enumerate(vectors, start)
            ]
        return Reply(msgspec.json.encode(_Answer(rows, self._names[0], _Usage(tokens, tokens))))

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)

    def _check_model(self, model: str) -> None:
        if model in (*self._names, DEFAULT):
            return
        others = f" (also as {', '.join(self._names[1:])})" if self._names[1:] else ""
        raise NotFound(
            f"The embedding model {model!r} does not exist. There is {self._names[0]}{others}. To have it answer to "
            f"{model!r} too, its vectors being others, whoever runs this server adds that to `embedder.aliases`.",
            param="model",
            code="model_not_found",
        )

    async def _texts(self, given: str | list[str | int | list[int]]) -> tuple[list[str], int]:
        """The texts, and how many tokens they are: of text a guess, four bytes each."""
        inputs = _inputs(given)
        counts = [len(each) if isinstance(each, list) else -(-len(each.encode()) // 4) for each in inputs]
        if sum(counts) > _TOKENS:
            raise BadRequest(
                f"Invalid 'input': all texts together are about {sum(counts)} tokens; at most {_TOKENS} are taken in "
                "one request.",
                param="input",
                code="max_tokens_per_request",
            )
        if not any(isinstance(each, list) for each in inputs):
            return [each for each in inputs if isinstance(each, str)], sum(counts)
        texts = await asyncio.to_thread(
            lambda: [each if isinstance(each, str) else self._cl100k.text(each) for each in inputs]
        )
        return texts, sum(counts)


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    """One entry a text. Raises BadRequest where there are none, too many, an empty one, or of more than one kind."""
    if isinstance(given, str):
        inputs: list[str | list[int]] = [given]
    elif given and all(isinstance(each, int) for each in given):
        inputs = [[each for each in given if isinstance(each, int)]]
    else:
        inputs = [each for each in given if not isinstance(each, int)]
        if len(inputs) != len(given) or len({type(each) for each in inputs}) > 1:
            raise BadRequest(
                "Invalid 'input': it is a text, a list of texts, a list of tokens or a list of lists of tokens, and "
                "not a mixture.",
                param="input",
            )
    if not inputs:
        raise BadRequest("Invalid 'input': there is nothing in it.", param="input")
    if len(inputs) > _INPUTS:
        raise BadRequest(f"Invalid 'input': {len(inputs)} texts; at most {_INPUTS} are taken at once.", param="input")
    for at, each in enumerate(inputs):
        if not each:
            which = f"input[{at}]" if isinstance(given, list) and len(inputs) > 1 else "input"
            raise BadRequest(f"Invalid '{which}': it cannot be empty.", param=which)
    return inputs
