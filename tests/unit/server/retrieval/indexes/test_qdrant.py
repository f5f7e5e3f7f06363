import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from rungwise_server.errors import SetupError, Unavailable
from rungwise_server.retrieval.indexes.qdrant import QdrantIndex
from rungwise_server.testing.retrieval_index import ALL, SPEC, entry, query

ID = "9b2c3e1e-6b0c-5d0e-8f57-0f8c8d1d2a11"


@asynccontextmanager
async def answering(answer: Callable[[str], tuple[int, str]]) -> AsyncIterator[str]:
    """The URL of a server that says, for each request line, a status and a body of JSON."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        status, body = answer(head.splitlines()[0])
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n".encode())
        writer.write(f"content-length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    asked: list[str] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert asked, "nobody asked"
    assert all("api-key: secret" in head for head in asked)


async def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    index = QdrantIndex(url)
    words = rf"cannot reach Qdrant at {url} .*start it, or set index.url"
    for call in (
        index.create("docs", SPEC),
        index.describe("docs"),
        index.count("docs"),
        index.upsert("docs", [entry("apple")]),
        index.remove("docs", "folder", "doc"),
        index.set_readers("docs", "folder", "doc", ALL),
        index.documents("docs", "folder"),
        index.search("docs", query("apple")),
        index.get(ID, ALL),
        index.neighbours(entry("apple").passage, ALL),
        index.drop("docs"),
    ):
        with pytest.raises(Unavailable, match=words):
            await call
    await index.close()


async def test_a_server_that_hangs_is_given_up() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    index = QdrantIndex(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=1)
    with pytest.raises(Unavailable, match=r"cannot reach Qdrant .*Timeout"):
        await index.search("docs", query("apple"))
    await index.close()
    server.close()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_says_where_it_is_set(status: int) -> None:
    async with answering(lambda _: (status, "{}")) as url:
        index = QdrantIndex(url, api_key="secret")
        with pytest.raises(SetupError, match=r"index\.api_key_env"):
            await index.describe("docs")
        await index.close()


async def test_a_broken_server_is_quoted() -> None:
    async with answering(lambda _: (500, '{"status":{"error":"disk on fire"}}')) as url:
        index = QdrantIndex(url, api_key="secret")
        with pytest.raises(Unavailable, match="disk on fire"):
            await index.search("docs", query("apple"))
        with pytest.raises(Unavailable, match="disk on fire"):
            await index.get(ID, ALL)
        await index.close()


@pytest.mark.parametrize("page", ['{"hello":"world"}', '{"result":{"exists":"maybe"}}', "<html>"])
async def test_a_page_that_is_no_qdrant_is_not_believed(page: str) -> None:
    async with answering(lambda _: (200, page)) as url:
        index = QdrantIndex(url, api_key="secret")
        with pytest.raises(Unavailable, match=r"http.* does not answer as Qdrant does"):
            await index.describe("docs")
        await index.close()


async def test_a_collection_of_another_program_is_not_touched() -> None:
    from qdrant_client import AsyncQdrantClient, models

    client = AsyncQdrantClient(":memory:")
    vectors = models.VectorParams(size=8, distance=models.Distance.DOT)
    await client.create_collection("rungwise_docs", vectors_config=vectors)
    await client.create_collection("theirs", vectors_config=vectors)
    index = QdrantIndex(client=client)
    for call in (index.create("docs", SPEC), index.upsert("docs", [entry("apple")]), index.search("docs", query("x"))):
        with pytest.raises(SetupError, match=r"rungwise_docs.*no note.*index\.prefix"):
            await call
    assert await index.describe("theirs") is None
    await index.close()


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
async def test_two_prefixes_are_two_worlds() -> None:
    from qdrant_client import AsyncQdrantClient

    client = AsyncQdrantClient(":memory:")
    ours, theirs = QdrantIndex(client=client, prefix="a_"), QdrantIndex(client=client, prefix="b_")
    await ours.create("docs", SPEC)
    await ours.upsert("docs", [entry("apple")])
    assert await theirs.describe("docs") is None
    assert await theirs.get(entry("apple").passage.id, ALL) is None
    await theirs.drop("docs")
    assert await ours.count("docs") == 1
    await ours.close()
