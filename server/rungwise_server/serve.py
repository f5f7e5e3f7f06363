"""Runs the server: opens the house, binds, answers until it is told to stop, and closes without losing a row."""

import asyncio
import gc
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import cast

import uvicorn

from rungwise_server.api.front import Front
from rungwise_server.api.health import Probe
from rungwise_server.api.limits import Limits
from rungwise_server.app import Parts, create_app
from rungwise_server.bootstrap import House, embedder_names, open_house, open_ledger, open_search
from rungwise_server.config.settings import LimitSettings, Settings
from rungwise_server.errors import SetupError, Unavailable
from rungwise_server.files import Files
from rungwise_server.http.gather import GatheringProtocol, Turn
from rungwise_server.sweeper import Sweeper, forget_expired
from rungwise_server.types import principal

logger = logging.getLogger(__name__)

_GRACE = 10  # seconds that running answers get when the server is told to stop


async def serve(
    settings: Settings,
    on_ready: Callable[[str, House], None] = lambda _url, _house: None,
    environ: Mapping[str, str] = os.environ,
    beside: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` gets the server's URL once it answers. `beside` is open as long as the
    server answers, and closed before the house is.

    Raises:
        SetupError: the address cannot be bound, or may not be without a key; or a part cannot be opened.
    """
    house = await open_house(settings, environ)
    try:
        if not is_loopback(settings.server.host) and not await house.keys.any():
            raise SetupError(
                f"refusing to listen on {settings.server.host} without any API key: everybody who reaches it could "
                "read what `everyone` may read. Make a key first: `rungwise keys create --user NAME --admin`."
            )
        listener = bind(settings.server.host, settings.server.port)
        host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        await house.embedder.embed(["warm up"], "query")
        app = create_app(
            _parts(house),
            max_body=int(settings.server.max_body_mb * 1_000_000),
            max_upload=int(settings.server.max_upload_mb * 1_000_000),
            public_url=settings.server.public_url,
            limits=_limits(settings.server.limits),
        )
        # What was made up to here stays for ever: the collector need not walk it for each few hundred requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        sweeping = asyncio.create_task(_sweeper(house).run())
        try:
            async with beside or nullcontext():
                await listen(app, listener, lambda: on_ready(url, house))
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
    finally:
        await house.close()


async def listen(app: Front, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve `app` on a bound socket until SIGINT, SIGTERM or cancellation; `on_ready` is called once it accepts."""
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(GatheringProtocol, Turn())),
        ws="wsproto",
        ws_max_size=app.max_body,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=False,  # links behind a proxy come from server.public_url, which nobody can forge
        timeout_graceful_shutdown=_GRACE,
    )
    try:
        await _Server(config, on_ready).serve([listener])
    finally:
        await app.close()


def run(
    settings: Settings,
    on_ready: Callable[[str, House], None],
    beside: AbstractAsyncContextManager[object] | None = None,
) -> None:
    """`serve` on an event loop of its own."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, on_ready, beside=beside))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        # As uvicorn's own, which then raises the signal again: before the house could be closed.
        with self.capture_signals():
            await self._serve(sockets)
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises SetupError."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise SetupError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Another server may run there; "
            f"choose another port with --port."
        ) from None
    listener.setblocking(False)
    return listener


def _limits(chosen: LimitSettings) -> Limits | None:
    if not chosen.requests_per_minute and not chosen.concurrent:
        return None
    return Limits(chosen.requests_per_minute, chosen.concurrent)


def _parts(house: House) -> Parts:
    return Parts(
        engine=house.engine,
        index=house.index,
        embedder=house.embedder,
        embedder_names=embedder_names(house.settings, house.embedder),
        keys=house.keys,
        kept=house.kept,
        blobs=house.blobs,
        queue=house.queue,
        probes=_probes(house),
        metrics=house.metrics.expose,
        reranker=house.reranker,
        moderate=house.moderations,
        searcher=lambda search: open_search(house.index, house.embedder, search),
        collections={name: chosen.description for name, chosen in house.settings.collections.items()},
        graders={
            name: frozenset(principal(grader) for grader in workload.graders)
            for name, workload in house.settings.workloads.items()
        },
        ledger=open_ledger(house.settings, house.database, house.log, house.kept, house.embedder),
    )


def _sweeper(house: House) -> Sweeper:
    kept = house.kept
    return Sweeper(
        {
            "files": Files(kept, house.blobs, limit=0).sweep,
            "responses": lambda: forget_expired(kept, "response"),
            "idempotency keys": lambda: forget_expired(kept, "idempotency"),
            "uploads": house.blobs.tidy,
        }
    )


def _probes(house: House) -> Mapping[str, Probe]:
    async def index() -> str:
        counts = {name: await house.index.count(name) for name in house.settings.collections}
        return ", ".join(f"{name}: {count} passages" for name, count in counts.items()) or "no collections"

    async def log() -> str:
        state = house.log.state()
        waiting = f", {state.waiting} rows wait for the database: {state.reason}" if state.waiting else ""
        return state.status + waiting + (f", {state.lost} rows lost" if state.lost else "")

    async def embedder() -> str:
        if not len(await house.embedder.embed(["ready?"], "query")):
            raise Unavailable("the embedder gives no vectors")
        return house.embedder.name

    return {"index": index, "log": log, "embedder": embedder}
