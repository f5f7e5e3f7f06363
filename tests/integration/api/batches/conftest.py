"""A server and a worker of batches, before a scripted upstream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from rungwise_pipelines.work.crew import open_worker
from rungwise_server import bootstrap
from rungwise_server.app import create_app
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import Settings
from rungwise_server.database import Database
from rungwise_server.keeping import BlobStore, JobQueue, KeptStore
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, echo
from rungwise_server.types import Caller

KEYS = {
    "ana-key": Caller("ana", frozenset({"finance"})),
    "ben-key": Caller("ben", frozenset()),
}
TINY = Path(__file__).parents[3] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
CHAT: Final = "/v1/chat/completions"


class Bench:
    """A server and, when a test says so, a worker beside it."""

    def __init__(self, settings: Settings, url: str, database: Database, upstream: FakeUpstream) -> None:
        self.settings, self.url, self.database, self.upstream = settings, url, database, upstream
        self.kept: KeptStore = bootstrap.open_kept(database)
        self.blobs: BlobStore = bootstrap.open_blobs(settings)
        self.queue: JobQueue = bootstrap.open_queue(database)
        self.ana = self.client("ana-key")

    def client(self, key: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, _strict_response_validation=True)

    async def work(self) -> None:
        """Do all that waits."""
        async with open_worker(self.settings) as worker:
            await worker.run(asyncio.Event(), until_idle=True)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with open_worker(self.settings) as worker:
            task = asyncio.create_task(worker.run(stop))
            try:
                yield
            finally:
                stop.set()
                await task

    async def create(self, lines: str, endpoint: Any = CHAT, **more: Any) -> Batch:
        file = await self.ana.files.create(file=("in.jsonl", lines.encode()), purpose="batch")
        return await self.ana.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)

    async def done(self, lines: str, endpoint: Any = CHAT, **more: Any) -> Batch:
        batch = await self.create(lines, endpoint, **more)
        await self.work()
        return await self.ana.batches.retrieve(batch.id)

    async def rows(self, file_id: str | None) -> list[dict[str, Any]]:
        assert file_id
        content = await self.ana.files.content(file_id)
        return [json.loads(line) for line in content.text.splitlines()]

    async def until(self, batch: Batch, *states: str) -> Batch:
        async with asyncio.timeout(20):
            while (batch := await self.ana.batches.retrieve(batch.id)).status not in states:
                await asyncio.sleep(0.02)
        return batch


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with FakeUpstream(echo) as upstream:
        config = tmp_path / "rungwise.yaml"
        config.write_text(
            f"embedder: {{kind: onnx, path: {TINY}}}\nbatches: {{max_requests: 50, concurrency: 4}}\n"
            f"candidates:\n  fake: {{kind: openai_compatible, url: '{upstream.url}', model: echo}}\n"
            "workloads:\n  default: {candidates: [fake]}\n"
        )
        settings = load_settings(config, {"RUNGWISE_HOME": str(tmp_path / "home")})
        database = await bootstrap.open_house_database(settings)
        parts = fake_parts(
            keys=KEYS,
            kept=bootstrap.open_kept(database),
            blobs=bootstrap.open_blobs(settings),
            queue=bootstrap.open_queue(database),
        )
        async with listening(create_app(parts)) as url:
            yield Bench(settings, url, database, upstream)
        database.close()
