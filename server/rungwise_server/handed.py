"""Files that people hand in on a command line: graded answers, examples with outcomes."""

import gzip
import zlib
from pathlib import Path

from rungwise_server.errors import BadRequest


def bytes_of(path: Path) -> bytes:
    """What is in a file, unpacked where it is gzip, which is seen by its first bytes. Raises BadRequest."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadRequest(f"{path} begins as gzip does and cannot be unpacked: write it anew.") from None
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from None
