"""Vector stores as OpenAI's client makes, lists, changes and deletes them; configured collections among them."""

from typing import TYPE_CHECKING

import pytest
from openai import BadRequestError, NotFoundError
from openai.types import VectorStore

if TYPE_CHECKING:
    from tests.integration.vector_stores.conftest import Room


async def test_create(room: "Room") -> None:
    metadata = {"purpose": "testing", "team": "ひと"}
    made = await room.client.vector_stores.create(name="notes", metadata=metadata, description="of meetings")
    assert made.id.startswith("vs_")
    assert (made.name, made.metadata, made.status) == ("notes", metadata, "completed")
    assert made.file_counts.total == made.usage_bytes == 0
    assert made.expires_at is None
    assert await room.client.vector_stores.retrieve(made.id) == made


async def test_create_without_a_word(room: "Room") -> None:
    made = await room.client.vector_stores.create()
    assert made.name == ""
    assert (await room.client.post("/vector_stores", cast_to=VectorStore)).name == ""


async def test_two_of_one_name_are_two(room: "Room") -> None:
    one, two = [await room.client.vector_stores.create(name="same") for _ in range(2)]
    file = await room.upload()
    await room.client.vector_stores.files.create(one.id, file_id=file)
    await room.client.vector_stores.delete(two.id)
    await room.worker.work()
    assert (await room.client.vector_stores.retrieve(one.id)).file_counts.completed == 1
    assert [store.id for store in (await room.client.vector_stores.list()).data] == [one.id, "handbook"]


async def test_pages_of_stores_end_with_the_collections(room: "Room") -> None:
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
async def test_pages_that_there_are_not(room: "Room", query: dict[str, object]) -> None:
    with pytest.raises(BadRequestError) as told:
        await room.client.vector_stores.list(extra_query=query)
    assert told.value.param == next(iter(query))


async def test_from_a_store_that_is_not_there(room: "Room") -> None:
    with pytest.raises(NotFoundError):
        await room.client.vector_stores.list(after="vs_nothing")


async def test_update_and_what_stays(room: "Room") -> None:
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


async def test_delete(room: "Room") -> None:
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


async def test_expiry_follows_the_last_use(room: "Room") -> None:
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
async def test_what_is_refused_is_named(room: "Room", body: dict[str, object], param: str) -> None:
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


async def test_a_collection_is_there_to_be_read(room: "Room") -> None:
    handbook = await room.client.vector_stores.retrieve("handbook")
    assert (handbook.name, handbook.status) == ("handbook", "completed")
    assert (handbook.model_extra or {}).get("description") == "What everybody should know."
    assert (await room.client.vector_stores.search("handbook", query="holidays")).data == []
    assert (await room.client.vector_stores.files.list("handbook")).data == []


async def test_a_collection_is_not_to_be_changed(room: "Room") -> None:
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
