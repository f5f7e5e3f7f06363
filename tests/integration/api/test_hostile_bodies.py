"""Whatever a client sends, the answer is 200 or a 4xx in OpenAI's shape, and the next request is served."""

from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retrieval_index import MemoryIndex
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import serving

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "wizard"])
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url", "?"])}, optional={"text": JSON}), max_size=3
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": ROLES | JSON}, optional={"content": st.text(max_size=30) | PARTS | JSON, "tool_calls": JSON}
    ),
    max_size=4,
)
FIELDS = ("stream", "n", "tools", "response_format", "logprobs", "stream_options", "stop", "seed", "max_tokens", "odd")
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["default", "strong", "nobody"]) | JSON, "messages": MESSAGES | JSON},
    optional=dict.fromkeys(FIELDS, JSON),
)
COMPLETIONS = st.fixed_dictionaries(
    {"model": st.just("default"), "prompt": st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=3) | JSON},
    optional=dict.fromkeys((*FIELDS, "echo", "suffix", "best_of"), JSON),
)
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "?"])},
        optional=dict.fromkeys(("text", "source", "id", "name", "input", "tool_use_id", "content"), JSON),
    ),
    max_size=3,
)
ANTHROPIC = st.fixed_dictionaries(
    {
        "model": st.just("default"),
        "max_tokens": st.integers(-1, 9) | JSON,
        "messages": st.lists(
            st.fixed_dictionaries({"role": ROLES | JSON, "content": st.text(max_size=9) | BLOCKS | JSON}), max_size=3
        )
        | JSON,
    },
    optional=dict.fromkeys(("stream", "system", "tools", "tool_choice", "stop_sequences", "metadata", "odd"), JSON),
)
FEEDBACK = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("inference_id", "kind", "value", "text", "over", "passage_id", "reasons", "id"), JSON)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies=st.lists(BODIES, min_size=1, max_size=8), feedback=FEEDBACK, raw=st.binary(max_size=60))
async def test_no_body_is_the_servers_fault(bodies: list[dict[str, Any]], feedback: dict[str, Any], raw: bytes) -> None:
    engine = small_engine(ScriptedModel(), passages=[passage("some words", "everyone")])
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(base_url=url) as http:
        responses = [await http.post("/v1/chat/completions", json=body) for body in bodies]
        responses.append(await http.post("/v1/chat/completions", content=raw))
        responses.append(await http.post("/v1/feedback", json=feedback))
        responses.append(await http.post("/v1/feedback", content=raw))
        for response in responses:
            assert response.status_code in (200, 201) or 400 <= response.status_code < 500, response.text
            if response.status_code >= 400:
                assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    completions=st.lists(COMPLETIONS, min_size=1, max_size=4),
    messages=st.lists(ANTHROPIC, min_size=1, max_size=4),
    raw=st.binary(max_size=60),
)
async def test_nor_is_one_in_another_wire(
    completions: list[dict[str, Any]], messages: list[dict[str, Any]], raw: bytes
) -> None:
    engine = small_engine(ScriptedModel(), passages=[passage("some words", "everyone")])
    async with serving(engine, MemoryIndex()) as url, httpx.AsyncClient(base_url=url) as http:
        for path, bodies in (("/v1/completions", completions), ("/v1/messages", messages)):
            responses = [await http.post(path, json=body) for body in bodies]
            responses.append(await http.post(path, content=raw))
            for response in responses:
                assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
                if response.status_code >= 400:
                    own = {"message", "type"} if path == "/v1/messages" else {"message", "type", "param", "code"}
                    assert set(response.json()["error"]) == own
