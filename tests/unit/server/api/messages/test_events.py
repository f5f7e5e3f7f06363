"""Over generated streams: Anthropic's rules for events hold, and they add up to the whole message."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.api.messages.events import Events
from rungwise_server.api.messages.wire import Citing, MessageUsage
from rungwise_server.testing.retriever import passage
from rungwise_server.types import Citation, ToolCall

PASSAGES = [passage(f"text {n}", "everyone", number=n) for n in range(3)]
STEPS = st.lists(
    st.text(min_size=1, max_size=5)
    | st.builds(Citation, st.sampled_from([*(p.id for p in PASSAGES), "unknown"]), st.just("T"), st.just(0), st.just(1))
    | st.builds(ToolCall, st.integers(0, 2), st.just("id"), st.just("f"), st.text(max_size=5)),
    max_size=12,
)


def written(steps: Sequence[str | Citation | ToolCall]) -> list[dict[str, Any]]:
    events, citing = Events(), Citing(PASSAGES, "https://x.example/")
    out = events.start("msg_1", "m")
    for step in steps:
        if isinstance(step, str):
            out += events.text(step)
        elif isinstance(step, Citation):
            out += events.citations(citing.new([step]))
        else:
            out += events.call(step)
    out += events.end("end_turn", None, MessageUsage(1, 2))
    return [json.loads(e.split(b"\ndata: ")[1]) for e in out.removesuffix(b"\n\n").split(b"\n\n")]


@settings(deadline=None)
@given(steps=STEPS)
def test_blocks_are_started_and_stopped_once_in_order_and_nothing_is_lost(
    steps: list[str | Citation | ToolCall],
) -> None:
    events = written(steps)
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    started = [e["index"] for e in events if e["type"] == "content_block_start"]
    stopped = [e["index"] for e in events if e["type"] == "content_block_stop"]
    assert started == stopped == list(range(len(started)))
    kinds = {e["index"]: e["content_block"]["type"] for e in events if e["type"] == "content_block_start"}
    opened: set[int] = set()
    text = arguments = ""
    for event in events:
        if event["type"] == "content_block_start":
            opened.add(event["index"])
        if event["type"] != "content_block_delta":
            continue
        assert event["index"] in opened
        delta = event["delta"]
        assert (delta["type"] == "input_json_delta") == (kinds[event["index"]] == "tool_use")
        text += delta.get("text", "")
        arguments += delta.get("partial_json", "")
    assert text == "".join(step for step in steps if isinstance(step, str))
    assert arguments == "".join(step.arguments for step in steps if isinstance(step, ToolCall))
    called = {step.index for step in steps if isinstance(step, ToolCall)}
    assert list(kinds.values()).count("tool_use") == len(called)
