"""`rewrite_query`: a model makes a short query of what a person asks, and a search goes on without it."""

import httpx
import msgspec
import pytest

from rungwise_server.api.vector_stores.rewrite import rewrite
from rungwise_server.app import create_app
from rungwise_server.engine import Engine
from rungwise_server.log.memory import MemoryLog
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import inferences
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import Caller

ASKED = "  Hello! Could you perhaps tell me how high the main office building is?\n"
TRIMMED = ASKED.strip()


@pytest.fixture
def engine(upstream: FakeUpstream, log: MemoryLog) -> Engine:
    """Answers with a model that nobody asks here, and housekeeping with one at the upstream."""
    cheap = OpenAICompatible(url=upstream.url, model="up-model")
    return small_engine(ScriptedModel([]), others={"cheap": cheap}, passages=[], log=log)


async def searched(engine: Engine, query: object) -> list[str]:
    """What a served search with `rewrite_query` searched for."""
    app = create_app(fake_parts(engine, collections={"handbook": ""}))
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as http:
        body = {"query": query, "rewrite_query": True}
        answered = await http.post("/v1/vector_stores/handbook/search", json=body)
        assert answered.status_code == 200, answered.text
        queries: list[str] = answered.json()["search_query"]
        return queries


async def test_the_cheapest_model_that_writes_is_asked(upstream: FakeUpstream, log: MemoryLog, engine: Engine) -> None:
    upstream.script = lambda _: Reply(text=' "height main office building" \n')
    assert await searched(engine, [ASKED, "and its width"]) == ["height main office building"] * 2
    asked = upstream.requests[0].json["messages"]
    assert [message["role"] for message in asked] == ["user"]
    assert asked[0]["content"].startswith("### Task:\n")
    assert f"<query>\n{TRIMMED}\n</query>" in asked[0]["content"]
    logged = (await inferences(log))[0]
    assert (logged.surface, logged.candidate) == ("vector_stores.search", "cheap")
    assert logged.housekeeping
    assert logged.passages == ()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, error="down"),
        Reply(text=" \n"),
        Reply(text="The main office building is 80 metres high. " * 10),
        Reply(text="height main office building\nI hope this helps!"),
        Reply(raw=b""),
    ],
    ids=["failing", "empty", "long", "talkative", "broken off"],
)
async def test_what_is_no_query_leaves_the_query_as_it_was(
    upstream: FakeUpstream, engine: Engine, reply: Reply
) -> None:
    upstream.script = lambda _: reply
    assert await searched(engine, ASKED) == [TRIMMED]
    assert upstream.requests


async def test_a_search_does_not_wait_for_long(upstream: FakeUpstream, log: MemoryLog, engine: Engine) -> None:
    upstream.script = lambda _: Reply(hang=float("inf"))
    assert await rewrite(ASKED, engine, Caller(), seconds=0.05) == TRIMMED
    assert [row.outcome for row in await inferences(log)] == ["cancelled"]


async def test_without_a_model_that_writes_nobody_is_asked(upstream: FakeUpstream, engine: Engine) -> None:
    picking = {name: msgspec.structs.replace(c, generates=False) for name, c in engine.candidates.items()}
    assert await searched(Engine(engine.workloads, picking, {}, MemoryLog()), ASKED) == [TRIMMED]
    assert not upstream.requests


async def test_without_a_workload_the_query_is_trimmed() -> None:
    assert await rewrite(ASKED, Engine({}, {}, {}, MemoryLog()), Caller()) == TRIMMED
