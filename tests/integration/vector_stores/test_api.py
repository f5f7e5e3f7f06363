"""Vector stores as OpenAI's client uses them. Whatever the server answers in these tests is held to the client's types,
strictly.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types import VectorStore, VectorStoreDeleted, VectorStoreSearchResponse
from openai.types.vector_stores import (
    FileContentResponse,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileDeleted,
)
from pydantic import TypeAdapter

from rungwise_pipelines.work.testing import NearbyWorker
from rungwise_server.app import create_app
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.serving import fake_parts, listening

TYPES: Mapping[str, type] = {
    "vector_store": VectorStore,
    "vector_store.deleted": VectorStoreDeleted,
    "vector_store.file": VectorStoreFile,
    "vector_store.file.deleted": VectorStoreFileDeleted,
    "vector_store.files_batch": VectorStoreFileBatch,
}
TEXTS = {
    "python.txt": "Python is a programming language that favours readable code.",
    "learning.txt": "Machine learning lets systems learn from experience, a part of artificial intelligence.",
    "structures.txt": "Data structures keep data so that algorithms reach it quickly.",
    "neurons.txt": "Neural networks are inspired by neurons: artificial intelligence in layers.",
}
TOPICS = {"python.txt": "code", "learning.txt": "ai", "structures.txt": "code", "neurons.txt": "ai"}


def strict(answer: Any) -> None:
    """Each object in an answer is what the client's types say."""
    if answer.get("object") == "list":
        assert set(answer) == {"object", "data", "first_id", "last_id", "has_more"}
        ids = [item["id"] for item in answer["data"]]
        assert (answer["first_id"], answer["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        for item in answer["data"]:
            strict(item)
    elif answer.get("object") == "vector_store.search_results.page":
        TypeAdapter(list[VectorStoreSearchResponse]).validate_python(answer["data"], strict=True)
    elif answer.get("object") == "vector_store.file_content.page":
        TypeAdapter(list[FileContentResponse]).validate_python(answer["data"], strict=True)
    elif (kind := TYPES.get(answer.get("object", ""))) is not None:
        TypeAdapter(kind).validate_python(answer, strict=True)
        if "file_counts" in answer:
            counts = dict(answer["file_counts"])
            assert counts.pop("total") == sum(counts.values())
    elif "error" in answer:
        assert set(answer["error"]) == {"message", "type", "param", "code"}
    else:
        assert answer["object"] == "file"


async def look(response: httpx.Response) -> None:
    await response.aread()
    strict(response.json())


class Room:
    """A server, a client of it, and a worker that works when it is told to."""

    def __init__(self, client: AsyncOpenAI, worker: NearbyWorker, clock: list[float]) -> None:
        self.client = client
        self.worker = worker
        self.clock = clock

    async def upload(self, name: str = "a.txt", text: str | bytes = "Words.") -> str:
        data = text.encode() if isinstance(text, str) else text
        return (await self.client.files.create(file=(name, data), purpose="assistants")).id

    async def filled(self) -> tuple[VectorStore, dict[str, str]]:
        """A store with `TEXTS` in it, each with its topic; the files' ids by name."""
        store = await self.client.vector_stores.create(name="filled")
        ids = {}
        for number, (name, text) in enumerate(TEXTS.items()):
            ids[name] = await self.upload(name, text)
            attributes: dict[str, str | float | bool] = {"topic": TOPICS[name], "number": number}
            await self.client.vector_stores.files.create(store.id, file_id=ids[name], attributes=attributes)
        await self.worker.work()
        return store, ids


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    clock = [0.0]
    parts = fake_parts(
        kept=MemoryKept(lambda: time.time() + clock[0]), collections={"handbook": "What everybody should know."}
    )
    async with (
        listening(create_app(parts)) as url,
        httpx.AsyncClient(event_hooks={"response": [look]}) as http,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, http_client=http) as client,
    ):
        yield Room(client, NearbyWorker(parts), clock)


# Stores.


async def test_create(room: Room) -> None:
    metadata = {"purpose": "testing", "team": "ひと"}
    made = await room.client.vector_stores.create(name="notes", metadata=metadata, description="of meetings")
    assert made.id.startswith("vs_")
    assert (made.name, made.metadata, made.status) == ("notes", metadata, "completed")
    assert made.file_counts.total == made.usage_bytes == 0
    assert made.expires_at is None
    assert await room.client.vector_stores.retrieve(made.id) == made


async def test_create_without_a_word(room: Room) -> None:
    made = await room.client.vector_stores.create()
    assert made.name == ""
    assert (await room.client.post("/vector_stores", cast_to=VectorStore)).name == ""


async def test_two_of_one_name_are_two(room: Room) -> None:
    one, two = [await room.client.vector_stores.create(name="same") for _ in range(2)]
    file = await room.upload()
    await room.client.vector_stores.files.create(one.id, file_id=file)
    await room.client.vector_stores.delete(two.id)
    await room.worker.work()
    assert (await room.client.vector_stores.retrieve(one.id)).file_counts.completed == 1
    assert [store.id for store in (await room.client.vector_stores.list()).data] == [one.id, "handbook"]


async def test_pages_of_stores_end_with_the_collections(room: Room) -> None:
    made = [(await room.client.vector_stores.create(name=str(number))).id for number in range(5)]
    newest = [*reversed(made), "handbook"]
    for limit in (1, 2, 3, 5, 6, 7):
        seen = [store.id async for store in room.client.vector_stores.list(limit=limit)]
        assert seen == newest
    oldest = [store.id async for store in room.client.vector_stores.list(limit=2, order="asc")]
    assert oldest == [*made, "handbook"]
    before = await room.client.vector_stores.list(limit=2, before="handbook")
    assert [store.id for store in before.data] == made[1::-1]
    assert before.has_more
    before = await room.client.vector_stores.list(limit=2, before=made[0])
    assert [store.id for store in before.data] == [made[2], made[1]]
    between = await room.client.vector_stores.list(after=made[4], before=made[1])
    assert [store.id for store in between.data] == [made[3], made[2]]
    assert not between.has_more


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"order": "up"}, {"limit": "many"}])
async def test_pages_that_there_are_not(room: Room, query: dict[str, object]) -> None:
    with pytest.raises(BadRequestError) as told:
        await room.client.vector_stores.list(extra_query=query)
    assert told.value.param == next(iter(query))


