"""The owner's side of a shared index: serves a PassageIndex to other processes of the same user on this machine."""

import asyncio
import hashlib
import logging
import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Raw

from rungwise_server.errors import SetupError
from rungwise_server.protocols import PassageIndex
from rungwise_server.retrieval.indexes.wire import (
    METHODS,
    PROTOCOL,
    Answer,
    Call,
    Failure,
    Hello,
    encode,
    frame,
    read_frame,
)

_LONGEST_PATH = 90
"""Unix sockets take 104 (macOS) or 108 (Linux) bytes, of which a temporary folder's name needs some."""

_AT_ONCE = 64
_LEAVE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class IndexHost:
    """Serves `index` on a Unix socket that only this user can reach (mode 0600), until `close`.

    A path that is too long for a socket gets a short one elsewhere, and the file `PATH.at` says where.
    """

    def __init__(self, index: PassageIndex, path: Path, role: str = "rungwise") -> None:
        self._index = index
        self._path = path
        self._role = role
        self._server: asyncio.Server | None = None
        self._place = path
        self._inode = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket that somebody left behind is replaced. Raises SetupError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            listening, self._place = _listen(self._path)
        except OSError as error:
            raise SetupError(f"cannot listen on {self._path}: {error.strerror or error}") from error
        self._inode = self._place.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listening)

    async def close(self) -> None:
        """Let calls that are under way end, then hang up and remove the socket. The index stays open."""
        if self._server is None:
            return
        self._server.close()
        with suppress(OSError):
            if self._place.stat().st_ino == self._inode:  # else another owner has replaced it
                self._place.unlink()
        if self._calls:
            await asyncio.wait(self._calls, timeout=_LEAVE_SECONDS)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        room = asyncio.Semaphore(_AT_ONCE)
        try:
            writer.write(frame(Hello(protocol=PROTOCOL, pid=os.getpid(), role=self._role)))
            while True:
                call = _CALL.decode(await read_frame(reader))
                await room.acquire()
                answering = asyncio.create_task(self._answer(call, writer))
                self._calls.add(answering)
                answering.add_done_callback(self._calls.discard)
                answering.add_done_callback(lambda _: room.release())
        except (EOFError, ConnectionError):
            pass
        except msgspec.DecodeError as error:
            _log.warning("hung up on a process that sent the index what is no call: %s", error)
        except asyncio.CancelledError:
            pass  # `close` hangs up; nobody awaits this task
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> None:
        try:
            method = METHODS[call.method]
            value = Raw(encode(await method.run(self._index, call.arguments)))
            answer = frame(Answer(call=call.call, value=value))
        except Exception as error:
            if isinstance(error, KeyError | TypeError | AttributeError):
                _log.exception("a call of the index failed within")
            answer = frame(Answer(call=call.call, failure=Failure.of(error)))
        with suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()


_CALL = msgspec.msgpack.Decoder(Call)


def find(path: Path) -> Path:
    """Where the socket that is known as `path` really is."""
    try:
        return Path(path.with_name(f"{path.name}.at").read_text())
    except OSError:
        return path


def _listen(path: Path) -> tuple[socket.socket, Path]:
    note = path.with_name(f"{path.name}.at")
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        with suppress(OSError):  # some shared folders of containers hold no sockets
            bound = _bind(path)
            note.unlink(missing_ok=True)
            return bound, path
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"rungwise-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SetupError(f"{folder} is not a folder of this user alone (mode 0700): remove it, or set XDG_RUNTIME_DIR")
    place = folder / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]}.sock"
    if len(os.fsencode(place)) > _LONGEST_PATH:
        raise SetupError(f"{path} is too long for a socket, and so is {place}: choose a shorter RUNGWISE_HOME")
    bound = _bind(place)
    fresh = note.with_name(f"{note.name}.new")
    fresh.write_text(str(place))
    fresh.rename(note)
    return bound, place


def _bind(place: Path) -> socket.socket:
    # Born in a folder that nobody else can enter, then moved: at no moment may another user connect.
    nursery = Path(tempfile.mkdtemp(prefix=".s", dir=place.parent))
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(nursery / "s"))
        (nursery / "s").chmod(0o600)
        (nursery / "s").rename(place)
    except BaseException:
        bound.close()
        raise
    finally:
        shutil.rmtree(nursery, ignore_errors=True)
    return bound
