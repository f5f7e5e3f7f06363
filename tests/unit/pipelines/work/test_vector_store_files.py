"""Files into vector stores, over parts in memory: what the row says holds, whatever happens meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal

import pytest
from msgspec.structs import replace

from rungwise_pipelines.ingest.split import LIMIT
from rungwise_pipelines.work.chores import VectorStoreChores
from rungwise_pipelines.work.vector_store_files import VectorStoreFiles
from rungwise_pipelines.work.workshop import Workshop
from rungwise_server.errors import Unavailable, UpstreamError
from rungwise_server.filters import Scalar
from rungwise_server.keeping import Job, Kept
from rungwise_server.protocols import Embedder, PassageIndex
from rungwise_server.testing.keeping import MemoryBlobs, MemoryKept, MemoryQueue
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import CollectionSpec, Passage, Vector
from rungwise_server.vector_stores import (
    JOB,
    LIVE,
    PASSAGE_TOKENS,
    REMOVING,
    FileBody,
    StoreBody,
    clear_away,
    encode,
    file_body,
    file_key,
    store_body,
    take_out,
)

STORE = "vs_1"
TEXT = "Pumps have valves. Valves have seals.\n\n" * 60


class Meanwhile(HashEmbedder):
    """Does something while it embeds: what others do to a row that a worker is on."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], Awaitable[object]] | None = None

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        if self.then:
            then, self.then = self.then, None
            await then()
        return await super().embed(texts, kind)


class Shop:
    """A store `vs_1` of ana's, and a worker's hands."""

    def __init__(self) -> None:
        self.clock = time.time()
        self.kept = MemoryKept(lambda: self.clock)
        self.queue = MemoryQueue()
        self.blobs = MemoryBlobs()
        self.index = MemoryIndex()
        self.embedder = Meanwhile()
        self.workshop = Workshop(self._index, self._embedder)
        self.hands = VectorStoreFiles(self.kept, self.blobs, self.workshop)
        self.chores = VectorStoreChores(self.kept, self.queue, self.workshop)

    async def _index(self) -> PassageIndex:
        return self.index

    async def _embedder(self) -> Embedder:
        return self.embedder

    async def open(self, readers: str = "", expires_at: float = 0.0) -> Kept:
        body = StoreBody(self.clock, "s", metadata={"readers": readers} if readers else {})
        return await self.kept.add(
            Kept(STORE, "vector_store", "user:ana", self.clock, encode(body), state=LIVE, expires_at=expires_at)
        )

    async def add(
        self,
        data: bytes = TEXT.encode(),
        filename: str = "pumps.md",
        attributes: Mapping[str, Scalar] | None = None,
        chunk_tokens: int = PASSAGE_TOKENS,
        file_id: str = "file-1",
    ) -> str:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        await self.blobs.write(file_id, pieces(), 10_000_000)
        body = FileBody(file_id, filename, attributes or {}, chunk_tokens)
        key = file_key(STORE, file_id)
        await self.kept.add(
            Kept(
                key,
                "vector_store_file",
                "user:ana",
                self.clock,
                encode(body),
                parent=STORE,
                state="in_progress",
            )
        )
        return key

    async def work(self, key: str = f"{STORE}/file-1") -> Kept | None:
        async def mine() -> bool:
            return True

        await self.hands.run(Job("job-1", JOB, key, encode(StoreBody(0.0))), mine)
        return await self.kept.get("vector_store_file", key, None)

    async def row(self, key: str = f"{STORE}/file-1") -> Kept:
        row = await self.kept.get("vector_store_file", key, None)
        assert row is not None
        return row

    def passages(self) -> list[Passage]:
        entries = self.index._entries.get(STORE, {}).values()
        return sorted((entry.passage for entry in entries), key=lambda passage: passage.start)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    yield shop
    await shop.workshop.rest()


def test_what_the_api_says_of_chunks_is_what_the_splitter_does() -> None:
    assert PASSAGE_TOKENS == LIMIT


async def test_a_file_gets_in_with_all_that_is_said_of_it(shop: Shop) -> None:
    await shop.open(readers="finance, user:bo")
    await shop.add(attributes={"year": 2024.0, "draft": False})
    row = await shop.work()
    assert row is not None
    assert row.state == "completed"
    passages = shop.passages()
    assert len(passages) > 1
    assert " ".join(passage.text for passage in passages).split() == TEXT.split()
    for passage in passages:
        assert (passage.collection, passage.source, passage.document_id) == (STORE, STORE, "file-1")
        assert passage.title == "pumps.md"
        assert passage.readers == {"user:ana", "group:finance", "user:bo"}
        assert passage.attributes == {"year": 2024.0, "draft": False}
        assert passage.version == file_body(row).version
    size = shop.embedder.dimensions * 4
    assert file_body(row).usage_bytes == sum(len(passage.text.encode()) + size for passage in passages)


