"""`GET /v1/ledger`: what each workload costs, how good it is, and what the rung above would take. For admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from rungwise_server.api.caller import CallerOf
from rungwise_server.errors import Forbidden
from rungwise_server.ledger.ledger import Ledger, parse_days
from rungwise_server.ledger.simulate import parse_volumes
from rungwise_server.ledger.wire import page_json
from rungwise_server.protocols import KeyRing
from rungwise_server.types import Caller

Since = Annotated[str, Query(description="How far back, today included: `90d`, `12w`, `1y`.")]
Volumes = Annotated[str, Query(alias="simulate", description="Replay the year at `2x,10x`, or `5000/day`.")]


class LedgerPage(BaseModel, extra="allow"):
    """One workload's page. Figures are lines with `value`, `low`, `high`, `formula` and `source`."""

    object: str = "ledger"
    workload: str
    currency: str
    rung: str


class LedgerPages(BaseModel):
    """All pages."""

    object: str = "list"
    data: list[LedgerPage]


def ledger_api(ledger: Ledger, keys: KeyRing) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["ledger"])

    async def allow(caller: Caller) -> None:
        if not caller.admin and await keys.any():
            raise Forbidden("The ledger is for admins: use a key made with `rungwise keys create --admin`.")

    @router.get("/v1/ledger", response_model=LedgerPages)
    async def list_ledger(caller: CallerOf, since: Since = "90d", volumes: Volumes = "") -> JSONResponse:
        """List every workload's page: spend, quality, today's rung, and the rungs above."""
        await allow(caller)
        pages = await ledger.pages(days=parse_days(since), volumes=parse_volumes(volumes))
        return JSONResponse({"object": "list", "data": [page_json(page) for page in pages]})

    @router.get("/v1/ledger/{workload}", response_model=LedgerPage)
    async def get_ledger(workload: str, caller: CallerOf, since: Since = "90d", volumes: Volumes = "") -> JSONResponse:
        """Show one workload's page."""
        await allow(caller)
        (page,) = await ledger.pages(workload, parse_days(since), parse_volumes(volumes))
        return JSONResponse(dict(page_json(page)))

    return router
