"""`Idempotency-Key` on POST: the same request again gets the first one's answer, whole or streamed, byte for byte.

A key counts per caller, path and query. For 24 hours

- the same body again gets the kept answer, with `idempotency-replayed: true`;
- another body is refused: 422, and not to be retried;
- while the first still runs in this process, the second follows it and gets the same bytes: a client that gave up too
  soon and asks again need not pay twice. So a request with a key goes on for some seconds after its client has left;
- while it runs in another process: 409, and not to be retried.

Kept are answers with a status of 2xx that came to their end: what failed, broke off or was refused may be tried again
with the same key, also with another body. Of an upload (multipart) only the size is compared: its boundaries differ in
each attempt. While the database is down, only this process's own running requests are known.
"""

import asyncio
import logging
import re
import time
import zlib
from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.api.asgi import BROKEN, App, ClientGone, Receive, Refuse, Scope, Send, read_body
from rungwise_server.api.auth import Gate
from rungwise_server.errors import BadRequest, Conflict, NotFound, RungwiseError, Unavailable
from rungwise_server.keeping import Kept, KeptStore
from rungwise_server.types import Caller

logger = logging.getLogger("rungwise.idempotency")

HEADER = b"idempotency-key"
KEEP = 86_400.0
"""Seconds that an answer is kept."""

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_MOST = 8_000_000  # bytes of an answer that is kept
_GRACE = 10.0  # seconds that an answer goes on whose client has left: SDKs come back within eight
_LEASE = 60.0  # seconds after which a request is taken to have died with its process
_REPLAYED = (b"idempotency-replayed", b"true")

Message = MutableMapping[str, Any]


class _Saved(Struct):
    """A kept answer; while the request runs, its fingerprint alone."""

    fingerprint: str
    status: int = 0
    headers: list[tuple[str, str]] = []
    body: bytes = b""


def key_of(scope: Scope) -> bytes | None:
    """The key of a request, if it has one."""
    for name, value in scope["headers"]:
        if name == HEADER:
            return bytes(value)
    return None


class Idempotent:
    """An ASGI application in front of `app`, for requests that have a key.

    `max_body` is the most bytes of a body; `grace` how many seconds a request goes on that nobody waits for.
    """

    def __init__(
        self, app: App, gate: Gate, store: KeptStore, refuse: Refuse, max_body: int, grace: float = _GRACE
    ) -> None:
        self._app = app
        self._gate = gate
        self._store = store
        self._refuse = refuse
        self._max_body = max_body
        self._grace = grace
        self._running: dict[str, _Run] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = key_of(scope)
        assert key is not None
        try:
            caller = await self._gate.caller(scope["headers"])
        except RungwiseError:
            await self._app(scope, receive, send)  # which refuses it likewise, in its own words
            return
        try:
            if not _KEY.fullmatch(key):
                raise BadRequest(
                    "The header Idempotency-Key takes 1 to 255 visible ASCII characters.",
                    param="Idempotency-Key",
                    code="invalid_idempotency_key",
                )
            body, fingerprint = await self._read(scope, receive)
            id = _identity(caller, scope, key)
            while (run := self._running.get(id)) is not None and run.abandoned.is_set():
                await asyncio.wait([run.task])
            if run is not None and run.fingerprint != fingerprint:
                raise _reused()
        except ClientGone:
            return
        except RungwiseError as error:
            await self._refuse(scope, send, error)
            return
        first = run is None
        if run is None:
            run = self._running[id] = _Run(fingerprint, self._grace)
            run.task = asyncio.create_task(self._serve(run, id, caller, scope, run.feed(body, receive)))
        await run.follow(receive, send, replayed=not first, wait_for_body=first and body is None)

    async def close(self) -> None:
        """Abort what still runs, and wait for its end."""
        runs = list(self._running.values())
        for run in runs:
            run.abandoned.set()
        await asyncio.gather(*(run.task for run in runs), return_exceptions=True)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes | None, str]:
        """The body, None where it is an upload and comes later, and what tells it from others."""
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind.startswith(b"multipart/"):
            return None, f"{kind.decode('latin-1')} {headers.get(b'content-length', b'').decode('latin-1')}"
        body = await read_body(scope, receive, self._max_body)
        return body, sha256(kind + b"\n" + body).hexdigest()

    async def _serve(self, run: "_Run", id: str, caller: Caller, scope: Scope, receive: Receive) -> None:
        """The request itself, apart from whoever waits for its answer."""
        claim: _Claim | None = None
        try:
            kept = await self._claim(id, caller, run.fingerprint)
            if isinstance(kept, _Saved):
                await run.replay(kept)
                return
            claim = kept
            await self._app(scope, receive, _Recorder(run, claim).send)
        except RungwiseError as error:
            await self._refuse(scope, run.put, error)
        except Exception as error:
            run.error = error
        finally:
            if claim is not None:
                await claim.release()
            del self._running[id]
            run.end()

    async def _claim(self, id: str, caller: Caller, fingerprint: str) -> "_Claim | _Saved | None":
        """The right to run, or the answer of who ran before; None where nobody can tell.

        Raises:
            Conflict: it runs in another process.
            BadRequest: the key was used for another body.
        """
        body = Raw(msgspec.json.encode(_Saved(fingerprint)))
        for _ in range(3):
            now = time.time()
            kept = Kept(id, "idempotency", caller.owner, now, body, state="running", expires_at=now + _LEASE)
            try:
                return _Claim(self._store, await self._store.add(kept))
            except Conflict:
                pass
            except Unavailable as error:
                logger.warning("a request with an Idempotency-Key runs without the guard of the database: %s", error)
                return None
            try:
                had = await self._store.get("idempotency", id, caller.owner)
            except Unavailable:
                return None
            if had is None:
                continue  # it ended this very moment, and was not kept
            saved = msgspec.json.decode(had.body, type=_Saved)
            if saved.fingerprint != fingerprint:
                raise _reused()
            if had.state == "done":
                return replace(saved, body=zlib.decompress(saved.body))
            break
        raise Conflict(
            "A request with this Idempotency-Key is still running in another process: ask again in a while.",
            param="Idempotency-Key",
            code="idempotency_in_progress",
        )


