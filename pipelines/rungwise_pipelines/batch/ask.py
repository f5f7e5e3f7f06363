"""One line of a batch through the engine: what an online request is, without HTTP."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import Struct

from rungwise_pipelines.batch.lines import Line
from rungwise_server.answer import Answer
from rungwise_server.api.surface import Asked, Reply, Surface, collect
from rungwise_server.engine import Engine
from rungwise_server.errors import BadRequest
from rungwise_server.types import Caller, Ids, Usage


class Answered(Struct, frozen=True):
    """An answer as a client of the surface gets it. `id` is the inference id, the handle for feedback. What is not
    known of usage and cost is None; `candidate` is empty where no model was chosen.
    """

    id: str
    body: bytes
    status: int = 200
    candidate: str = ""
    usage: Usage | None = None
    cost: float | None = None


class _Tokens(Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Used(Struct):
    usage: _Tokens | None = None


async def _settled() -> None:
    return


class Asker:
    """Asks for one caller. In the log its answers are those of `batch.chat`, `batch.responses` and so on.

    Args:
        surfaces: by the URL that lines name.
        sources: the URL before a passage's id, for links in citations.
        settle: waits until the log has all answers that were given before.
    """

    def __init__(
        self,
        engine: Engine,
        surfaces: Mapping[str, Surface],
        caller: Caller,
        sources: str,
        settle: Callable[[], Awaitable[None]] = _settled,
    ) -> None:
        self.settle = settle
        self._engine = engine
        self._surfaces = {url: (surface, Ids(surface.prefix)) for url, surface in surfaces.items()}
        self._caller = caller
        self._sources = sources

    async def __call__(self, line: Line) -> Answered:
        """The answer. Raises what the surface and the engine raise."""
        surface, new_id = self._serving(line)
        asked = Asked(new_id(), self._caller, line.body, self._sources)
        exchange = await surface.read(asked)
        if isinstance(exchange, Reply):
            body = (
                exchange.body if isinstance(exchange.body, bytes) else b"".join([part async for part in exchange.body])
            )
            return Answered(asked.id, body, exchange.status, usage=_usage(body))
        async with await self._engine.chat(exchange.request, self._caller, f"batch.{surface.name}") as answer:
            body = await exchange.whole(answer, await collect(answer))
        return Answered(answer.id, body, 200, answer.candidate, answer.usage, self._cost(answer))

    def error(self, line: Line, error: Exception) -> bytes:
        """The body of an error as the surface's clients know it."""
        surface, new_id = self._serving(line)
        return surface.error(error, new_id())

    def _serving(self, line: Line) -> tuple[Surface, Ids]:
        if line.url not in self._surfaces:
            raise BadRequest(f"{line.url} is not served here.", param="url")
        return self._surfaces[line.url]

    def _cost(self, answer: Answer) -> float | None:
        candidate = self._engine.candidates.get(answer.candidate)
        return candidate.price.of(answer.usage) if candidate and candidate.price and answer.usage else None


def _usage(body: bytes) -> Usage | None:
    """What a reply that no model of the engine made says of its tokens itself."""
    try:
        used = msgspec.json.decode(body, type=_Used).usage
    except msgspec.MsgspecError:
        return None
    return Usage(used.prompt_tokens, used.total_tokens - used.prompt_tokens) if used else None
