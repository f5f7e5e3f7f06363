"""`POST /v1/moderations`: passed on, as it is, to the candidate that does it, and its answer passed back."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw, Struct

from rungwise_server.api.errors import error_body
from rungwise_server.api.surface import Asked, Reply
from rungwise_server.api.wire import read
from rungwise_server.errors import NotFound

Moderate = Callable[[bytes], Awaitable[bytes]]
"""A body to the moderations of another server, and its answer. Raises UpstreamError."""


class _Body(Struct):
    input: str | list[str | dict[str, Raw]]
    model: str | None = None


_BODY = msgspec.json.Decoder(_Body)


class Moderations:
    """The surface. It answers without a chat model; `moderate` None means that nobody does."""

    name = "moderations"
    prefix = "modr"

    def __init__(self, moderate: Moderate | None) -> None:
        self._moderate = moderate

    async def read(self, asked: Asked) -> Reply:
        """The whole answer.

        Raises:
            BadRequest: there is no `input`, or not of OpenAI's form.
            NotFound: no candidate does moderations.
            UpstreamError: it failed.
        """
        read(_BODY, asked.body)
        if self._moderate is None:
            raise NotFound(
                "No model here does moderations. Whoever runs this server names one in `moderations`: a candidate of "
                "kind openai_compatible whose server has /moderations, such as OpenAI's.",
                code="moderations_not_configured",
            )
        return Reply(await self._moderate(asked.body))

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)
