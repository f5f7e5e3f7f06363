"""What is kept for clients, in memory: for tests, and for trying things out."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_server.errors import Conflict, NotFound, TooLarge
from rungwise_server.keeping import Job, Kept, KeptQuery, Kind
from rungwise_server.store.blobs import checked
from rungwise_server.types import new_id


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


class MemoryKept:
    """A KeptStore that is gone with its process. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._things: dict[tuple[Kind, str], Kept] = {}

    async def add(self, kept: Kept) -> Kept:
        """See KeptStore. It takes the place of an expired one of its id."""
        if self._alive(kept.kind, kept.id) is not None:
            raise Conflict(f"There is a {kept.kind} with the id {kept.id!r} already.")
        return self._put(replace(kept, revision=1))

    async def get(self, kind: Kind, id: str, owner: str | None) -> Kept | None:
        """See KeptStore."""
        kept = self._alive(kind, id)
        return kept if kept is not None and owner in (None, kept.owner) else None

    async def change(self, kept: Kept) -> Kept:
        """See KeptStore."""
        had = self._alive(kept.kind, kept.id)
        if had is None:
            raise NotFound(f"There is no {kept.kind} {kept.id!r} any more.")
        if had.revision != kept.revision:
            raise Conflict(f"The {kept.kind} {kept.id!r} was changed meanwhile: read it again.")
        self._put(
            replace(
                had, state=kept.state, body=Raw(bytes(kept.body)), expires_at=kept.expires_at, revision=had.revision + 1
            )
        )
        return replace(kept, revision=kept.revision + 1)

    async def remove(self, kind: Kind, id: str) -> bool:
        """See KeptStore."""
        was = self._alive(kind, id)
        self._things.pop((kind, id), None)
        return was is not None

    async def list(self, query: KeptQuery) -> Sequence[Kept]:
        """See KeptStore. With `before` alone, those nearest to it."""
        found = [
            kept
            for kept in list(self._things.values())
            if kept.kind == query.kind
            and query.owner in (None, kept.owner)
            and query.parent in ("", kept.parent)
            and self._alive(kept.kind, kept.id) is not None
        ]
        found.sort(key=lambda kept: (kept.created_at, kept.id), reverse=query.newest_first)
        ids = [kept.id for kept in found]
        if any(mark and mark not in ids for mark in (query.after, query.before)):
            return []
        start = ids.index(query.after) + 1 if query.after else 0
        end = ids.index(query.before) if query.before else len(ids)
        between = [kept for kept in found[start:end] if not query.states or kept.state in query.states]
        backwards = bool(query.before) and not query.after
        return between[max(len(between) - query.limit, 0) :] if backwards else between[: query.limit]

    async def sweep(self, kind: Kind, limit: int = 100) -> Sequence[Kept]:
        """See KeptStore."""
        expired = [kept for kept in self._things.values() if kept.kind == kind and self._expired(kept)]
        return sorted(expired, key=lambda kept: kept.expires_at)[:limit]

    def _put(self, kept: Kept) -> Kept:
        self._things[kept.kind, kept.id] = kept
        return kept

    def _alive(self, kind: Kind, id: str) -> Kept | None:
        kept = self._things.get((kind, id))
        return None if kept is None or self._expired(kept) else kept

    def _expired(self, kept: Kept) -> bool:
        return 0 < kept.expires_at <= self._clock()


class MemoryBlobs:
    """A BlobStore that is gone with its process; a temporary folder has what `path` is asked for."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._folder: TemporaryDirectory[str] | None = None

    async def write(self, id: str, chunks: AsyncIterable[bytes], limit: int) -> int:
        """See BlobStore."""
        checked(id)
        data = bytearray()
        async for chunk in chunks:
            data += chunk
            if len(data) > limit:
                raise TooLarge(f"There are more than {limit} bytes, which is the most that is taken.")
        self._blobs[id] = bytes(data)
        return len(data)

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """See BlobStore."""
        data = self._there(id)
        for start in range(0, len(data), 65_536):
            yield data[start : start + 65_536]

    async def path(self, id: str) -> Path:
        """See BlobStore."""
        data = self._there(id)
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="rungwise-blobs-")
        path = Path(self._folder.name) / id
        path.write_bytes(data)
        return path

    async def remove(self, id: str) -> None:
        """See BlobStore."""
        self._blobs.pop(checked(id), None)

    def _there(self, id: str) -> bytes:
        if checked(id) not in self._blobs:
            raise NotFound("The bytes of this upload are not there.")
        return self._blobs[id]


class _Line(Struct):
    job: Job
    next_body: Raw | None = None
    worker: str = ""
    free_at: float = 0.0


class MemoryQueue:
    """A JobQueue that is gone with its process. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lines: dict[tuple[str, str], _Line] = {}

    async def put(self, kind: str, subject: str, body: Raw = Raw(b"{}")) -> None:  # noqa: B008 a frozen value
        """See JobQueue. While a worker is on that subject, it waits until that one is done."""
        line = self._lines.get((kind, subject))
        if line is None:
            self._lines[kind, subject] = _Line(Job(new_id("job"), kind, subject, body))
        elif line.worker and line.next_body is None:
            line.next_body = body

    async def take(self, kinds: Sequence[str], worker: str, lease: float) -> Job | None:
        """See JobQueue."""
        now = self._clock()
        for line in self._lines.values():
            if line.job.kind in kinds and line.free_at <= now:
                line.job = replace(line.job, attempts=line.job.attempts + 1)
                line.worker, line.free_at = worker, now + lease
                return line.job
        return None

    async def renew(self, job: Job, worker: str, lease: float) -> bool:
        """See JobQueue."""
        return self._free(job, worker, lease, worker)

    async def done(self, job: Job, worker: str) -> None:
        """See JobQueue."""
        line = self._held(job, worker)
        if line is not None:
            del self._lines[job.kind, job.subject]
            if line.next_body is not None:
                await self.put(job.kind, job.subject, line.next_body)

    async def put_back(self, job: Job, worker: str, wait: float) -> None:
        """See JobQueue."""
        self._free(job, worker, wait, "")

    async def waiting(self) -> int:
        """See JobQueue."""
        now = self._clock()
        lines = self._lines.values()
        return sum((line.free_at <= now or not line.worker) + (line.next_body is not None) for line in lines)

    def _free(self, job: Job, worker: str, wait: float, then: str) -> bool:
        line = self._held(job, worker)
        if line is not None:
            line.worker, line.free_at = then, self._clock() + wait
        return line is not None

    def _held(self, job: Job, worker: str) -> _Line | None:
        line = self._lines.get((job.kind, job.subject))
        ours = line is not None and (line.job.id, line.worker, line.job.attempts) == (job.id, worker, job.attempts)
        return line if ours else None