async def test_from_a_store_that_is_not_there(room: Room) -> None:
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.list(after="vs_nothing")


async def test_update_and_what_stays(room: Room) -> None:
    made = await room.client.vector_stores.create(name="old", metadata={"a": "1"})
    named = await room.client.vector_stores.update(made.id, name="new")
    assert (named.name, named.metadata) == ("new", {"a": "1"})
    other = await room.client.vector_stores.update(made.id, metadata={"b": "2"})
    assert (other.name, other.metadata) == ("new", {"b": "2"})
    emptied = await room.client.vector_stores.update(made.id, name=None, metadata=None)
    assert (emptied.name, emptied.metadata) == ("", {})
    assert emptied.last_active_at is not None
    assert made.last_active_at is not None
    assert emptied.last_active_at >= made.last_active_at


async def test_delete(room: Room) -> None:
    store, ids = await room.filled()
    gone = await room.client.vector_stores.delete(store.id)
    assert (gone.id, gone.deleted) == (store.id, True)
    for again in (
        room.client.vector_stores.retrieve(store.id),
        room.client.vector_stores.delete(store.id),
        room.client.vector_stores.files.list(store.id),
        room.client.vector_stores.files.retrieve(ids["python.txt"], vector_store_id=store.id),
    ):
        with pytest.raises(NotFoundError):
            await again
    assert (await room.client.files.retrieve(ids["python.txt"])).id, "the file itself stays"


