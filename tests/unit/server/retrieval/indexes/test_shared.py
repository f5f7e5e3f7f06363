import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from os import lstat
from pathlib import Path

import msgspec
import pytest

from rungwise_server import errors
from rungwise_server.errors import IndexBusy, RungwiseError, SetupError, Unavailable
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.shared import IndexHost, RemoteIndex, SharedIndex, open_embedded
from rungwise_server.retrieval.indexes.wire import FRAME, PROTOCOL, Failure, Hello, frame
from rungwise_server.testing.retrieval_index import ALL, SPEC, MemoryIndex, entry, query, texts
from rungwise_server.testing.scratch import scratch
from rungwise_server.types import CollectionSpec, Hits, IndexQuery


@pytest.fixture
def home() -> Iterator[Path]:
    with scratch() as path:
        yield path


def exists(path: Path) -> bool:
    return path.exists()


class SlowIndex(MemoryIndex):
    """Searches wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def search(self, collection: str, query: IndexQuery) -> Hits:
        self.asked.set()
        await self.go.wait()
        return await super().search(collection, query)


class BrokenIndex(MemoryIndex):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def describe(self, collection: str) -> CollectionSpec | None:
        raise self.error


async def both(home: Path) -> tuple[SharedIndex, SharedIndex]:
    first = await open_embedded(home / "index", home / "index.sock", "rungwise serve")
    second = await open_embedded(home / "index", home / "index.sock", "rungwise ingest")
    assert first.own
    assert not second.own
    return first, second


async def test_what_one_writes_the_other_finds(home: Path) -> None:
    first, second = await both(home)
    await second.create("docs", SPEC)
    await second.upsert("docs", [entry("apple")])
    assert texts((await first.search("docs", query("apple"))).dense) == ["apple"]
    await second.close()
    assert await first.count("docs") == 1
    await first.close()
    assert not exists(home / "index.sock")


async def test_when_the_owner_leaves_the_next_takes_over(home: Path) -> None:
    first, second = await both(home)
    third = await open_embedded(home / "index", home / "index.sock", "rungwise search")
    await first.create("docs", SPEC)
    await second.upsert("docs", [entry("apple")])
    await first.close()
    counts = await asyncio.gather(*(index.count("docs") for index in (second, third) for _ in range(5)))
    assert counts == [1] * 10
    assert (second.own is None) != (third.own is None)
    await third.close()
    assert await second.count("docs") == 1
    assert second.own
    await second.close()


async def test_an_owner_that_leaves_lets_calls_end(home: Path) -> None:
    slow = SlowIndex()
    await slow.create("docs", SPEC)
    await slow.upsert("docs", [entry("apple")])
    host = IndexHost(slow, home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    searching = asyncio.create_task(remote.search("docs", query("apple")))
    await slow.asked.wait()
    assert await remote.count("docs") == 1, "calls do not wait for each other"
    closing = asyncio.create_task(host.close())
    slow.go.set()
    assert texts((await searching).dense) == ["apple"]
    await closing
    with pytest.raises(Unavailable, match=r"no process serves|went away"):
        await remote.count("docs")
    await remote.close()


async def test_an_owner_that_dies_in_the_middle_is_named(home: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Hello(protocol=PROTOCOL, pid=4711, role="rungwise serve")))
        await reader.readexactly(10)
        writer.close()

    server = await asyncio.start_unix_server(die, home / "index.sock")
    remote = RemoteIndex(home / "index.sock")
    with pytest.raises(Unavailable, match=r"4711 \(rungwise serve\).*went away.*again"):
        await remote.search("docs", query("apple"))
    server.close()
    host = IndexHost(MemoryIndex(), home / "index.sock")
    await host.start()
    assert await remote.count("docs") == 0, "the next call connects again"
    await remote.close()
    await host.close()


async def test_a_cancelled_call_leaves_the_others_alone(home: Path) -> None:
    slow = SlowIndex()
    await slow.create("docs", SPEC)
    host = IndexHost(slow, home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    searching = asyncio.create_task(remote.search("docs", query("apple")))
    await slow.asked.wait()
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    slow.go.set()
    assert (await remote.search("docs", query("apple"))).dense == []
    await remote.close()
    await host.close()


async def test_an_owner_that_does_not_answer_is_named(home: Path) -> None:
    held = EdgeIndex(home / "index", "something else")
    with pytest.raises(IndexBusy, match=rf"pid {os.getpid()}, something else.*does not answer on .*index\.sock"):
        await open_embedded(home / "index", home / "index.sock", "rungwise ingest", patience=0.1)
    await held.close()


async def test_an_owner_that_is_still_starting_is_waited_for(home: Path) -> None:
    held = EdgeIndex(home / "index", "starting")
    joining = asyncio.create_task(open_embedded(home / "index", home / "index.sock", "rungwise ingest"))
    with pytest.raises(IndexBusy):  # who came later, with less patience, leaves before
        await open_embedded(home / "index", home / "index.sock", "rungwise search", patience=0.1)
    assert not joining.done()
    host = IndexHost(held, home / "index.sock")
    await host.start()
    joined = await joining
    assert not joined.own
    await joined.close()
    await host.close()
    await held.close()


async def test_a_socket_left_behind_is_replaced(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home / "index.sock"))
    index = await open_embedded(home / "index", home / "index.sock", "rungwise serve")
    remote = RemoteIndex(home / "index.sock")
    assert (await remote.connect()).role == "rungwise serve"
    await remote.close()
    await index.close()


async def test_only_this_user_reaches_the_socket(home: Path) -> None:
    host = IndexHost(MemoryIndex(), home / "new" / "index.sock")
    await host.start()
    assert lstat(home / "new" / "index.sock").st_mode & 0o777 == 0o600
    assert lstat(home / "new").st_mode & 0o777 == 0o700
    assert os.listdir(home / "new") == ["index.sock"]
    await host.close()


async def test_a_path_too_long_for_a_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    deep = home / ("long" * 30)
    first, second = await both(deep)
    await second.create("docs", SPEC)
    assert await first.describe("docs")
    note = deep / "index.sock.at"
    assert lstat(home / f"rungwise-{os.getuid()}").st_mode & 0o777 == 0o700
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    third = await open_embedded(deep / "index", deep / "index.sock", "from another shell")
    assert not third.own
    for index in (third, second, first):
        await index.close()
    assert exists(note)
    remote = RemoteIndex(deep / "index.sock")
    with pytest.raises(Unavailable, match="no process serves"):
        await remote.count("docs")


async def test_a_trap_in_the_temporary_folder_is_not_stepped_into(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    (home / f"rungwise-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(SetupError, match="not a folder of this user alone"):
        await open_embedded(home / ("long" * 30) / "index", home / ("long" * 30) / "index.sock", "rungwise serve")
    await EdgeIndex(home / ("long" * 30) / "index").close()  # it was let go


@pytest.mark.parametrize(
    "nonsense",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", FRAME + 1),
        struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        struct.pack(">I", 1000) + b"x",
    ],
)
async def test_nonsense_on_the_socket_ends_that_connection_alone(home: Path, nonsense: bytes) -> None:
    host = IndexHost(MemoryIndex(), home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    await remote.create("docs", SPEC)
    reader, writer = await asyncio.open_unix_connection(home / "index.sock")
    writer.write(nonsense)
    writer.write_eof()
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    assert await remote.describe("docs")
    await remote.close()
    await host.close()


async def test_another_version_is_refused_in_words(home: Path) -> None:
    async def future(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Hello(protocol=99, pid=4711, role="rungwise serve")))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(future, home / "index.sock")
    remote = RemoteIndex(home / "index.sock")
    with pytest.raises(SetupError, match=r"4711 \(rungwise serve\).*another version.*restart"):
        await remote.connect()
    server.close()


async def test_errors_arrive_as_what_they_are(home: Path) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RungwiseError)]
    sent = [
        kind("do this", param="p", code="c", retry_after=2.0)
        for kind in kinds
        if not issubclass(kind, errors.UpstreamError)
    ]
    for error in (*sent, ValueError("no readers")):
        assert Failure.of(error).error().args == error.args
        assert type(Failure.of(error).error()) is type(error)
    host = IndexHost(BrokenIndex(IndexBusy("held by 7", retry_after=2.0)), home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    with pytest.raises(IndexBusy, match="held by 7") as caught:
        await remote.describe("docs")
    assert (caught.value.retry_after, caught.value.code) == (2.0, "index_busy")
    await remote.close()
    await host.close()


async def test_an_error_of_no_class_of_ours_is_unavailable(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = IndexHost(BrokenIndex(KeyError("x")), home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    with pytest.raises(Unavailable, match="KeyError"):
        await remote.describe("docs")
    assert "failed within" in caplog.text
    await remote.close()
    await host.close()


async def test_more_than_a_frame_holds_is_refused_before_it_is_sent(home: Path) -> None:
    host = IndexHost(MemoryIndex(), home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    await remote.create("docs", SPEC)
    huge = entry("apple")
    huge = msgspec.structs.replace(huge, passage=msgspec.structs.replace(huge.passage, text="x" * (FRAME + 1)))
    with pytest.raises(ValueError, match="too much at once"):
        await remote.upsert("docs", [huge])
    assert await remote.get(huge.passage.id, ALL) is None
    await remote.close()
    await host.close()
