"""Files in vector stores: from an upload to passages, their content, attributes and chunks."""

from typing import TYPE_CHECKING, Any

import pytest
from openai import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from tests.integration.vector_stores.conftest import Room


async def test_a_file_from_its_upload_to_its_end(room: "Room") -> None:
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


async def test_who_waits_is_told_when_to_ask_again(room: "Room") -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload()
    raw = await room.client.vector_stores.files.with_raw_response.create(store.id, file_id=file)
    assert 0 < int(raw.headers["openai-poll-after-ms"]) < 1000
    await room.worker.work()
    done = await room.client.vector_stores.files.with_raw_response.retrieve(file, vector_store_id=store.id)
    assert "openai-poll-after-ms" not in done.headers


async def test_files_with_the_store(room: "Room") -> None:
    files = [await room.upload(f"{number}.txt", f"Number {number}.") for number in range(3)]
    store = await room.client.vector_stores.create(file_ids=[*files, files[0]])
    assert store.file_counts.in_progress == store.file_counts.total == 3
    await room.worker.work()
    listed = await room.client.vector_stores.files.list(store.id)
    assert {file.id for file in listed.data} == set(files)
    assert {file.status for file in listed.data} == {"completed"}


async def test_a_file_that_there_is_not(room: "Room") -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.create(store.id, file_id="file-nothing")
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.create(file_ids=["file-nothing"])
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.files.retrieve("file-nothing", vector_store_id=store.id)
    assert (await room.client.vector_stores.retrieve(store.id)).file_counts.total == 0


async def test_pages_of_files_and_those_of_a_status(room: "Room") -> None:
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


async def test_content(room: "Room") -> None:
    store, ids = await room.filled()
    page = await room.client.vector_stores.files.content(ids["python.txt"], vector_store_id=store.id)
    assert [(part.type, part.text) for part in page.data] == [("text", room.texts["python.txt"])]
    extra = page.model_extra or {}
    assert extra["filename"] == "python.txt"
    assert extra["attributes"] == {"topic": "code", "number": 0.0}
    waiting = await room.upload()
    await room.client.vector_stores.files.create(store.id, file_id=waiting)
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.files.content(waiting, vector_store_id=store.id)


async def test_attributes_change_what_filters_find_and_nothing_else(room: "Room") -> None:
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
async def test_attributes_that_are_none(room: "Room", attributes: dict[str, Any]) -> None:
    store = await room.client.vector_stores.create()
    file = await room.upload()
    with pytest.raises(BadRequestError) as told:
        await room.client.vector_stores.files.create(store.id, file_id=file, attributes=attributes)
    assert (told.value.param or "").startswith("attributes")
    await room.client.vector_stores.files.create(store.id, file_id=file, attributes={"k" * 64: "v" * 512})
    with pytest.raises(BadRequestError):
        await room.client.vector_stores.files.update(file, vector_store_id=store.id, attributes=attributes)


async def test_chunks_are_what_the_file_says_they_are(room: "Room") -> None:
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


async def test_the_stores_chunking_holds_for_files_that_say_nothing(room: "Room") -> None:
    store = await room.client.vector_stores.create(
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 120, "chunk_overlap_tokens": 0}}
    )
    file = await room.client.vector_stores.files.create(store.id, file_id=await room.upload())
    assert file.chunking_strategy
    assert file.chunking_strategy.type == "static"
    assert file.chunking_strategy.static.max_chunk_size_tokens == 120


async def test_added_again(room: "Room") -> None:
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


async def test_a_deleted_file_leaves_all_stores(room: "Room") -> None:
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
