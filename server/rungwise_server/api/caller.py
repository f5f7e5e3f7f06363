"""The caller of a FastAPI route, as a dependency: `async def route(caller: CallerOf)`."""

from typing import Annotated

from fastapi import Depends, Request

from rungwise_server.api.auth import Gate
from rungwise_server.types import Caller


async def _caller(request: Request) -> Caller:
    gate: Gate = request.app.state.gate
    return await gate.caller(request.headers.raw)


CallerOf = Annotated[Caller, Depends(_caller)]
