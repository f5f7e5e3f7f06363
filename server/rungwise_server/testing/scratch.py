"""A folder for tests that sync to disk often."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOM = 1 << 30


@contextmanager
def scratch() -> Iterator[Path]:
    """A fresh folder, in memory where there is room: the disks of CI take a hundred milliseconds for each sync."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(prefix="rungwise-", dir=memory if roomy else None) as path:
        yield Path(path)