async def test_expiry_follows_the_last_use(room: Room) -> None:
    made = await room.client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 2})
    assert made.last_active_at
    assert made.expires_after
    assert made.expires_at == made.last_active_at + 2 * 86_400
    room.clock[0] = 2 * 86_400 - 100
    assert (await room.client.vector_stores.retrieve(made.id)).id == made.id
    longer = await room.client.vector_stores.update(made.id, expires_after={"anchor": "last_active_at", "days": 3})
    assert longer.expires_at
    room.clock[0] = 3 * 86_400 + 100
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.retrieve(made.id)
    assert [store.id for store in (await room.client.vector_stores.list()).data] == ["handbook"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": {f"k{number}": "v" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after"),
        ({"name": "\ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"embedding_model": "mine"}, "embedding_model"),
        ({"chunking_strategy": {"type": "semantic"}}, "chunking_strategy"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                }
            },
            "chunking_strategy",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 4097, "chunk_overlap_tokens": 0},
                }
            },
            "chunking_strategy",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101},
                }
            },
            "chunking_strategy",
        ),
    ],
)
async def test_what_is_refused_is_named(room: Room, body: dict[str, object], param: str) -> None:
    import json

    with pytest.raises(BadRequestError) as told:
        await room.client.post(
            "/vector_stores",
            cast_to=VectorStore,
            content=json.dumps(body).encode(),
            options={"headers": {"content-type": "application/json"}},
        )
    assert (told.value.param or "").split(".")[0] == param
    assert [store.id for store in (await room.client.vector_stores.list()).data] == ["handbook"]


# Files.


async def test_a_file_from_its_upload_to_its_end(room: Room) -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload("secret.txt", "The secret word is foobazbar.")
    added = await room.client.vector_stores.files.create(store.id, file_id=file)
    assert (added.id, added.status, added.last_error) == (file, "in_progress", None)
    during = await room.client.vector_stores.retrieve(store.id)
    assert (during.status, during.file_counts.in_progress, during.file_counts.total) == ("in_progress", 1, 1)
    await room.worker.work()
    done = await room.client.vector_stores.files.poll(file, vector_store_id=store.id)
    assert (done.status, done.vector_store_id) == ("completed", store.id)
    after = await room.client.vector_stores.retrieve(store.id)
    assert (after.status, after.file_counts.completed, after.file_counts.total) == ("completed", 1, 1)
    assert after.usage_bytes == done.usage_bytes > 0
    hits = await room.client.vector_stores.search(store.id, query="What is the secret word?")
    assert "foobazbar" in hits.data[0].content[0].text
    assert (hits.data[0].file_id, hits.data[0].filename) == (file, "secret.txt")

    gone = await room.client.vector_stores.files.delete(file, vector_store_id=store.id)
    assert (gone.id, gone.deleted) == (file, True)
    assert not (await room.client.vector_stores.search(store.id, query="What is the secret word?")).data
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.retrieve(file, vector_store_id=store.id)
    emptied = await room.client.vector_stores.retrieve(store.id)
    assert emptied.file_counts.total == emptied.usage_bytes == 0
    assert (await room.client.files.retrieve(file)).id == file


async def test_who_waits_is_told_when_to_ask_again(room: Room) -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload()
    raw = await room.client.vector_stores.files.with_raw_response.create(store.id, file_id=file)
    assert 0 < int(raw.headers["openai-poll-after-ms"]) < 1000
    await room.worker.work()
    done = await room.client.vector_stores.files.with_raw_response.retrieve(file, vector_store_id=store.id)
    assert "openai-poll-after-ms" not in done.headers


async def test_files_with_the_store(room: Room) -> None:
    files = [await room.upload(f"{number}.txt", f"Number {number}.") for number in range(3)]
    store = await room.client.vector_stores.create(file_ids=[*files, files[0]])
    assert store.file_counts.in_progress == store.file_counts.total == 3
    await room.worker.work()
    listed = await room.client.vector_stores.files.list(store.id)
    assert {file.id for file in listed.data} == set(files)
    assert {file.status for file in listed.data} == {"completed"}


async def test_a_file_that_there_is_not(room: Room) -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.create(store.id, file_id="file-nothing")
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.create(file_ids=["file-nothing"])
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.retrieve("file-nothing", vector_store_id=store.id)
    assert (await room.client.vector_stores.retrieve(store.id)).file_counts.total == 0


