"""Responses as they are kept, for their owners alone: read again, continued, cancelled, and forgotten after 30 days."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.api.responses.events import event
from rungwise_server.api.responses.input import references
from rungwise_server.api.responses.wire import (
    FileSearchCall,
    FileSearchResult,
    Response,
    ResponseError,
    encode,
    response_of,
)
from rungwise_server.errors import BadRequest, Conflict, NotFound
from rungwise_server.keeping import Kept, KeptStore

DAYS = 30
"""How long a response is kept."""
LAPSE = 30.0
"""Seconds after which a response that nobody works on any more has failed."""
RUNNING = ("queued", "in_progress")
_TURNS = 1000  # longest conversation that is read back


class Body(Struct):
    """What is kept of a response: what clients see of it, the items that were its own input, what was found for it.

    For one in the background also its events, where it is streamed, and when its server last gave a sign of life.
    """

    response: Response
    input: list[Raw]
    found: list[FileSearchResult] = []
    streamed: bool = False
    events: list[str] = []
    beat: float = 0.0


class Row(Struct):
    """A kept response, read."""

    kept: Kept
    body: Body

    def written(self) -> Kept:
        """The row as it is to be kept."""
        return replace(self.kept, state=self.body.response.status, body=Raw(encode(self.body)))


_BODY = msgspec.json.Decoder(Body)


class ResponseStore:
    """Keeps responses in a KeptStore; those in `beside` are known without being stored."""

    def __init__(self, kept: KeptStore, beside: Mapping[str, Kept] = MappingProxyType({})) -> None:
        self._kept = kept
        self._beside = beside

    async def add(self, body: Body, owner: str) -> Row:
        """Keep a response. Raises Unavailable."""
        return Row(await self._kept.add(self.kept_form(body, owner)), body)

    def kept_form(self, body: Body, owner: str) -> Kept:
        """A response as it is kept."""
        response = body.response
        expires = response.created_at + DAYS * 86_400.0
        kept = Kept(response.id, "response", owner, response.created_at, Raw(encode(body)), expires_at=expires)
        return replace(kept, state=response.status)

    async def find(self, id: str, owner: str) -> Row | None:
        """A response of `owner`'s. One whose server died while it worked on it has failed, and is written so."""
        while (kept := self._beside.get(id) or await self._kept.get("response", id, owner)) is not None:
            row = Row(kept, _BODY.decode(kept.body))
            response = row.body.response
            if response.status not in RUNNING or time.time() - row.body.beat < LAPSE:
                return row
            message = "The server that worked on this response stopped in the middle of it. Send the request again."
            response.status, response.error = "failed", ResponseError("server_error", message)
            if row.body.streamed:
                last = event("response.failed", len(row.body.events), response=response)
                row.body.events.append(last.decode())
            try:
                return await self.write(row)
            except (Conflict, NotFound):
                continue  # somebody else changed it meanwhile
        return None

    async def get(self, id: str, owner: str) -> Row:
        """The same. Raises NotFound."""
        row = await self.find(id, owner)
        if row is None:
            raise NotFound(f"Response with id '{id}' not found.", param="response_id", code="response_not_found")
        return row

    async def write(self, row: Row) -> Row:
        """Write a row that was changed. Raises Conflict where another did since it was read, NotFound."""
        return Row(await self._kept.change(row.written()), row.body)

    async def unchanged(self, row: Row) -> bool:
        """Whether a row is still as it was read."""
        kept = await self._kept.get("response", row.kept.id, row.kept.owner)
        return kept is not None and kept.revision == row.kept.revision

    async def cancel(self, id: str, owner: str) -> Row:
        """Have a response that is worked on end. One that has ended stays as it is.

        Raises:
            NotFound: there is none.
            BadRequest: it is not in the background.
        """
        while True:
            row = await self.get(id, owner)
            if not row.body.response.background:
                raise BadRequest("Only a response that was made with background=true can be cancelled.")
            if row.body.response.status not in RUNNING:
                return row
            row.body.response.status = "cancelled"
            try:
                return await self.write(row)
            except Conflict:
                continue

    async def remove(self, id: str, owner: str) -> None:
        """Forget a response. Raises NotFound."""
        await self.get(id, owner)
        await self._kept.remove("response", id)

    async def history(self, previous: str | None, owner: str) -> list[Raw]:
        """The items of the conversation that ends with the response `previous`, oldest first.

        Raises:
            NotFound: it, or one before it, is not there (any more).
            BadRequest: it has not ended well, or the conversation is too long.
        """
        turns: list[list[Raw]] = []
        id = previous
        while id:
            row = await self.find(id, owner)
            if row is None:
                why = "" if id == previous else f" It is an earlier turn of '{previous}'; send the items themselves."
                raise NotFound(
                    f"Previous response with id '{id}' not found.{why}",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
            response = row.body.response
            if response.status not in ("completed", "incomplete"):
                raise BadRequest(
                    f"The response '{id}' cannot be continued: its status is {response.status}.",
                    param="previous_response_id",
                )
            turns.append([*row.body.input, *(Raw(encode(item)) for item in response.output)])
            if len(turns) > _TURNS:
                raise BadRequest(f"The conversation has more than {_TURNS} turns.", param="previous_response_id")
            id = response.previous_response_id
        return [item for turn in reversed(turns) for item in turn]

    async def resolve(self, items: Sequence[Raw], owner: str) -> list[Raw]:
        """The items, with those that are referred to in the place of references.

        Raises:
            NotFound: an item that is not there (any more), or not `owner`'s.
        """
        resolved = list(items)
        for place, id in references(items):
            row = await self.find(response_of(id), owner)
            known = [Raw(encode(item)) for item in row.body.response.output] + row.body.input if row else []
            item = next((raw for raw in known if named(raw) == id), None)
            if item is None:
                raise NotFound(f"Item with id '{id}' not found.", param=f"input[{place}].id", code="item_not_found")
            resolved[place] = item
        return resolved


class _Named(Struct):
    id: str = ""


def named(raw: Raw) -> str:
    """The id of an item in its kept form."""
    return msgspec.json.decode(raw, type=_Named).id


def with_results(body: Body) -> Response:
    """The response with what its search found."""
    response = body.response
    shown = [replace(i, results=body.found) if isinstance(i, FileSearchCall) else i for i in response.output]
    return replace(response, output=shown)
