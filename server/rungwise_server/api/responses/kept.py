"""The routes of responses that were kept: read, stream again, delete, cancel, list the input. Each is its owner's."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from msgspec import Raw, Struct

from rungwise_server.api.caller import CallerOf
from rungwise_server.api.responses.request import INCLUDES, RESULTS
from rungwise_server.api.responses.store import named, with_results
from rungwise_server.api.responses.surface import Responses
from rungwise_server.api.responses.wire import encode
from rungwise_server.errors import BadRequest, NotFound

_Include = Annotated[list[str] | None, Query(alias="include[]")]
_IncludePlain = Annotated[list[str] | None, Query(alias="include")]
_OBJECT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}


class _Deleted(Struct):
    id: str
    object: str = "response"
    deleted: bool = True


class _Items(Struct):
    data: Sequence[Raw]
    first_id: str
    last_id: str
    has_more: bool
    object: str = "list"


def responses_api(responses: Responses) -> APIRouter:
    """The routes beside the `POST` that makes a response."""
    router = APIRouter(tags=["responses"], default_response_class=Response)
    store, background = responses.store, responses.background

    @router.get("/v1/responses/{response_id}", responses=_OBJECT)
    async def get_response(
        response_id: str,
        caller: CallerOf,
        include: _Include = None,
        include_plain: _IncludePlain = None,
        stream: bool = False,
        starting_after: Annotated[int | None, Query(ge=0, le=2**31)] = None,
        include_obfuscation: bool = False,
    ) -> Response:
        """Retrieve a response, or its events if it was made with `background` and `stream`."""
        wanted = _included(include, include_plain)
        row = await store.get(response_id, caller.owner)
        if not stream:
            if starting_after is not None:
                raise BadRequest("'starting_after' is for a stream: send 'stream=true'.", param="starting_after")
            return _json(with_results(row.body) if RESULTS in wanted else row.body.response)
        if not row.body.streamed:
            raise BadRequest(
                "Only a response that was made with background=true and stream=true can be streamed again.",
                param="stream",
            )
        if include_obfuscation:
            raise BadRequest("The events are kept as they were made.", param="include_obfuscation")
        events = background.follow(row, -1 if starting_after is None else starting_after)
        return StreamingResponse(events, headers={"cache-control": "no-cache"}, media_type="text/event-stream")

    @router.delete("/v1/responses/{response_id}", responses=_OBJECT)
    async def delete_response(response_id: str, caller: CallerOf) -> Response:
        """Forget a response; one in the background stops."""
        await store.remove(response_id, caller.owner)
        background.stop(response_id)
        return _json(_Deleted(response_id))

    @router.post("/v1/responses/{response_id}/cancel", responses=_OBJECT)
    async def cancel_response(response_id: str, caller: CallerOf) -> Response:
        """Stop a response in the background."""
        row = await store.cancel(response_id, caller.owner)
        if row.body.response.status == "cancelled":
            background.stop(response_id)
        return _json(row.body.response)

    @router.get("/v1/responses/{response_id}/input_items", responses=_OBJECT)
    async def list_input_items(
        response_id: str,
        caller: CallerOf,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: str = "",
        before: str = "",
        include: _Include = None,
        include_plain: _IncludePlain = None,
    ) -> Response:
        """List what a response was made from, the turns before it included."""
        _included(include, include_plain)
        row = await store.get(response_id, caller.owner)
        try:
            items = await store.history(row.body.response.previous_response_id, caller.owner)
        except NotFound:
            items = []  # a turn before it was deleted, and is not shown through this one
        items += row.body.input
        return _json(_page(items[::-1] if order == "desc" else items, limit, after, before))

    return router


def _included(*given: list[str] | None) -> list[str]:
    wanted = [name for names in given for name in names or ()]
    for name in wanted:
        if name not in INCLUDES:
            raise BadRequest(f"Invalid value {name!r}: there are {', '.join(INCLUDES)}.", param="include")
    return wanted


def _page(items: list[Raw], limit: int, after: str, before: str) -> _Items:
    """What comes between two items of the list, which need not be there: then nothing does."""
    ids = [named(item) for item in items]
    if any(mark and mark not in ids for mark in (after, before)):
        return _Items([], "", "", has_more=False)
    start = ids.index(after) + 1 if after else 0
    end = ids.index(before) if before else len(ids)
    if before and not after:
        start = max(start, end - limit)
    stop = max(start, min(end, start + limit))
    shown = ids[start:stop]
    more = start > 0 if before and not after else stop < end
    return _Items(items[start:stop], shown[0] if shown else "", shown[-1] if shown else "", has_more=more)


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")