async def test_what_a_file_says_of_itself_does_not_decide_who_reads_it(shop: Shop) -> None:
    await shop.open()
    await shop.add(b"---\ntitle: Another\nreaders: [everyone]\nurl: https://example.com/\n---\nWords of it.\n")
    await shop.work()
    (passage,) = shop.passages()
    assert (passage.readers, passage.title, passage.url) == (frozenset({"user:ana"}), "pumps.md", "")


async def test_smaller_chunks_where_they_are_asked_for(shop: Shop) -> None:
    await shop.open()
    await shop.add(chunk_tokens=100)
    await shop.add(file_id="file-2")
    await shop.work()
    small = len(shop.passages())
    await shop.work(f"{STORE}/file-2")
    assert small > len(shop.passages()) - small


async def test_done_twice_it_is_the_same(shop: Shop) -> None:
    await shop.open()
    key = await shop.add()
    done = await shop.work()
    assert done is not None
    before = shop.passages()
    await shop.kept.change(replace(done, state="in_progress"))
    again = await shop.work(key)
    assert again is not None
    assert again.body == done.body
    assert shop.passages() == before


@pytest.mark.parametrize(
    ("data", "filename", "code", "told"),
    [
        (b"", "empty.txt", "invalid_file", "is empty"),
        (b"  \n\n ", "blank.txt", "invalid_file", "blank.txt"),
        (b"%PDF-1.7 and then nothing of the kind", "broken.pdf", "invalid_file", "broken.pdf"),
        (b"PK\x03\x04 no zip at all", "broken.docx", "invalid_file", "broken.docx"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", "cat.png", "unsupported_file", "cat.png"),
        (b"\x00\x01\x02\x03" * 100, "noname", "unsupported_file", "noname"),
    ],
)
async def test_what_cannot_be_read_fails_with_its_reason(
    shop: Shop, data: bytes, filename: str, code: str, told: str
) -> None:
    await shop.open()
    await shop.add(data, filename)
    row = await shop.work()
    assert row is not None
    body = file_body(row)
    assert (row.state, body.error) == ("failed", code)
    assert told in body.message
    assert not shop.passages()


async def test_a_file_whose_bytes_are_gone_fails(shop: Shop) -> None:
    await shop.open()
    await shop.add()
    await shop.blobs.remove("file-1")
    row = await shop.work()
    assert row is not None
    assert (row.state, file_body(row).error) == ("failed", "invalid_file")


async def test_bytes_that_are_elsewhere_are_another_attempts_matter(shop: Shop) -> None:
    await shop.open()
    await shop.add()
    await shop.kept.add(Kept("file-1", "file", "user:ana", shop.clock, encode(StoreBody(0.0)), state="assistants"))
    await shop.blobs.remove("file-1")
    with pytest.raises(Unavailable, match="RUNGWISE_HOME"):
        await shop.work()
    assert (await shop.row()).state == "in_progress"


async def test_a_store_of_another_embedder_says_so_at_once(shop: Shop) -> None:
    await shop.open()
    await shop.add()
    await shop.index.create(STORE, CollectionSpec("another", 7, "bm25"))
    row = await shop.work()
    assert row is not None
    assert (row.state, file_body(row).error) == ("failed", "server_error")
    assert "another embedder" in file_body(row).message


async def test_an_embedder_that_is_away_is_another_attempts_matter_until_it_is_given_up(shop: Shop) -> None:
    async def away() -> None:
        raise UpstreamError("the embedder is away")

    await shop.open()
    key = await shop.add()
    shop.embedder.then = away
    with pytest.raises(UpstreamError):
        await shop.work()
    assert (await shop.row()).state == "in_progress"
    await shop.hands.give_up(Job("job-1", JOB, key, encode(StoreBody(0.0))), "the embedder is away")
    row = await shop.row()
    assert (row.state, file_body(row).error) == ("failed", "server_error")
    assert "the embedder is away" in file_body(row).message


async def test_other_attributes_meanwhile(shop: Shop) -> None:
    async def describe() -> None:
        row = await shop.row()
        await shop.kept.change(replace(row, body=encode(replace(file_body(row), attributes={"year": 2025.0}))))
        await shop.index.set_attributes(STORE, STORE, "file-1", {"year": 2025.0})

    await shop.open()
    await shop.add(attributes={"year": 2024.0})
    shop.embedder.then = describe
    row = await shop.work()
    assert row is not None
    assert row.state == "completed"
    assert {dict(passage.attributes)["year"] for passage in shop.passages()} == {2025.0}
    assert file_body(row).attributes == {"year": 2025.0}


async def test_other_readers_meanwhile(shop: Shop) -> None:
    async def unshare() -> None:
        store = await shop.kept.get("vector_store", STORE, None)
        assert store is not None
        await shop.kept.change(replace(store, body=encode(replace(store_body(store), metadata={}))))

    await shop.open(readers="everyone")
    await shop.add()
    shop.embedder.then = unshare
    await shop.work()
    assert {passage.readers for passage in shop.passages()} == {frozenset({"user:ana"})}


async def test_cancelled_meanwhile(shop: Shop) -> None:
    async def cancel() -> None:
        await shop.kept.change(replace(await shop.row(), state="cancelled"))

    await shop.open()
    await shop.add()
    shop.embedder.then = cancel
    row = await shop.work()
    assert row is not None
    assert row.state == "cancelled"
    assert not shop.passages()


@pytest.mark.parametrize("half", [False, True])
async def test_removed_meanwhile(shop: Shop, half: bool) -> None:
    """`half`: whoever removed it died before the row was gone."""

    async def remove() -> None:
        row = await shop.kept.change(replace(await shop.row(), state=REMOVING))
        if not half:
            await take_out(shop.kept, shop.index, row)

    await shop.open()
    await shop.add()
    shop.embedder.then = remove
    assert await shop.work() is None
    assert not shop.passages()


async def test_the_store_removed_meanwhile(shop: Shop) -> None:
    async def remove() -> None:
        store = await shop.kept.get("vector_store", STORE, None)
        assert store is not None
        await shop.kept.change(replace(store, state=REMOVING))
        await clear_away(shop.kept, shop.index, STORE)
        await shop.index.create(STORE, CollectionSpec(shop.embedder.name, shop.embedder.dimensions, "x"))

    await shop.open()
    await shop.add()
    shop.embedder.then = remove
    assert await shop.work() is None
    assert await shop.index.describe(STORE) is None


async def test_another_has_the_job_before_anything_is_written(shop: Shop) -> None:
    async def lost() -> bool:
        return False

    await shop.open()
    key = await shop.add()
    await shop.hands.run(Job("job-1", JOB, key, encode(StoreBody(0.0))), lost)
    assert (await shop.row()).state == "in_progress"
    assert not shop.passages()


async def test_the_job_of_a_row_that_is_gone_takes_passages_along(shop: Shop) -> None:
    await shop.open()
    key = await shop.add()
    await shop.work()
    await shop.kept.remove("vector_store_file", key)
    assert shop.passages()
    await shop.work()
    assert not shop.passages()


async def test_an_expired_store_is_swept_with_its_passages(shop: Shop) -> None:
    await shop.open(expires_at=shop.clock + 100)
    key = await shop.add()
    await shop.work()
    await shop.chores.sweep()
    assert shop.passages()
    shop.clock += 200
    await shop.chores.sweep()
    assert await shop.index.describe(STORE) is None
    assert await shop.kept.get("vector_store_file", key, None) is None
    assert not await shop.kept.sweep("vector_store")


async def test_a_removal_that_was_begun_is_ended(shop: Shop) -> None:
    store = await shop.open()
    await shop.add()
    await shop.work()
    await shop.kept.change(replace(store, state=REMOVING))
    await shop.chores.sweep()
    assert await shop.index.describe(STORE) is None
    assert await shop.kept.get("vector_store", STORE, None) is None


async def test_a_file_without_a_job_gets_one(shop: Shop) -> None:
    await shop.open()
    key = await shop.add()
    await shop.chores.take_up()
    assert await shop.queue.waiting() == 0, "it is young: its job may be on the way"
    row = await shop.row()
    shop.kept._things["vector_store_file", key] = replace(row, created_at=time.time() - 100)
    await shop.chores.take_up()
    await shop.chores.take_up()
    job = await shop.queue.take([JOB], "w", 30.0)
    assert job is not None
    assert job.subject == key
    assert await shop.queue.take([JOB], "w", 30.0) is None


async def test_two_files_at_once(shop: Shop) -> None:
    await shop.open()
    await shop.add()
    await shop.add(b"Taps drip.", "taps.txt", file_id="file-2")
    await asyncio.gather(shop.work(), shop.work(f"{STORE}/file-2"))
    assert {passage.document_id for passage in shop.passages()} == {"file-1", "file-2"}
