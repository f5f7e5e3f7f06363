"""One run of the same thing at a time, on one machine."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from rungwise_server.errors import Conflict


@contextmanager
def lease(home: Path, kind: str, name: str, told: str) -> Iterator[None]:
    """Hold `name` of its kind while the block runs; the operating system lets go of it when the process dies.

    Raises:
        Conflict: another process holds it; the message begins with `told` and names the process.
    """
    home.mkdir(parents=True, exist_ok=True)
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:80]
    path = home / f"{kind}-{safe}-{blake2b(name.encode(), digest_size=4).hexdigest()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
            raise Conflict(f"{told} by process {holder}: wait for its end, or stop it") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
