"""A fake provider, a log, and a served engine over two passages between them."""

from collections.abc import AsyncIterator

import httpx
import pytest

from rungwise_server.engine import Engine
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def engine(upstream: FakeUpstream, log: MemoryLog) -> Engine:
    passages = [
        passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook"),
        passage("Sick leave needs a note.", "everyone", number=2, title="Sickness"),
    ]
    model = OpenAICompatible(url=upstream.url, model="up-model", api_key="sk-upstream-secret")
    return small_engine(model, passages=passages, log=log, prompt=Prompt("grounded", "Cite."))


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    async with serving(engine, MemoryIndex()) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as made:
        yield made