async def test_pages_of_files_and_those_of_a_status(room: Room) -> None:
    store = await room.client.vector_stores.create()
    good = [await room.upload(f"{number}.txt", f"Number {number}.") for number in range(4)]
    bad = await room.upload("cat.png", b"\x89PNG\r\n\x1a\n\x00\x00")
    for file in (*good, bad):
        await room.client.vector_stores.files.create(store.id, file_id=file)
    await room.worker.work()
    newest = [bad, *reversed(good)]
    for limit in (1, 2, 5, 6):
        assert [file.id async for file in room.client.vector_stores.files.list(store.id, limit=limit)] == newest
    first = await room.client.vector_stores.files.list(store.id, limit=2, order="asc")
    assert ([file.id for file in first.data], first.has_more) == (good[:2], True)
    back = await room.client.vector_stores.files.list(store.id, limit=2, before=good[0])
    assert ([file.id for file in back.data], back.has_more) == ([good[2], good[1]], True)
    failed = await room.client.vector_stores.files.list(store.id, filter="failed")
    assert [file.id for file in failed.data] == [bad]
    assert failed.data[0].last_error
    assert failed.data[0].last_error.code == "unsupported_file"
    assert "cat.png" in failed.data[0].last_error.message
    completed = await room.client.vector_stores.files.list(store.id, filter="completed", limit=2, after=good[3])
    assert [file.id for file in completed.data] == [good[2], good[1]]
    counts = (await room.client.vector_stores.retrieve(store.id)).file_counts
    assert (counts.completed, counts.failed, counts.total) == (4, 1, 5)
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.files.list(store.id, extra_query={"filter": "lost"})
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.list(store.id, after="file-nothing")


async def test_content(room: Room) -> None:
    store, ids = await room.filled()
    page = await room.client.vector_stores.files.content(ids["python.txt"], vector_store_id=store.id)
    assert [(part.type, part.text) for part in page.data] == [("text", TEXTS["python.txt"])]
    extra = page.model_extra or {}
    assert extra["filename"] == "python.txt"
    assert extra["attributes"] == {"topic": "code", "number": 0.0}
    waiting = await room.upload()
    await room.client.vector_stores.files.create(store.id, file_id=waiting)
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.files.content(waiting, vector_store_id=store.id)


async def test_attributes_change_what_filters_find_and_nothing_else(room: Room) -> None:
    store, ids = await room.filled()
    before = await room.client.vector_stores.files.retrieve(ids["python.txt"], vector_store_id=store.id)
    embedded = len(room.worker.ended)
    changed = await room.client.vector_stores.files.update(
        ids["python.txt"], vector_store_id=store.id, attributes={"topic": "snakes", "venomous": False}
    )
    assert changed.attributes == {"topic": "snakes", "venomous": False}
    assert (changed.status, changed.usage_bytes, changed.created_at) == (
        "completed",
        before.usage_bytes,
        before.created_at,
    )
    await room.worker.work()
    assert len(room.worker.ended) == embedded
    for value, expected in (("snakes", [ids["python.txt"]]), ("code", [ids["structures.txt"]])):
        hits = await room.client.vector_stores.search(
            store.id, query="code", filters={"type": "eq", "key": "topic", "value": value}
        )
        assert [hit.file_id for hit in hits.data] == expected
        assert all((hit.attributes or {})["topic"] == value for hit in hits.data)
    emptied = await room.client.vector_stores.files.update(ids["python.txt"], vector_store_id=store.id, attributes=None)
    assert emptied.attributes == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {f"k{number}": 1 for number in range(17)},
        {"k" * 65: 1},
        {"": 1},
        {"k": "v" * 513},
        {"k": None},
        {"k": [1]},
        {"k": {"a": 1}},
        {"k": 10**400},
    ],
)
async def test_attributes_that_are_none(room: Room, attributes: dict[str, Any]) -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload()
    with pytest.raises(BadRequestError) as told:
        await room.client.vector_stores.files.create(store.id, file_id=file, attributes=attributes)
    assert (told.value.param or "").startswith("attributes")
    await room.client.vector_stores.files.create(store.id, file_id=file, attributes={"k" * 64: "v" * 512})
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.files.update(file, vector_store_id=store.id, attributes=attributes)


async def test_chunks_are_what_the_file_says_they_are(room: Room) -> None:
    store = await room.client.vector_stores.create()
    text = "Pumps have valves, and valves have seals. " * 60
    sizes: dict[int, list[int]] = {}
    for asked, made in ((100, 100), (800, 200)):
        file = await room.upload(f"{asked}.txt", text + str(asked))
        added = await room.client.vector_stores.files.create(
            store.id,
            file_id=file,
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": asked, "chunk_overlap_tokens": asked // 2},
            },
        )
        assert added.chunking_strategy
        assert added.chunking_strategy.type == "static"
        assert added.chunking_strategy.static.max_chunk_size_tokens == made
        assert added.chunking_strategy.static.chunk_overlap_tokens == 0
        await room.worker.work()
        parts = (await room.client.vector_stores.files.content(file, vector_store_id=store.id)).data
        sizes[asked] = [len(part.text or "") for part in parts]
    assert max(sizes[100]) < max(sizes[800])
    auto = await room.client.vector_stores.files.create(
        store.id, file_id=await room.upload(), chunking_strategy={"type": "auto"}
    )
    assert auto.chunking_strategy
    assert auto.chunking_strategy.type == "static"


