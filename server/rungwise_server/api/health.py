"""`/livez`: the process runs. `/readyz`: it can answer, with what each part says. `/metrics`: Prometheus."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from rungwise_server.errors import RungwiseError

Probe = Callable[[], Awaitable[str]]
"""Says in a few words how a part is; raises RungwiseError where it cannot serve."""


def health_api(probes: Mapping[str, Probe], metrics: Callable[[], tuple[bytes, str]]) -> APIRouter:
    """The routes; they need no key, and tell no secrets. `metrics` gives the exposition and its content type."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Answer while the process runs."""
        return "ok"

    @router.get(
        "/readyz", responses={503: {"description": "A part cannot serve.", "content": {"application/json": {}}}}
    )
    async def readyz() -> JSONResponse:
        """Answer 200 once every part can serve, else 503 with the part that cannot."""
        parts = {}
        ready = True
        for name, probe in probes.items():
            try:
                parts[name] = await probe()
            except RungwiseError as error:
                parts[name] = error.message
                ready = False
        return JSONResponse({"ready": ready, "parts": parts}, status_code=200 if ready else 503)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Expose counters and histograms."""
        body, content_type = metrics()
        return Response(body, headers={"content-type": content_type})

    return router
