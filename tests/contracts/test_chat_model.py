"""Every `ChatModel` passes one suite: the fake, and the real ones against a real upstream."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from rungwise_server.errors import StreamBroken, UpstreamError
from rungwise_server.models.fallback import Fallback
from rungwise_server.models.litellm import LiteLLM
from rungwise_server.models.openai_compatible import OpenAICompatible
from rungwise_server.protocols import ChatModel
from rungwise_server.testing.models import ChatModelContract, ScriptedModel
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import Delta, ToolCall

LOOKUP = ToolCall(index=0, id="call_1", name="lookup", arguments='{"q": "x"}')


class TestScripted(ChatModelContract):
    @pytest.fixture
    def echo(self) -> ChatModel:
        return ScriptedModel()

    @pytest.fixture
    def caller(self) -> ChatModel:
        return ScriptedModel([Delta(tool_calls=(LOOKUP,)), Delta(finish_reason="tool_calls")])

    @pytest.fixture
    def failing(self) -> ChatModel:
        return ScriptedModel([UpstreamError("down")])

    @pytest.fixture
    def breaking(self) -> ChatModel:
        return ScriptedModel(["some text", StreamBroken("gone")])

    @pytest.fixture
    def slow(self) -> ChatModel:
        self.model = ScriptedModel(["word ", 60.0, "late"])
        return self.model

    async def left(self) -> bool:
        return self.model.closed == 1


class Make(Protocol):
    def __call__(self, up: FakeUpstream) -> ChatModel: ...


class UpstreamContract(ChatModelContract):
    """The suite for models behind a URL; `make` says which."""

    make: Make

    @pytest.fixture
    async def up(self) -> AsyncIterator[FakeUpstream]:
        async with FakeUpstream() as up:
            self.upstream = up
            yield up

    def answering(self, up: FakeUpstream, script: Reply) -> ChatModel:
        up.script = script
        return self.make(up)

    @pytest.fixture
    def echo(self, up: FakeUpstream) -> ChatModel:
        up.script = echo
        return self.make(up)

    @pytest.fixture
    def caller(self, up: FakeUpstream) -> ChatModel:
        return self.answering(up, Reply(tool_calls=(LOOKUP,)))

    @pytest.fixture
    def failing(self, up: FakeUpstream) -> ChatModel:
        return self.answering(up, Reply(status=500, error="no memory"))

    @pytest.fixture
    def breaking(self, up: FakeUpstream) -> ChatModel:
        return self.answering(up, Reply(text="a b c d e f", delay=0.001, cut=5))

    @pytest.fixture
    def slow(self, up: FakeUpstream) -> ChatModel:
        return self.answering(up, Reply(text="word " * 500, delay=0.05))

    async def left(self) -> bool:
        seen: Seen = self.upstream.last
        return await self.upstream.left(seen)


class TestOpenAICompatible(UpstreamContract):
    def make(self, up: FakeUpstream) -> ChatModel:
        return OpenAICompatible(url=up.url, model="echo")


class TestFallback(UpstreamContract):
    def make(self, up: FakeUpstream) -> ChatModel:
        down = ScriptedModel([UpstreamError("down")])
        return Fallback([("down", down), ("up", OpenAICompatible(url=up.url, model="echo"))])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestLiteLLMOpenAI(UpstreamContract):
    def make(self, up: FakeUpstream) -> ChatModel:
        return LiteLLM("openai/echo", url=up.url, api_key="key-of-the-test")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestLiteLLMAnthropic(UpstreamContract):
    def make(self, up: FakeUpstream) -> ChatModel:
        return LiteLLM("anthropic/claude-sonnet-4-5", url=up.origin, api_key="key-of-the-test")
