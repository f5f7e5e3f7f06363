"""The legacy completions: a prompt is asked like a user's message, and the answer is strictly `text_completion`."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Completion

from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.log import inferences
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen

QUESTION = "how many days of annual leave ?"


async def ask(http: httpx.AsyncClient, **fields: Any) -> Completion:
    response = await http.post("/v1/completions", json={"model": "default", "prompt": QUESTION, **fields})
    assert response.status_code == 200, response.text
    return Completion.model_validate_json(response.text, strict=True)


async def listen(http: httpx.AsyncClient, **fields: Any) -> list[Completion]:
    body = {"model": "default", "prompt": QUESTION, "stream": True, **fields}
    response = await http.post("/v1/completions", json=body)
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], response.text
    chunks = [Completion.model_validate_json(_ended(event), strict=True) for event in events[:-2]]
    assert '"finish_reason":null' not in events[-4 if chunks[-1].usage else -3]
    return chunks


def _ended(event: str) -> str:
    """OpenAI's type is that of whole answers, which all have an end; its own streams say null before it, as ours."""
    return event.removeprefix("data: ").replace('"finish_reason":null', '"finish_reason":"stop"')


def texts(chunks: list[Completion]) -> dict[int, str]:
    said: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            said[choice.index] = said.get(choice.index, "") + choice.text
    return said


async def test_a_prompt_is_retrieved_for_routed_cited_and_logged(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog
) -> None:
    upstream.script = Reply(text="You get 25 days [1].")
    fields = {"max_tokens": 9, "temperature": 0.5, "stop": ["x"], "seed": 7, "user": "ana", "guided_regex": ".*"}
    completion = await ask(http, **fields)
    (choice,) = completion.choices
    assert (choice.text, choice.finish_reason, choice.index) == ("You get 25 days [1].", "stop", 0)
    (cited,) = choice.model_dump()["annotations"]
    assert choice.text[cited["url_citation"]["start_index"] : cited["url_citation"]["end_index"]] == "[1]"
    assert completion.usage is not None
    (row,) = await inferences(log)
    assert (row.id, row.surface, row.query) == (completion.id, "completions", QUESTION)
    assert completion.id.startswith("cmpl-")
    assert row.citations
    sent = upstream.last.json
    assert {name: sent[name] for name in fields} == fields
    assert "prompt" not in sent
    assert sent["messages"][-1]["role"] == "user"
    assert sent["messages"][-1]["content"].endswith(QUESTION)


async def test_a_stream_is_the_same_in_pieces_and_ends_with_the_usage(
    http: httpx.AsyncClient, upstream: FakeUpstream
) -> None:
    upstream.script = Reply(text="You get 25 days [1].", delay=0.001)
    chunks = await listen(http, stream_options={"include_usage": True})
    assert texts(chunks) == {0: "You get 25 days [1]."}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert any(chunk.choices[0].model_dump().get("annotations") for chunk in chunks[:-1])
    assert "usage" not in (await listen(http))[-1].model_fields_set


@pytest.mark.parametrize("stream", [False, True])
async def test_several_prompts_and_choices_come_in_order(http: httpx.AsyncClient, log: MemoryLog, stream: bool) -> None:
    prompts = [f"zebra {n}" for n in range(12)]
    if stream:
        chunks = await listen(http, prompt=prompts, n=2, stream_options={"include_usage": True})
        said, usage, first = texts(chunks), chunks[-1].usage, chunks[0]
    else:
        first = await ask(http, prompt=prompts, n=2)
        assert [choice.index for choice in first.choices] == list(range(24))
        said, usage = {choice.index: choice.text for choice in first.choices}, first.usage
    assert all(said[index].endswith(f"zebra {index // 2}") for index in range(24))
    assert len(said) == 24
    kept = await inferences(log)
    assert {row.id for row in kept} == {first.id, *(f"{first.id}-{n}" for n in range(1, 12))}
    assert usage is not None
    assert usage.completion_tokens == sum(row.usage.output_tokens for row in kept if row.usage)