async def test_the_stores_chunking_holds_for_files_that_say_nothing(room: Room) -> None:
    store = await room.client.vector_stores.create(
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 120, "chunk_overlap_tokens": 0}}
    )
    file = await room.client.vector_stores.files.create(store.id, file_id=await room.upload())
    assert file.chunking_strategy
    assert file.chunking_strategy.type == "static"
    assert file.chunking_strategy.static.max_chunk_size_tokens == 120


async def test_added_again(room: Room) -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload()
    await room.client.vector_stores.files.create(store.id, file_id=file, attributes={"a": 1})
    await room.worker.work()
    same = await room.client.vector_stores.files.create(store.id, file_id=file, attributes={"a": 1})
    assert same.status == "completed"
    other = await room.client.vector_stores.files.create(store.id, file_id=file, attributes={"a": 2})
    assert (other.status, other.attributes) == ("in_progress", {"a": 2.0})
    await room.worker.work()
    listed = (await room.client.vector_stores.files.list(store.id)).data
    assert [(item.id, item.status, item.attributes) for item in listed] == [(file, "completed", {"a": 2.0})]


async def test_a_deleted_file_leaves_all_stores(room: Room) -> None:
    one, two = await room.client.vector_stores.create(), await room.client.vector_stores.create()
    file, other = await room.upload("secret.txt", "The secret word."), await room.upload("other.txt", "Another word.")
    for store in (one, two):
        for id in (file, other):
            await room.client.vector_stores.files.create(store.id, file_id=id)
        await room.worker.work()
    late = await room.client.vector_stores.create(file_ids=[file])
    await room.client.files.delete(file)
    await room.worker.work()
    for store in (one, two):
        assert [row.id for row in (await room.client.vector_stores.files.list(store.id)).data] == [other]
        hits = (await room.client.vector_stores.search(store.id, query="secret word")).data
        assert [hit.file_id for hit in hits] == [other]
    assert (await room.client.vector_stores.retrieve(late.id)).file_counts.total == 0
    assert not (await room.client.vector_stores.search(late.id, query="secret word")).data


# Batches.


async def test_a_batch(room: Room) -> None:
    store = await room.client.vector_stores.create()
    alone = await room.upload("alone.txt")
    await room.client.vector_stores.files.create(store.id, file_id=alone)
    files = [await room.upload(f"{number}.txt", f"Number {number}.") for number in range(5)]
    batch = await room.client.vector_stores.file_batches.create(store.id, file_ids=files, attributes={"a": "b"})
    assert batch.id.startswith("vsfb_")
    assert (batch.status, batch.file_counts.in_progress, batch.file_counts.total) == ("in_progress", 5, 5)
    await room.worker.work()
    done = await room.client.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id)
    assert (done.status, done.file_counts.completed, done.vector_store_id) == ("completed", 5, store.id)
    list_files = room.client.vector_stores.file_batches.list_files
    for limit in (1, 3, 5):
        seen = [file.id async for file in list_files(batch.id, vector_store_id=store.id, limit=limit)]
        assert seen == files[::-1]
    back = await list_files(batch.id, vector_store_id=store.id, limit=2, order="asc", before=files[4])
    assert ([file.id for file in back.data], back.has_more) == ([files[2], files[3]], True)
    assert not (await list_files(batch.id, vector_store_id=store.id, filter="failed")).data
    with pytest.raises(NotFoundError):
        await list_files(batch.id, vector_store_id=store.id, after=alone)
    assert (await room.client.vector_stores.retrieve(store.id)).file_counts.completed == 6
    await room.client.vector_stores.files.delete(files[0], vector_store_id=store.id)
    less = await room.client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    assert (less.file_counts.completed, less.file_counts.total) == (4, 4)


