"""`/v1/responses` over a WebSocket: one turn after the other, each event of a stream a message of its own.

A client sends `{"type": "response.create", …}` with the fields of a request. Responses that are not stored can be
continued too, as long as the connection lasts and no turn that continued them has failed.
"""

import asyncio
from collections import OrderedDict

import msgspec
from msgspec import Raw

from rungwise_server.api.asgi import Receive, Scope, Send
from rungwise_server.api.auth import Gate
from rungwise_server.api.endpoint import sources_of
from rungwise_server.api.errors import error_body, error_status
from rungwise_server.api.limits import Limits
from rungwise_server.api.responses.events import DONE
from rungwise_server.api.responses.surface import Responses, ResponsesExchange
from rungwise_server.api.surface import Asked
from rungwise_server.engine import Engine
from rungwise_server.errors import BadRequest, RungwiseError
from rungwise_server.keeping import Kept
from rungwise_server.types import Caller, Ids

_LONGEST = 3600.0  # seconds that a connection lasts, as at OpenAI
_WAITING = 16  # turns that may wait for the one that runs
_BESIDE = 32  # responses that are not stored and can be continued
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ERROR = msgspec.json.Decoder(dict[str, dict[str, Raw]])
_HTTP_ONLY = ("stream", "stream_options", "background")


class Socket:
    """Serves WebSockets. `limits` counts each turn as a request."""

    def __init__(
        self, responses: Responses, engine: Engine, gate: Gate, public_url: str = "", limits: Limits | None = None
    ) -> None:
        self._responses = responses
        self._engine = engine
        self._gate = gate
        self._public_url = public_url
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()
        await send({"type": "websocket.accept"})
        try:
            caller = await self._gate.caller(scope["headers"])
        except RungwiseError as error:
            await _tell(send, _envelope(error))
            await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
            return
        sources = sources_of(scope, self._public_url)
        connection = _Connection(self._responses, self._engine, self._limits, caller, sources, send)
        turns: asyncio.Queue[str | bytes] = asyncio.Queue(_WAITING)
        working = asyncio.create_task(connection.work(turns))
        try:
            async with asyncio.timeout(_LONGEST):
                while (message := await receive())["type"] == "websocket.receive":
                    await turns.put(message.get("text") or message.get("bytes") or b"")
        except TimeoutError:
            old = RungwiseError(
                "This connection is an hour old: open a new one.", code="websocket_connection_limit_reached"
            )
            await _tell(send, _envelope(old))
            await send({"type": "websocket.close", "code": 1000, "reason": old.message})
        finally:
            working.cancel()
            await asyncio.wait([working])


class _Connection:
    """One client's turns, one at a time."""

    def __init__(
        self, responses: Responses, engine: Engine, limits: Limits | None, caller: Caller, sources: str, send: Send
    ) -> None:
        self._beside: OrderedDict[str, Kept] = OrderedDict()
        self._surface = responses.on_connection(self._beside)
        self._new_id = Ids(responses.prefix, pool=1)
        self._engine, self._limits, self._caller, self._sources, self._send = engine, limits, caller, sources, send

    async def work(self, turns: "asyncio.Queue[str | bytes]") -> None:
        while True:
            text = await turns.get()
            previous = ""
            try:
                fields = _read(text)
                previous = _text(fields.get("previous_response_id"))
                fine = await self._counted(msgspec.json.encode(fields))
            except Exception as error:  # the last door: whatever it is leaves as an event
                fine = False
                await _tell(self._send, _envelope(error))
            if not fine:
                self._beside.pop(previous, None)

    async def _counted(self, body: bytes) -> bool:
        """A turn, within the caller's limits. Raises RateLimited."""
        if self._limits is None:
            return await self._turn(body)
        self._limits.enter(self._caller.owner)
        try:
            return await self._turn(body)
        finally:
            self._limits.leave(self._caller.owner)

    async def _turn(self, body: bytes) -> bool:
        """One response, and whether it ended well."""
        exchange = await self._surface.read(Asked(self._new_id(), self._caller, body, self._sources))
        assert isinstance(exchange, ResponsesExchange)
        async with await self._engine.chat(exchange.request, self._caller, self._surface.name) as answer:
            await self._events(exchange.open(answer))
            try:
                async for delta in answer:
                    await self._events(exchange.delta(delta))
            except RungwiseError as error:
                await self._events(await exchange.broken(answer, error))
            else:
                await self._events(await exchange.close(answer))
        response = exchange.body.response
        if not response.store and response.status != "failed":
            self._beside[response.id] = exchange.kept()
            if len(self._beside) > _BESIDE:
                self._beside.popitem(last=False)
        return response.status != "failed"

    async def _events(self, events: bytes) -> None:
        for event in events.removesuffix(DONE).split(b"\n\n"):
            _, _, data = event.partition(b"data: ")
            if data:
                await _tell(self._send, data)


def _read(text: str | bytes) -> dict[str, Raw]:
    """The request in a message. Raises BadRequest."""
    try:
        fields = _FIELDS.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"The message is not a JSON object: {error}", code="invalid_json") from None
    if _text(fields.pop("type", None)) != "response.create":
        raise BadRequest("The message's type must be 'response.create'.", param="type")
    for name in _HTTP_ONLY:
        if name in fields:
            raise BadRequest(f"{name!r} has no place on a WebSocket: leave it out.", param=name)
    return {**fields, "stream": Raw(b"true")}


def _text(raw: Raw | None) -> str:
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.MsgspecError:
        return ""


def _envelope(error: Exception) -> bytes:
    """`{"type": "error", "status", "error": {…}}`."""
    told = _ERROR.decode(error_body(error))["error"]
    return msgspec.json.encode({"type": "error", "status": error_status(error), "error": told})


async def _tell(send: Send, data: bytes) -> None:
    await send({"type": "websocket.send", "text": data.decode()})
