"""`/v1/moderations`, passed on to a candidate's server through openai-python."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import ModerationCreateResponse

from rungwise_server.app import create_app
from rungwise_server.bootstrap import open_moderations
from rungwise_server.config.settings import CandidateSettings, Settings
from rungwise_server.http.client import HttpClient
from rungwise_server.testing.serving import fake_parts, listening
from rungwise_server.testing.upstream import FakeUpstream, Reply

VERDICT = json.dumps(
    {
        "id": "modr-1",
        "model": "omni-moderation-latest",
        "results": [{"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.9}, "new": 1}],
    },
    indent=3,
).encode()


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[AsyncOpenAI]:
    client = HttpClient()
    moderate = open_moderations(settings, client, {"KEY": "sk-upstream-secret"})
    async with (
        listening(create_app(fake_parts(moderate=moderate))) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as openai_client,
    ):
        yield openai_client
    await client.close()


def configured(url: str) -> Settings:
    candidate = CandidateSettings(kind="openai_compatible", url=url, model="m", api_key_env="KEY")
    return Settings(candidates={"cloud": candidate}, moderations="cloud")


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(Reply(body=(VERDICT,))) as fake:
        yield fake


async def test_body_and_answer_go_through_untouched(upstream: FakeUpstream) -> None:
    async with asking(configured(upstream.url)) as client:
        raw = await client.moderations.with_raw_response.create(input=["a", "b"], extra_body={"new": [1]})
    assert raw.content == VERDICT
    assert isinstance(raw.parse(), ModerationCreateResponse)
    assert upstream.last.path == "/v1/moderations"
    assert upstream.last.json == {"input": ["a", "b"], "new": [1]}
    assert upstream.last.headers["authorization"] == "Bearer sk-upstream-secret"


async def test_a_refusal_keeps_when_to_come_back_and_hides_the_key(upstream: FakeUpstream) -> None:
    headers = {"retry-after-ms": "1500", "x-ratelimit-remaining-requests": "0"}
    upstream.script = Reply(status=429, error="sk-upstream-secret is too fast", headers=headers)
    async with asking(configured(upstream.url)) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            await client.moderations.create(input="a")
    assert refused.value.response.headers["retry-after-ms"] == "1500"
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert "sk-upstream-secret" not in refused.value.message


async def test_nobody_does_it(upstream: FakeUpstream) -> None:
    elsewhere = Settings(candidates={"vllm": CandidateSettings(kind="openai_compatible", url=upstream.url)})
    async with asking(elsewhere) as client:
        with pytest.raises(openai.NotFoundError, match="names one in `moderations`") as refused:
            await client.moderations.create(input="a")
        assert refused.value.code == "moderations_not_configured"
        with pytest.raises(openai.BadRequestError):
            await client.moderations.create(input=3)  # type: ignore[arg-type]
    assert not upstream.requests


def test_openai_itself_needs_no_configuration() -> None:
    at = "https://api.openai.com/v1"
    settings = Settings(candidates={"cloud": CandidateSettings(kind="openai_compatible", url=at)})
    assert open_moderations(settings, HttpClient(), {}) is not None