class _Run:
    """One request under way, and who follows it."""

    def __init__(self, fingerprint: str, grace: float) -> None:
        self.fingerprint = fingerprint
        self._grace = grace
        self.task: asyncio.Task[None]
        self.abandoned = asyncio.Event()
        """Nobody waits for it any more."""
        self.error: Exception | None = None
        self._messages: list[Message] = []
        self._ended = False
        self._changed = asyncio.Event()
        self._whole_body = asyncio.Event()
        self._followers = 0
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, body: bytes | None, receive: Receive) -> Receive:
        """What the application reads: `body`, or the client's own messages, and its leaving only once all have."""
        if body is not None:
            self._whole_body.set()
        given = False

        async def receiving() -> Message:
            nonlocal given
            if body is not None and not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            if not self._whole_body.is_set():
                message = await receive()
                if not message.get("more_body"):
                    self._whole_body.set()
                return message
            await self.abandoned.wait()
            return {"type": "http.disconnect"}

        return receiving

    async def put(self, message: Message) -> None:
        """The next message of the answer."""
        self._messages.append(message)
        self._wake()

    async def replay(self, saved: _Saved) -> None:
        """The whole of a kept answer."""
        headers = [*((name.encode("latin-1"), value.encode("latin-1")) for name, value in saved.headers), _REPLAYED]
        await self.put({"type": "http.response.start", "status": saved.status, "headers": headers})
        await self.put({"type": "http.response.body", "body": saved.body})

    def end(self) -> None:
        """No more messages come."""
        self._ended = True
        self._wake()

    async def follow(self, receive: Receive, send: Send, *, replayed: bool, wait_for_body: bool) -> None:
        """Send all messages, those to come too, until the last, or the client leaves."""
        self._followers += 1
        if self._timer is not None:
            self._timer.cancel()
        left = asyncio.create_task(self._left(receive, wait_for_body=wait_for_body))
        at = 0
        try:
            while not left.done():
                changed, ended = self._changed, self._ended
                for message in self._messages[at:]:
                    at += 1
                    sent = {**message}
                    if replayed and message["type"] == "http.response.start" and _REPLAYED not in message["headers"]:
                        sent["headers"] = [*message["headers"], _REPLAYED]
                    await send(sent)
                if ended:
                    if self.error is not None:
                        raise self.error
                    return
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait([left, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            left.cancel()
            self._followers -= 1
            if not self._followers and not self._ended:
                self._timer = asyncio.get_running_loop().call_later(self._grace, self.abandoned.set)

    async def _left(self, receive: Receive, *, wait_for_body: bool) -> None:
        if wait_for_body:
            await self._whole_body.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Claim:
    """A row of the store that says that a request runs here; held by renewing it, and in the end the answer."""

    def __init__(self, store: KeptStore, kept: Kept) -> None:
        self._store = store
        self._kept = kept
        self._done = False
        self._holding = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(_LEASE / 3)
            try:
                self._kept = await self._store.change(replace(self._kept, expires_at=time.time() + _LEASE))
            except Unavailable:
                continue
            except (Conflict, NotFound):
                return

    async def save(self, saved: _Saved) -> None:
        """The answer, for whoever asks again."""
        await self._stop()
        self._done = True
        body = Raw(msgspec.json.encode(replace(saved, body=zlib.compress(saved.body, 1))))
        try:
            await self._store.change(replace(self._kept, state="done", body=body, expires_at=time.time() + KEEP))
        except RungwiseError as error:
            logger.warning("an answer could not be kept for its Idempotency-Key: %s", error)

    async def release(self) -> None:
        """The end: without an answer that is kept, the key is free again."""
        await self._stop()
        if not self._done:
            try:
                await self._store.remove("idempotency", self._kept.id)
            except RungwiseError as error:
                logger.warning("an Idempotency-Key stays taken for a minute: %s", error)

    async def _stop(self) -> None:
        self._holding.cancel()
        await asyncio.wait([self._holding])


class _Recorder:
    """Passes an answer on to a run, and saves it before its last bytes leave."""

    def __init__(self, run: _Run, claim: _Claim | None) -> None:
        self._run = run
        self._claim = claim
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            self._size += len(part)
            if self._size <= _MOST:
                self._parts.append(part)
            if not message.get("more_body") and self._claim is not None and self._good(message):
                saved = _Saved(self._run.fingerprint, self._status, self._headers, b"".join(self._parts))
                await self._claim.save(saved)
        await self._run.put(message)

    def _good(self, last: Message) -> bool:
        return 200 <= self._status < 300 and self._size <= _MOST and not last.get(BROKEN)


def _identity(caller: Caller, scope: Scope, key: bytes) -> str:
    """Of who asks, with which permissions, for what."""
    who = "\0".join([caller.owner, *sorted(caller.principals)]).encode()
    return "idem-" + sha256(b"\0\0".join([who, scope["path"].encode(), scope["query_string"], key])).hexdigest()


def _reused() -> BadRequest:
    error = BadRequest(
        "This Idempotency-Key was used for another request: the body differs. Use a fresh key for each new request.",
        param="Idempotency-Key",
        code="idempotency_key_reused",
    )
    error.status = 422
    return error
