"""Batches of files into a vector store."""

from typing import TYPE_CHECKING

import pytest
from openai import BadRequestError, NotFoundError
from openai.types.vector_stores import (
    VectorStoreFileBatch,
)

if TYPE_CHECKING:
    from tests.integration.vector_stores.conftest import Room


async def test_a_batch(room: "Room") -> None:
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


async def test_a_batch_of_files_each_with_its_own(room: "Room") -> None:
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


async def test_a_batch_cancelled(room: "Room") -> None:
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


async def test_a_batch_of_which_nothing_can_be_read(room: "Room") -> None:
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
async def test_batches_that_are_none(room: "Room", body: dict[str, object]) -> None:
    store = await room.client.vector_stores.create()
    with pytest.raises(BadRequestError):
        await room.client.post(f"/vector_stores/{store.id}/file_batches", cast_to=VectorStoreFileBatch, body=body)


async def test_a_batch_that_there_is_not(room: "Room") -> None:
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
