"""A served engine over two passages, in front of a fake provider, and clients of it, who are ana."""

from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI

from rungwise_server.engine import Engine
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.prompt import Prompt
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving
from rungwise_server.testing.upstream import FakeUpstream
from rungwise_server.types import Caller, Passage

KEYS = {"rw-ana": Caller("ana"), "rw-bo": Caller("bo")}


@pytest.fixture
def passages() -> list[Passage]:
    return [
        passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook"),
        passage("Sick leave needs a note.", "everyone", number=2, title="Sickness"),
    ]


@pytest.fixture
def engine(upstream: FakeUpstream, log: MemoryLog, passages: list[Passage]) -> Engine:
    model = OpenAICompatible(url=upstream.url, model="up-model", api_key="sk-upstream-secret")
    return small_engine(model, passages=passages, log=log, prompt=Prompt("grounded", "Cite."))


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    async with serving(engine, MemoryIndex(), KEYS) as address:
        yield address


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers={"authorization": "Bearer rw-ana"}, timeout=30) as made:
        yield made


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="rw-ana", max_retries=0) as made:
        yield made
