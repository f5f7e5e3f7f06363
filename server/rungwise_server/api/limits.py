"""What one caller may ask for: requests a minute, and requests at once. Each process counts for itself.

Every answer says how much is left, in the headers that OpenAI's clients know; a refusal says when to come back.
"""

import math
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from rungwise_server.api.asgi import App, Receive, Refuse, Scope, Send
from rungwise_server.api.auth import Gate
from rungwise_server.errors import RateLimited, RungwiseError

_FORGET = 1000  # callers known, above which those who have all their requests left again are forgotten


class _Bucket:
    __slots__ = ("at", "running", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.running = 0


class Limits:
    """A bucket of tokens for each caller, refilled as time passes: a burst may take a whole minute's at once.

    `requests_per_minute` and `concurrent` are 0 for no limit; `clock` gives seconds.
    """

    def __init__(
        self, requests_per_minute: int = 0, concurrent: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = requests_per_minute
        self._concurrent = concurrent
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def enter(self, owner: str) -> None:
        """Begin a request; `leave` ends it. Raises RateLimited, and then it has not begun."""
        bucket = self._bucket(owner)
        if self._concurrent and bucket.running >= self._concurrent:
            raise RateLimited(
                f"Rate limit reached: {bucket.running} requests of yours are running, and at most {self._concurrent} "
                "may run at once. Wait for one to end.",
                retry_after=1.0,
            )
        if self._most and bucket.tokens < 1:
            wait = (1 - bucket.tokens) * 60 / self._most
            raise RateLimited(
                f"Rate limit reached: at most {self._most} requests a minute. Try again in {_span(wait)}.",
                retry_after=wait,
            )
        bucket.tokens -= 1
        bucket.running += 1

    def leave(self, owner: str) -> None:
        """End a request."""
        bucket = self._buckets.get(owner)
        if bucket is not None:
            bucket.running -= 1

    def headers(self, owner: str) -> list[tuple[bytes, bytes]]:
        """How much is left, and when it will be all again."""
        if not self._most:
            return []
        bucket = self._bucket(owner)
        reset = (self._most - bucket.tokens) * 60 / self._most
        return [
            (b"x-ratelimit-limit-requests", str(self._most).encode()),
            (b"x-ratelimit-remaining-requests", str(max(0, math.floor(bucket.tokens))).encode()),
            (b"x-ratelimit-reset-requests", _span(reset).encode()),
        ]

    def _bucket(self, owner: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(owner)
        if bucket is None:
            if len(self._buckets) >= _FORGET:
                self._forget(now)
            bucket = self._buckets[owner] = _Bucket(self._most, now)
        self._refill(bucket, now)
        return bucket

    def _refill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(self._most, bucket.tokens + (now - bucket.at) * self._most / 60)
        bucket.at = now

    def _forget(self, now: float) -> None:
        for owner, bucket in list(self._buckets.items()):
            self._refill(bucket, now)
            if not bucket.running and bucket.tokens >= self._most:
                del self._buckets[owner]


class Limited:
    """An ASGI application in front of `app` that keeps callers to `limits`."""

    def __init__(self, app: App, gate: Gate, limits: Limits, refuse: Refuse) -> None:
        self._app = app
        self._gate = gate
        self._limits = limits
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            owner = (await self._gate.caller(scope["headers"])).owner
        except RungwiseError:
            await self._app(scope, receive, send)  # which refuses it likewise, in its own words
            return

        async def sending(message: MutableMapping[str, Any]) -> None:
            # A model's own limits are the nearer ones to somebody whom it refused.
            if message["type"] == "http.response.start" and not any(
                name.startswith(b"x-ratelimit-") for name, _ in message["headers"]
            ):
                message = {**message, "headers": [*message["headers"], *self._limits.headers(owner)]}
            await send(message)

        try:
            self._limits.enter(owner)
        except RateLimited as error:
            await self._refuse(scope, sending, error)
            return
        try:
            await self._app(scope, receive, sending)
        finally:
            self._limits.leave(owner)


def _span(seconds: float) -> str:
    """As OpenAI writes times: `120ms`, `3s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return (f"{minutes}m" if minutes else "") + (f"{rest}s" if rest or not minutes else "")
