"""Uploads as the network brings them: clients that leave, bodies that are too large, and what memory they take."""

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from rungwise_server.app import create_app
from rungwise_server.keeping import KeptQuery
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.serving import fake_parts, listening

HEAD = (
    b"--xyz\r\nContent-Disposition: form-data; name=purpose\r\n\r\nbatch\r\n"
    b'--xyz\r\nContent-Disposition: form-data; name=file; filename="a"\r\n\r\n'
)
TAIL = b"\r\n--xyz--\r\n"
LIMIT = 2_000_000


@pytest.fixture
def kept() -> MemoryKept:
    return MemoryKept()


@pytest.fixture
async def address(kept: MemoryKept, tmp_path: Path) -> AsyncIterator[str]:
    app = create_app(fake_parts(kept=kept, blobs=FolderBlobs(tmp_path / "files")), max_upload=LIMIT)
    async with listening(app) as url:
        yield url


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*")]


async def _until(bytes_there: bool, kept: MemoryKept, folder: Path, rows: int) -> None:
    """Wait until there are (or are no) bytes on the disk, and that many uploads on their way."""
    query = KeptQuery("file", None, states=frozenset({"receiving"}))
    async with asyncio.timeout(20):
        while bool(_names(folder)) != bytes_there or len(await kept.list(query)) != rows:
            await asyncio.sleep(0.01)


async def _begin(url: str, headers: str, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    kind = "Content-Type: multipart/form-data; boundary=xyz"
    head = f"POST /v1/files HTTP/1.1\r\nHost: {host}\r\n{kind}\r\n{headers}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("sent", [0, 1, 70_000, 1_500_000])
async def test_a_client_that_leaves_in_mid_upload_leaves_nothing(
    address: str, kept: MemoryKept, tmp_path: Path, sent: int
) -> None:
    folder = tmp_path / "files"
    _, writer = await _begin(address, "Content-Length: 1900000", HEAD + b"x" * sent)
    if sent:
        await _until(True, kept, folder, rows=1)
    writer.transport.abort()
    await _until(False, kept, folder, rows=0)
    async with httpx.AsyncClient(base_url=address) as http:
        assert (await http.get("/v1/files")).json()["data"] == []


async def test_a_file_on_its_way_in_is_seen_by_nobody(address: str, kept: MemoryKept, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    body = HEAD + b"x" * 100_000 + TAIL
    reader, writer = await _begin(address, f"Content-Length: {len(body)}", body[:-200])
    await _until(True, kept, folder, rows=1)
    (row,) = await kept.list(KeptQuery("file", None))
    async with httpx.AsyncClient(base_url=address) as http:
        assert (await http.get("/v1/files")).json()["data"] == []
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            assert (await http.request(method, f"/v1/files/{row.id}{path}")).status_code == 404
        writer.write(body[-200:])
        status = await reader.readline()
        assert status.split()[1] == b"200"
        assert (await http.get(f"/v1/files/{row.id}")).json()["bytes"] == 100_000
    writer.close()


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(address: str, tmp_path: Path) -> None:
    reader, writer = await _begin(address, "Content-Length: 99999999999", b"")
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    writer.close()
    assert _names(tmp_path / "files") == []


async def test_one_that_does_not_say_is_refused_once_it_is(address: str, tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(400):
            yield b"x" * 50_000
        yield TAIL

    async with httpx.AsyncClient(base_url=address) as http:
        headers = {"content-type": "multipart/form-data; boundary=xyz"}
        response = await http.post("/v1/files", content=body(), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "file_too_large")
    assert _names(tmp_path / "files") == []


_SERVER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    import httpx
    from rungwise_server.app import create_app
    from rungwise_server.store.blobs import FolderBlobs
    from rungwise_server.testing.serving import fake_parts, listening

    def peak():  # not of getrusage: that begins with what the parent had
        (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000

    async def main():
        app = create_app(fake_parts(blobs=FolderBlobs(Path(sys.argv[1]))))
        async with listening(app) as url:
            async with httpx.AsyncClient(base_url=url) as http:
                await http.post("/v1/files", files={"file": ("warm", b"x" * 2_000_000)}, data={"purpose": "batch"})
            print(url, peak(), flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            print(peak(), flush=True)

    asyncio.run(main())
    """
)


@pytest.mark.slow
async def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    size = 120_000_000
    block = bytes(range(256)) * 4_000

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for start in range(0, size, len(block)):
            yield block[: size - start]
        yield TAIL

    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVER, tmp_path / "files", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url, before = (await server.stdout.readline()).decode().split()
        async with httpx.AsyncClient(base_url=url, timeout=120) as http:
            headers = {"content-type": "multipart/form-data; boundary=xyz"}
            made = (await http.post("/v1/files", content=body(), headers=headers)).json()
            assert made["bytes"] == size, json.dumps(made)
            got = 0
            async with http.stream("GET", f"/v1/files/{made['id']}/content") as response:
                async for piece in response.aiter_raw():
                    got += len(piece)
            assert got == size
        server.stdin.write(b"\n")
        after = (await server.stdout.readline()).decode()
        grown = float(after) - float(before)
        print(f"peak RSS {float(after):.0f} MB, {grown:.0f} MB above that of a small upload")
        assert grown < 40
    finally:
        server.stdin.close()
        await server.wait()