async def test_a_batch_of_files_each_with_its_own(room: Room) -> None:
    store = await room.client.vector_stores.create()
    one, two = await room.upload("1.txt", "One."), await room.upload("2.txt", "Two.")
    await room.client.vector_stores.file_batches.create(
        store.id,
        files=[
            {"file_id": one, "attributes": {"number": 1}},
            {
                "file_id": two,
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 150, "chunk_overlap_tokens": 0},
                },
            },
        ],
    )
    first = await room.client.vector_stores.files.retrieve(one, vector_store_id=store.id)
    second = await room.client.vector_stores.files.retrieve(two, vector_store_id=store.id)
    assert (first.attributes, second.attributes) == ({"number": 1.0}, {})
    assert second.chunking_strategy
    assert second.chunking_strategy.type == "static"
    assert second.chunking_strategy.static.max_chunk_size_tokens == 150


async def test_a_batch_cancelled(room: Room) -> None:
    store = await room.client.vector_stores.create()
    files = [await room.upload(f"{number}.txt", f"Number {number}.") for number in range(3)]
    batch = await room.client.vector_stores.file_batches.create(store.id, file_ids=files)
    cancelled = await room.client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 3)
    again = await room.client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert again.status == "cancelled"
    await room.worker.work()
    counts = (await room.client.vector_stores.retrieve(store.id)).file_counts
    assert (counts.cancelled, counts.total) == (3, 3)
    assert not (await room.client.vector_stores.search(store.id, query="Number")).data

    revived = await room.client.vector_stores.files.create(store.id, file_id=files[0])
    assert revived.status == "in_progress"
    await room.worker.work()
    done = await room.client.vector_stores.file_batches.create_and_poll(store.id, file_ids=[files[0]])
    assert done.status == "completed"
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.file_batches.cancel(done.id, vector_store_id=store.id)


async def test_a_batch_of_which_nothing_can_be_read(room: Room) -> None:
    store = await room.client.vector_stores.create()
    files = [await room.upload(f"{number}.bin", b"\x00\x01" * 99 + bytes([number])) for number in range(2)]
    batch = await room.client.vector_stores.file_batches.create(store.id, file_ids=files)
    await room.worker.work()
    failed = await room.client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    assert (failed.status, failed.file_counts.failed) == ("failed", 2)


@pytest.mark.parametrize(
    "body",
    [{}, {"file_ids": []}, {"file_ids": ["FILE"], "files": [{"file_id": "FILE"}]}, {"file_ids": ["x"] * 2001}],
)
async def test_batches_that_are_none(room: Room, body: dict[str, object]) -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(BadRequestError):
        await room.client.post(f"/vector_stores/{store.id}/file_batches", cast_to=VectorStoreFileBatch, body=body)


async def test_a_batch_that_there_is_not(room: Room) -> None:
    store, other = await room.client.vector_stores.create(), await room.client.vector_stores.create()
    batches = room.client.vector_stores.file_batches
    batch = await batches.create(store.id, file_ids=[await room.upload()])
    for id, place in (("vsfb_nothing", store.id), (batch.id, other.id)):
        with pytest.raises(NotFoundError):
            await batches.retrieve(id, vector_store_id=place)
        with pytest.raises(NotFoundError):
            await batches.cancel(id, vector_store_id=place)
        with pytest.raises(NotFoundError):
            await batches.list_files(id, vector_store_id=place)


# Search.


async def test_an_empty_store_finds_nothing(room: Room) -> None:
    store = await room.client.vector_stores.create()
    page = await room.client.vector_stores.search(store.id, query="anything", max_num_results=5)
    assert page.data == []
    assert (page.model_extra or {})["search_query"] == ["anything"]
    assert (page.model_extra or {})["has_more"] is False


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Which language is for readable code?", "python.txt"),
        ("How do systems learn from experience?", "learning.txt"),
        ("Why are data structures quick?", "structures.txt"),
        ("What inspires networks of neurons?", "neurons.txt"),
    ],
)
async def test_the_best_comes_first(room: Room, query: str, expected: str) -> None:
    store, ids = await room.filled()
    page = await room.client.vector_stores.search(store.id, query=query)
    assert page.data[0].filename == expected
    assert page.data[0].file_id == ids[expected]
    assert page.data[0].content[0].text == TEXTS[expected]
    scores = [hit.score for hit in page.data]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_as_many_as_are_asked_for_and_as_good(room: Room) -> None:
    store, _ = await room.filled()
    search = room.client.vector_stores.search
    both = (await search(store.id, query="artificial intelligence", max_num_results=2)).data
    assert len(both) == 2
    threshold = (both[0].score + both[1].score) / 2
    best = await search(store.id, query="artificial intelligence", ranking_options={"score_threshold": threshold})
    assert [hit.file_id for hit in best.data] == [both[0].file_id]
    for ranker in ("auto", "none", "default-2024-11-15"):
        assert (await search(store.id, query="artificial", ranking_options={"ranker": ranker})).data


