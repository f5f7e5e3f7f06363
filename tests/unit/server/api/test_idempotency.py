"""Requests with an Idempotency-Key, straight at the ASGI application that guards them."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from rungwise_server.api.asgi import BROKEN, App, Receive, Scope, Send, read_body, send_whole
from rungwise_server.api.auth import Gate
from rungwise_server.api.errors import error_body, error_headers, error_status
from rungwise_server.api.idempotency import KEEP, Idempotent, Message
from rungwise_server.errors import Unavailable
from rungwise_server.keeping import Kept
from rungwise_server.testing.keeping import Clock, MemoryKept
from rungwise_server.testing.serving import FixedKeys
from rungwise_server.types import Caller

KEYS = {"rw-ana": Caller("ana"), "rw-ben": Caller("ben"), "rw-ana-hr": Caller("ana", frozenset({"hr"}))}


class Answered:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.begun = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def replayed(self) -> bool:
        return self.headers.get(b"idempotency-replayed") == b"true"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.parts.append(message.get("body", b""))
        self.begun.set()


class Counting:
    """Answers with how often it was asked, in two pieces; `go` holds back the second."""

    def __init__(self, status: int = 200, *, broken: bool = False) -> None:
        self.status = status
        self.broken = broken
        self.asked = 0
        self.aborted = 0
        self.bodies: list[bytes] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        number = self.asked
        self.bodies.append(await read_body(scope, receive, 1_000_000))
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-request-id", b"first")]})
        await send({"type": "http.response.body", "body": b"%d-" % number, "more_body": True})
        gone = asyncio.ensure_future(receive())
        go = asyncio.ensure_future(self.go.wait())
        await asyncio.wait([gone, go], return_when=asyncio.FIRST_COMPLETED)
        go.cancel()
        if not self.go.is_set():
            self.aborted += 1
            return
        gone.cancel()
        await send({"type": "http.response.body", "body": b"end", BROKEN: self.broken})


async def refuse(scope: Scope, send: Send, error: Exception) -> None:
    await send_whole(send, error_status(error), error_body(error), error_headers(error))


@pytest.fixture
def store() -> MemoryKept:
    return MemoryKept()


@pytest.fixture
async def count() -> Counting:
    return Counting()


@pytest.fixture
def app(count: Counting, store: MemoryKept) -> Idempotent:
    return guard(count, store)


def guard(app: App, store: MemoryKept, *, grace: float = 10.0) -> Idempotent:
    return Idempotent(app, Gate(FixedKeys(KEYS)), store, refuse, 1000, grace)


async def ask(
    app: App,
    body: bytes = b"{}",
    *,
    key: bytes = b"one",
    user: str = "rw-ana",
    path: str = "/v1/things",
    query: bytes = b"",
    kind: bytes = b"application/json",
    gone: asyncio.Event | None = None,
    into: Answered | None = None,
    pieces: Sequence[bytes] = (),
) -> Answered:
    answered = into or Answered()
    left = [*pieces] or [body]

    async def receive() -> Message:
        if left:
            piece = left.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(left)}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    headers = [
        (b"authorization", f"Bearer {user}".encode()),
        (b"content-type", kind),
        (b"idempotency-key", key),
        (b"content-length", str(sum(map(len, pieces or [body]))).encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": headers}
    await app(scope, receive, answered.send)
    return answered


async def ask_and_leave(app: App, count: Counting) -> None:
    """Ask, and go once the answer has begun; the rest of it is held back."""
    count.go.clear()
    gone, first = asyncio.Event(), Answered()
    task = asyncio.create_task(ask(app, gone=gone, into=first))
    await first.begun.wait()
    gone.set()
    await task


async def test_the_same_again_gets_the_same_bytes(store: MemoryKept, count: Counting) -> None:
    first = await ask(guard(count, store))
    again = await ask(guard(count, store))  # a restarted server, over the same store
    assert (first.status, first.body, first.replayed) == (200, b"1-end", False)
    assert (again.status, again.body, again.replayed) == (200, b"1-end", True)
    assert again.headers[b"x-request-id"] == b"first"
    assert count.asked == 1


@pytest.mark.parametrize(
    "other",
    [{"user": "rw-ben"}, {"user": "rw-ana-hr"}, {"path": "/v1/others"}, {"query": b"a=1"}, {"key": b"two"}],
    ids=["caller", "permissions", "path", "query", "key"],
)
async def test_what_a_key_counts_for(app: Idempotent, other: dict[str, object]) -> None:
    await ask(app)
    assert (await ask(app, **other)).body == b"2-end"  # type: ignore[arg-type]


async def test_another_body_is_refused_and_not_to_be_retried(app: Idempotent, count: Counting) -> None:
    await ask(app)
    refused = await ask(app, b'{"a": 1}')
    assert refused.status == 422
    assert refused.headers[b"x-should-retry"] == b"false"
    assert b"idempotency_key_reused" in refused.body
    assert count.asked == 1


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_failures_are_tried_again(store: MemoryKept, status: int) -> None:
    count = Counting(status)
    app = guard(count, store)
    assert (await ask(app)).status == status
    count.status = 200
    assert (await ask(app, b"other")).body == b"2-end"


async def test_a_stream_that_broke_is_tried_again(store: MemoryKept) -> None:
    count = Counting(broken=True)
    app = guard(count, store)
    await ask(app)
    assert (await ask(app)).body == b"2-end"


async def test_an_answer_is_kept_for_a_day(count: Counting) -> None:
    clock = Clock(time.time())
    app = guard(count, MemoryKept(clock))
    await ask(app)
    clock.now += KEEP - 60
    assert (await ask(app)).replayed
    clock.now += 120
    assert (await ask(app)).body == b"2-end"


async def test_while_the_first_runs_the_second_follows_it(app: Idempotent, count: Counting) -> None:
    count.go.clear()
    first, second = Answered(), Answered()
    tasks = [asyncio.create_task(ask(app, into=each)) for each in (first, second)]
    await asyncio.gather(first.begun.wait(), second.begun.wait())
    refused = await ask(app, b"another")
    assert refused.status == 422
    count.go.set()
    await asyncio.gather(*tasks)
    assert first.body == second.body == b"1-end"
    assert second.replayed
    assert not first.replayed


async def test_who_gave_up_and_comes_back_gets_the_answer_of_the_first(app: Idempotent, count: Counting) -> None:
    await ask_and_leave(app, count)
    back = Answered()
    task = asyncio.create_task(ask(app, into=back))
    await back.begun.wait()
    count.go.set()
    await task
    assert back.body == b"1-end"
    assert count.asked == 1


async def test_nobody_comes_back_and_the_request_is_aborted_and_free(store: MemoryKept, count: Counting) -> None:
    app = guard(count, store, grace=0.01)
    await ask_and_leave(app, count)
    async with asyncio.timeout(5):
        while not count.aborted:
            await asyncio.sleep(0.005)
    count.go.set()
    assert (await ask(app)).body == b"2-end"


async def test_closing_aborts_what_nobody_waits_for(app: Idempotent, count: Counting) -> None:
    await ask_and_leave(app, count)
    await app.close()
    assert count.aborted == 1


async def test_while_it_runs_in_another_process_it_is_a_conflict(store: MemoryKept, count: Counting) -> None:
    here, there = guard(count, store), guard(count, store)
    count.go.clear()
    first = Answered()
    task = asyncio.create_task(ask(there, into=first))
    await first.begun.wait()
    refused = await ask(here)
    assert refused.status == 409
    assert refused.headers[b"x-should-retry"] == b"false"
    assert (await ask(here, b"another")).status == 422
    count.go.set()
    await task
    assert (await ask(here)).body == b"1-end"


async def test_without_the_store_requests_are_answered(count: Counting) -> None:
    class Down(MemoryKept):
        async def add(self, kept: Kept) -> Kept:
            raise Unavailable("the database is down")

    app = guard(count, Down())
    assert (await ask(app)).body == b"1-end"
    assert (await ask(app)).body == b"2-end"


async def test_a_large_answer_is_given_and_not_kept(store: MemoryKept) -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send_whole(send, 200, b"x" * 8_000_001, [])

    app = guard(large, store)
    assert len((await ask(app)).body) == 8_000_001
    assert not (await ask(app)).replayed


@pytest.mark.parametrize("key", [b"", b" ", b"x" * 256, "schlüssel".encode(), b"a b"])
async def test_keys_that_are_none(app: Idempotent, count: Counting, key: bytes) -> None:
    refused = await ask(app, key=key)
    assert refused.status == 400
    assert b'"param":"Idempotency-Key"' in refused.body
    assert not count.asked


async def test_a_body_over_the_limit(app: Idempotent) -> None:
    assert (await ask(app, b"x" * 1001)).status == 413


async def test_an_unknown_caller_is_refused_by_the_application_itself(app: Idempotent) -> None:
    assert (await ask(app, user="rw-nobody")).body == b"1-end"


async def test_uploads_flow_through_and_are_compared_by_size(app: Idempotent, count: Counting) -> None:
    form = b"multipart/form-data; boundary="
    pieces = [b"a" * 600, b"b" * 600]
    assert (await ask(app, kind=form + b"x", pieces=pieces)).body == b"1-end"
    assert count.bodies == [b"".join(pieces)]
    again = await ask(app, kind=form + b"y", pieces=[b"c" * 1200])
    assert (again.body, again.replayed) == (b"1-end", True)
    assert (await ask(app, kind=form + b"y", pieces=[b"c" * 1201])).status == 422


async def test_a_failing_application_fails_its_request(store: MemoryKept) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    app = guard(failing, store)
    with pytest.raises(ZeroDivisionError):
        await ask(app)
    with pytest.raises(ZeroDivisionError):
        await ask(app)