@pytest.mark.parametrize("prompt", ["zebra [1]", ["zebra [1]", "okapi"]])
async def test_the_prompt_is_echoed_before_each_answer(
    http: httpx.AsyncClient, upstream: FakeUpstream, prompt: str | list[str]
) -> None:
    upstream.script = Reply(text=" is striped", finish_reason="length")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    expected = {index: prompts[index // 2] + " is striped" for index in range(2 * len(prompts))}
    whole = await ask(http, prompt=prompt, echo=True, n=2)
    assert {choice.index: choice.text for choice in whole.choices} == expected
    assert {choice.finish_reason for choice in whole.choices} == {"length"}
    assert texts(await listen(http, prompt=prompt, echo=True, n=2)) == expected


async def test_citations_of_an_echoed_prompt_count_from_its_start(
    http: httpx.AsyncClient, upstream: FakeUpstream
) -> None:
    upstream.script = Reply(text=" 25 days [1]")
    (choice,) = (await ask(http, echo=True)).choices
    at = choice.model_dump()["annotations"][0]["url_citation"]
    assert choice.text[at["start_index"] : at["end_index"]] == "[1]"


async def test_log_probabilities_in_this_wires_form(http: httpx.AsyncClient, upstream: FakeUpstream) -> None:
    upstream.script = Reply(text="one two three")
    chunks = await listen(http, logprobs=2, n=2)
    sent = upstream.last.json
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)
    for index in range(2):
        found = [c.logprobs for chunk in chunks for c in chunk.choices if c.index == index and c.logprobs]
        assert [token for each in found for token in each.tokens or []] == ["one ", "two ", "three"]
        assert [at for each in found for at in each.text_offset or []] == [0, 4, 8]
        assert [p for each in found for p in each.token_logprobs or []] == [-0.5] * 3
    whole = await ask(http, logprobs=0)
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.tokens == ["one two three"]
    assert whole.choices[0].logprobs.text_offset == [0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 65, "n": 2}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 1, "echo": True}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
        ({"model": ""}, "model"),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    http: httpx.AsyncClient, upstream: FakeUpstream, fields: dict[str, Any], param: str
) -> None:
    response = await http.post("/v1/completions", json={"model": "default", "prompt": "x", **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert not upstream.requests


async def test_what_is_their_default_is_taken(http: httpx.AsyncClient) -> None:
    nulls = dict.fromkeys(("logprobs", "echo", "stop", "n", "best_of", "stream", "stream_options"))
    await ask(http, prompt="", suffix="", tools=None, **nulls)
    await ask(http, n=2, best_of=2)


@pytest.mark.parametrize("prompt", ["one", ["one", "two", "three"]])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_has_its_real_status(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog, prompt: str | list[str], stream: bool
) -> None:
    upstream.script = Reply(status=429, error="slow down", headers={"retry-after": "7"})
    body = {"model": "default", "prompt": prompt, "stream": stream}
    response = await http.post("/v1/completions", json=body)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert "slow down" in response.json()["error"]["message"]
    assert {row.outcome for row in await inferences(log)} <= {"failed", "cancelled"}
    missing = await http.post("/v1/completions", json={**body, "model": "nobody"})
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize("prompt", ["bad", ["good", "bad", "good"]])
async def test_a_stream_that_breaks_says_so_and_still_ends(
    http: httpx.AsyncClient, upstream: FakeUpstream, log: MemoryLog, prompt: str | list[str]
) -> None:
    def script(seen: Seen) -> Reply:
        bad = "bad" in json.dumps(seen.json)
        return Reply(text="one two three four", delay=0.001, cut=3 if bad else None, reset=bad)

    upstream.script = script
    response = await http.post("/v1/completions", json={"model": "default", "prompt": prompt, "stream": True})
    events = response.text.strip().split("\n\n")
    assert response.status_code == 200
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == "stream_broken"
    assert [row.outcome for row in await inferences(log)][-1] == "broken"


async def test_of_several_prompts_one_that_fails_later_ends_the_stream(
    http: httpx.AsyncClient, upstream: FakeUpstream
) -> None:
    upstream.script = lambda seen: (
        Reply(status=500, error="boom") if "bad" in json.dumps(seen.json) else Reply(text="fine")
    )
    body = {"model": "default", "prompt": ["good", "bad"], "stream": True}
    events = (await http.post("/v1/completions", json=body)).text.strip().split("\n\n")
    assert "boom" in events[-2]
    assert events[-1] == "data: [DONE]"


async def test_openais_client_asks_streams_and_learns_of_errors(client: AsyncOpenAI) -> None:
    completion = await client.completions.create(model="default", prompt=["zebra", "okapi"])
    assert [choice.text.split()[-1] for choice in completion.choices] == ["zebra", "okapi"]
    stream = await client.completions.create(model="default", prompt="zebra", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]).endswith("zebra")
    with pytest.raises(openai.BadRequestError, match="Send the text"):
        await client.completions.create(model="default", prompt=[1, 2])
