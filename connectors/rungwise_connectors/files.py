"""Reading files that other people can write to: never through a symlink, never a pipe or a device, never unbounded."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

EDGE = 64 * 1024
"""Bytes of a file's head and of its tail that go into its fingerprint: smaller files are hashed whole."""


def open_plain(path: Path) -> BinaryIO:
    """Open the regular file at `path`, which must be absolute and free of symlinks (`Path.resolve`).

    Every component is opened without following links, so that a folder swapped for a link after it was listed cannot
    lead a reader elsewhere.

    Raises:
        OSError: it cannot be opened, is no regular file, or a link stands in the way.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if os.open not in os.supports_dir_fd:
        descriptor = os.open(path, flags)
    else:
        folder = os.open(path.anchor or ".", _FOLDER)
        try:
            for part in path.parts[1 if path.anchor else 0 : -1]:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            descriptor = os.open(path.name, flags, dir_fd=folder)
        finally:
            os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file")
    return os.fdopen(descriptor, "rb", EDGE)


# O_PATH needs only the right to pass through a folder, not to list it.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def why(error: OSError) -> str:
    """An OSError's reason in words, without the path (which may be a secret of the server's)."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return "a symbolic link stands in the way: it is not followed"
    return (error.strerror or type(error).__name__).lower()


def fingerprint(file: BinaryIO) -> str:
    """What changes when the content does, at the cost of reading at most 128 KB.

    Small files: a hash of the content alone, so that a copy or a `touch` changes nothing. Larger ones: size, change
    time and a hash of head and tail. Leaves the position anywhere.
    """
    status = os.fstat(file.fileno())
    head = file.read(EDGE)
    digest = hashlib.blake2b(head, digest_size=12)
    if status.st_size <= EDGE and len(head) == status.st_size:
        return digest.hexdigest()
    file.seek(max(0, status.st_size - EDGE))
    digest.update(file.read(EDGE))
    return f"{digest.hexdigest()}-{status.st_size:x}-{status.st_mtime_ns:x}"
