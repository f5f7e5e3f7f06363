"""The process that parses: reads requests from its standard input, writes replies to its standard output.

Frames are a length (four bytes, little endian) and that many bytes of MessagePack. Nothing is ever unpickled.
"""

import contextlib
import math
import os
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.parse import parse
from rungwise_connectors.types import Document, Parsed, ParseError, ReadersError

LENGTH = struct.Struct("<I")


class Request(msgspec.Struct, frozen=True):
    """One document to parse. `path` is the document's, as bytes (a name need not be UTF-8); `document.path` is None."""

    document: Document
    path: bytes | None
    limits: Limits
    seconds: float


class Reply(msgspec.Struct, frozen=True):
    """Its text, or why there is none (`readers`: it was a ReadersError; `named`: its `readers`).

    After a `last` reply the process ends: it has grown, or memory ran out.
    """

    parsed: Parsed | None = None
    error: str = ""
    readers: bool = False
    named: frozenset[str] | None = None
    last: bool = False


def main() -> None:
    """Serve until the standard input ends. The one argument is the memory limit in megabytes."""
    memory = int(sys.argv[1]) * 2**20
    _confine(memory)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    _send(replies, Reply())
    # From here on whatever a library prints goes nowhere.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    while head := requests.read(LENGTH.size):
        reply = _reply(requests.read(*LENGTH.unpack(head)), memory)
        _send(replies, reply)
        if reply.last:
            return


def _reply(frame: bytes, memory: int) -> Reply:
    try:
        request = _REQUEST.decode(frame)
        document = request.document
        if request.path is not None:
            document = replace(document, path=Path(os.fsdecode(request.path)))
        _allow_seconds(request.seconds)
        return Reply(parse(document, request.limits), last=_has_grown(memory))
    except ParseError as error:
        unclear = isinstance(error, ReadersError)
        return Reply(error=str(error), readers=unclear, named=error.readers, last=_has_grown(memory))
    except MemoryError:
        return Reply(error=f"needs more than {memory // 2**20:,} MB of memory", last=True)
    except RecursionError:
        return Reply(error="is nested too deeply")
    except Exception as error:  # whatever a document makes a library do must not end the run
        return Reply(error=f"the parser failed: {type(error).__name__}: {str(error)[:200]}", last=True)


def _send(stream: BinaryIO, reply: Reply) -> None:
    try:
        frame = msgspec.msgpack.encode(reply)
    except MemoryError:
        frame = msgspec.msgpack.encode(Reply(error="its text needs too much memory", last=reply.last))
    stream.write(LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


_REQUEST = msgspec.msgpack.Decoder(Request)


def _confine(memory: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    # No parser writes but the byte code cache: what escapes from one cannot fill the disk with one file.
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 16 * 2**20),
    ):
        _, hard = resource.getrlimit(limit)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows the memory limit and refuses it
            resource.setrlimit(limit, (lowest, lowest))


def _allow_seconds(seconds: float) -> None:
    """Should the parent be killed meanwhile, nobody else would end a document that never ends."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _has_grown(memory: int) -> bool:
    """Whether so much address space is kept that the next document would not have its fair share of `memory`."""
    # Not the peak that getrusage knows: a process inherits that from its parent.
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return False
    return pages * os.sysconf("SC_PAGE_SIZE") > memory // 2


if __name__ == "__main__":
    main()