async def test_several_queries_are_one_list(room: Room) -> None:
    store, _ = await room.filled()
    queries = ["readable code", "systems learn from experience"]
    page = await room.client.vector_stores.search(store.id, query=queries, max_num_results=2)
    assert {hit.filename for hit in page.data} == {"python.txt", "learning.txt"}
    assert (page.model_extra or {})["search_query"] == queries
    whole = await room.client.vector_stores.search(store.id, query=queries)
    assert len({hit.file_id for hit in whole.data}) == len(whole.data) == 4


async def test_a_rewritten_query_is_told(room: Room) -> None:
    store, _ = await room.filled()
    page = await room.client.vector_stores.search(store.id, query="  readable code \n", rewrite_query=True)
    assert (page.model_extra or {})["search_query"] == ["readable code"]
    assert page.data[0].filename == "python.txt"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "topic", "value": "ai"}, {"learning.txt", "neurons.txt"}),
        ({"type": "ne", "key": "topic", "value": "ai"}, {"python.txt", "structures.txt"}),
        ({"type": "gte", "key": "number", "value": 2}, {"structures.txt", "neurons.txt"}),
        ({"type": "lt", "key": "number", "value": 1}, {"python.txt"}),
        ({"type": "in", "key": "number", "value": [0, 3]}, {"python.txt", "neurons.txt"}),
        ({"type": "nin", "key": "topic", "value": ["ai", "code"]}, set()),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "topic", "value": "ai"},
                    {"type": "gt", "key": "number", "value": 1},
                ],
            },
            {"neurons.txt"},
        ),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "number", "value": 0},
                    {"type": "eq", "key": "number", "value": 1},
                ],
            },
            {"python.txt", "learning.txt"},
        ),
        ({"type": "eq", "key": "nothing", "value": True}, set()),
    ],
)
async def test_filters(room: Room, filters: Any, expected: set[str]) -> None:
    store, _ = await room.filled()
    page = await room.client.vector_stores.search(store.id, query="data that systems learn", filters=filters)
    assert {hit.filename for hit in page.data} == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": 7}, "query"),
        ({}, "query"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options"),
        ({"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options"),
        ({"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
        ({"query": "x", "filters": {"topic": "ai"}}, "filters"),
        ({"query": "x", "search_mode": "hybrid"}, "search_mode"),
    ],
)
async def test_searches_that_are_none(room: Room, body: dict[str, object], param: str) -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(BadRequestError) as told:
        await room.client.post(f"/vector_stores/{store.id}/search", cast_to=VectorStore, body=body)
    assert (told.value.param or "").split(".")[0] == param


# Configured collections.


async def test_a_collection_is_there_to_be_read(room: Room) -> None:
    handbook = await room.client.vector_stores.retrieve("handbook")
    assert (handbook.name, handbook.status) == ("handbook", "completed")
    assert (handbook.model_extra or {}).get("description") == "What everybody should know."
    assert (await room.client.vector_stores.search("handbook", query="holidays")).data == []
    assert (await room.client.vector_stores.files.list("handbook")).data == []


async def test_a_collection_is_not_to_be_changed(room: Room) -> None:
    file = await room.upload()
    stores = room.client.vector_stores
    for change in (
        stores.update("handbook", name="mine"),
        stores.delete("handbook"),
        stores.files.create("handbook", file_id=file),
        stores.files.delete(file, vector_store_id="handbook"),
        stores.file_batches.create("handbook", file_ids=[file]),
    ):
        with pytest.raises(BadRequestError, match="rungwise ingest") as told:
            await change
        assert told.value.code == "read_only_collection"
