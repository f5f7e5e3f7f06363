"""The fake provider, as a real client sees it: what the other tests and the benchmarks stand on."""

import subprocess
import sys
from collections.abc import AsyncIterator

import openai
import pytest

from rungwise_server.testing.upstream import FakeUpstream, Reply
from rungwise_server.types import ToolCall


@pytest.fixture
async def up() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(models=("echo", "other")) as up:
        yield up


@pytest.fixture
async def client(up: FakeUpstream) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=up.url, api_key="k", max_retries=0) as client:
        yield client


async def test_chat(up: FakeUpstream, client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "hi there"}], n=2, logprobs=True
    )
    assert [choice.message.content for choice in answer.choices] == ["hi there"] * 2
    assert answer.choices[0].logprobs is not None
    answer = await client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "hi"}], response_format={"type": "json_object"}
    )
    assert answer.choices[0].message.content == '{"echo":"hi"}'
    assert up.connections == 1


async def test_stream(up: FakeUpstream, client: openai.AsyncOpenAI) -> None:
    up.script = Reply(text="a b c", chunks=2, tool_calls=(ToolCall(0, "c", "f", '{"x": 1}'),), delay=0.001)
    said, arguments, usage = "", "", None
    async for chunk in await client.chat.completions.create(
        model="echo", messages=[], stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage
        for choice in chunk.choices:
            said += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                arguments += call.function.arguments or ""
    assert (said, arguments) == ("a b c", '{"x": 1}')
    assert usage is not None


async def test_embeddings_are_always_the_same_and_like_texts_are_near(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="e", input=["red fox", "red dog", "blue sea"], dimensions=64)
    fox, dog, sea = (each.embedding for each in answer.data)
    again = await client.embeddings.create(model="e", input="red fox", dimensions=64, encoding_format="float")
    assert fox == pytest.approx(again.data[0].embedding, abs=1e-6)
    assert sum(x * x for x in fox) == pytest.approx(1, abs=1e-5)
    assert sum(x * y for x, y in zip(fox, dog, strict=True)) > sum(x * y for x, y in zip(fox, sea, strict=True))


async def test_models_and_errors(up: FakeUpstream, client: openai.AsyncOpenAI) -> None:
    assert [model.id for model in (await client.models.list()).data] == ["echo", "other"]
    up.script = Reply(status=400, error="no", param="p")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="echo", messages=[])
    assert caught.value.param == "p"
    up.api_key = "other"
    with pytest.raises(openai.AuthenticationError):
        await client.models.list()


async def test_it_can_go_and_come_back(up: FakeUpstream, client: openai.AsyncOpenAI) -> None:
    await client.models.list()
    await up.stop()
    with pytest.raises(openai.APIConnectionError):
        await client.models.list()
    await up.start()
    await client.models.list()


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "rungwise_server.testing.upstream", "--chunks", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with openai.OpenAI(base_url=process.stdout.readline().strip(), api_key="k") as client:
                stream = client.chat.completions.create(model="m", messages=[], stream=True)
                words = [c.delta.content for chunk in stream for c in chunk.choices if c.delta.content]
            assert words == ["word "] * 3
        finally:
            process.terminate()
