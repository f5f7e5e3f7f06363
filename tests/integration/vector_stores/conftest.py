"""A room with a server of vector stores, a client and a worker. Whatever the server answers in it is held to the types
of OpenAI's client, strictly.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
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

    texts = TEXTS

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
