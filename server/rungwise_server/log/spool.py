"""Where records are safe until the database has them: a folder of segments for each process, and memory behind it.

Every record goes through here, also while all is well: it is on disk a few milliseconds after it was appended, however
long the database takes. Where the database is quick, a segment is deleted before the kernel ever wrote it out.
"""

import fcntl
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rungwise_server.log.rows import Row
from rungwise_server.log.segments import Segment, Segments, frame, measured

logger = logging.getLogger("rungwise.log")


class Spool:
    """A queue of rows on disk. One thread calls `put`, another `take`, then `done` or `keep`, and `sync`.

    Where the disk refuses, rows wait in memory, up to `memory_bytes`. The folder is made when first needed: a machine
    with a read-only disk and a database that answers has a log all the same.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 4 << 20, memory_bytes: int = 64 << 20) -> None:
        self._parent = folder
        self._segment_bytes = segment_bytes
        self._memory_bytes = memory_bytes
        self._segments = Segments()
        self._own: _OwnFolder | None = None
        self._segment: Segment | None = None
        self._descriptor = -1
        self._count = 0
        self._lock = threading.Lock()
        """Guards what follows; never held while a database is waited for."""
        self._held: deque[Row] = deque()
        self._held_bytes = 0
        self._lent = 0
        self.fault = ""
        """Why the disk refuses; empty while it does not."""

    @property
    def waiting(self) -> int:
        """How many rows are here."""
        return self._segments.waiting + len(self._held)

    @property
    def lost(self) -> int:
        """Rows whose file was deleted by somebody else."""
        return self._segments.lost

    def put(self, rows: Sequence[Row], *, sync: bool) -> int:
        """Take rows; with `sync`, they outlive a power cut. Returns how many had to be dropped, for want of room."""
        with self._lock:
            # While some of the held rows are being written to the database, all must stay behind them.
            if not self._lent:
                try:
                    self._write([*self._held, *rows], sync)
                except OSError as error:
                    if not self.fault:
                        logger.error("%s cannot be written (%s): the log's records wait in memory", self._parent, error)
                    self.fault = str(error)
                else:
                    self.fault = ""
                    self._held.clear()
                    self._held_bytes = 0
                    return 0
            return self._hold(rows)

    def take(self, limit: int) -> list[Row]:
        """The next rows, at most `limit`; the same again until `done` is called. Raises OSError."""
        rows = self._segments.take(limit)
        if rows:
            return rows
        with self._lock:
            self._lent = min(limit, len(self._held))
            return [self._held[i] for i in range(self._lent)]

    def done(self) -> None:
        """What `take` returned is safe elsewhere."""
        with self._lock:
            if not self._lent:
                self._segments.done()
            for _ in range(self._lent):
                self._held_bytes -= _size(self._held.popleft())
            self._lent = 0

    def keep(self) -> None:
        """What `take` returned stays here."""
        with self._lock:
            self._lent = 0

    def sync(self) -> None:
        """What was put without `sync` outlives a power cut now, where the disk lets it."""
        for path in self._segments.paths:
            with suppress(OSError):
                _sync(path)

    def close(self) -> int:
        """Leave what is here to the next start; an empty folder goes. Returns how many rows no disk took."""
        if self._held:
            self.put([], sync=True)
        self._seal()
        if self._own is not None:
            self._own.close(empty=not self._segments.waiting)
        return len(self._held)

    def _hold(self, rows: Sequence[Row]) -> int:
        for kept, row in enumerate(rows):
            if self._held_bytes + _size(row) > self._memory_bytes:
                return len(rows) - kept
            self._held.append(row)
            self._held_bytes += _size(row)
        return 0

    def _write(self, rows: Sequence[Row], sync: bool) -> None:
        segment = self._segment
        if segment is None or segment.sealed:
            segment = self._open()
        data = b"".join(map(frame, rows))
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:] if written else data)
            if sync:
                os.fsync(self._descriptor)
                if not segment.end:
                    _sync(segment.path.parent)
        except OSError:
            # Half a row must not stand before whole ones.
            try:
                os.ftruncate(self._descriptor, segment.end)
            except OSError:
                self._seal()
            raise
        segment.rows += len(rows)
        segment.end += len(data)
        if segment.end >= self._segment_bytes:
            self._seal()

    def _open(self) -> Segment:
        self._seal()
        if self._own is not None and not self._own.path.is_dir():
            self._own.close(empty=True)
            self._own = None
        if self._own is None:
            self._own = _OwnFolder.make(self._parent)
        self._count += 1
        path = self._own.path / f"{self._count:08}.spool"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._segment = Segment(path)
        self._segments.add(self._segment)
        return self._segment

    def _seal(self) -> None:
        if self._segment is not None:
            self._segment.sealed = True
            self._segment = None
            os.close(self._descriptor)


class Leftover:
    """What another process, killed or closed during an outage, left in its folder; nobody else takes it meanwhile."""

    def __init__(self, own: "_OwnFolder") -> None:
        self._own = own
        self._segments = Segments()
        for path in sorted(own.path.glob("*.spool")):
            self._segments.add(measured(path))

    @property
    def waiting(self) -> int:
        """How many rows are here."""
        return self._segments.waiting

    def take(self, limit: int) -> list[Row]:
        """The next rows, at most `limit`; the same again until `done` is called. Raises OSError."""
        return self._segments.take(limit)

    def done(self) -> None:
        """What `take` returned is safe elsewhere."""
        self._segments.done()

    def close(self) -> None:
        """Leave what is here to the next start; an empty folder goes."""
        self._own.close(empty=not self._segments.paths)


def leftovers(folder: Path) -> list[Leftover]:
    """The folders below a spool's whose processes are gone, oldest first. Raises OSError."""
    if not folder.is_dir():
        return []
    found = (_OwnFolder.adopt(path) for path in sorted(folder.iterdir()) if path.is_dir())
    return [Leftover(own) for own in found if own is not None]


class _OwnFolder:
    """A folder that belongs to whoever holds the lock in it: the kernel lets go of it when the process dies."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def make(cls, parent: Path) -> "_OwnFolder":
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            path = parent / f"{time.time_ns():016x}-{os.getpid()}"
            path.mkdir(mode=0o700)
            own = cls.adopt(path)
            if own is not None:
                return own
            # Another process that looked for leftovers was quicker, found none, and removes it.

    @classmethod
    def adopt(cls, path: Path) -> "_OwnFolder | None":
        try:
            lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return cls(path, lock)
        except BlockingIOError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None

    def close(self, *, empty: bool) -> None:
        if empty and not any(self.path.glob("*.unreadable")):
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(row: Row) -> int:
    return len(row.body) + 1000
