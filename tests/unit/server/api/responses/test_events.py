"""Whatever a model says, in whichever pieces: the events are valid, in order, and add up to the response."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from rungwise_server.api.responses.events import Events
from rungwise_server.api.responses.extras import NONE, Extras, extras
from rungwise_server.api.responses.wire import Annotator, FileSearchCall, Logprob, Response, item_id, response_of
from rungwise_server.errors import StreamBroken, UpstreamLimited
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.upstream_wire import Reply, openai_completion, openai_events
from rungwise_server.types import Citation, Delta, ToolCall, Usage, new_id

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
PASSAGE = passage("Annual leave is 25 days.", "everyone", title="Handbook")

# Of OpenResponses' schema (2026-04-24): what must be there, and which of it may be null.
REQUIRED = {
    *("id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id"),
    *("instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p"),
    *("presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata"),
    *("safety_identifier", "prompt_cache_key", "user"),
}
NULLABLE = {
    *("completed_at", "incomplete_details", "previous_response_id", "instructions", "error", "reasoning", "usage"),
    *("max_output_tokens", "max_tool_calls", "safety_identifier", "prompt_cache_key", "user"),
}


def read(stream: bytes) -> list[dict[str, Any]]:
    events = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENT.validate_json(data.removeprefix("data: "), strict=True)
        events.append(event)
    return events


def check_response(response: dict[str, Any]) -> None:
    OpenAIResponse.model_validate_json(msgspec.json.encode(response), strict=True)
    assert set(response) >= REQUIRED
    assert {name for name in REQUIRED if response[name] is None} <= NULLABLE


class Client:
    """Puts a response together from events, and objects to those out of place."""

    def __init__(self) -> None:
        self.output: list[dict[str, Any]] = []
        self.open: set[int] = set()
        self.parts: set[tuple[int, int]] = set()
        self.last: dict[str, Any] = {}

    def take(self, number: int, event: dict[str, Any]) -> None:
        assert event["sequence_number"] == number
        assert not self.last, "an event after the last"
        kind = event["type"]
        if "item_id" in event:
            assert event["output_index"] in self.open
            assert self.output[event["output_index"]]["id"] == event["item_id"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(self.output)
            self.open.add(len(self.output))
            self.output.append(event["item"])
        elif kind == "response.output_item.done":
            place = event["output_index"]
            self.open.remove(place)
            assert not {part for part in self.parts if part[0] == place}
            mine = {
                **self.output[place],
                "status": event["item"].get("status"),
                "results": event["item"].get("results"),
            }
            assert {**event["item"], "results": event["item"].get("results")} == mine
            self.output[place] = event["item"]
        elif kind == "response.content_part.added":
            content = self.output[event["output_index"]]["content"]
            assert event["content_index"] == len(content)
            self.parts.add((event["output_index"], len(content)))
            content.append(event["part"])
        elif kind == "response.content_part.done":
            self.parts.remove((event["output_index"], event["content_index"]))
            assert self.part(event) == event["part"]
        elif kind.endswith(("output_text.delta", "reasoning_text.delta", "refusal.delta")):
            part = self.part(event)
            part["refusal" if "refusal" in part else "text"] += event["delta"]
            if "logprobs" in part:
                part["logprobs"] += event["logprobs"]
        elif kind.endswith("annotation.added"):
            annotations = self.part(event)["annotations"]
            assert event["annotation_index"] == len(annotations)
            annotations.append(event["annotation"])
        elif kind.endswith(("output_text.done", "reasoning_text.done")):
            assert self.part(event)["text"] == event["text"]
        elif kind == "response.refusal.done":
            assert self.part(event)["refusal"] == event["refusal"]
        elif kind == "response.function_call_arguments.delta":
            self.output[event["output_index"]]["arguments"] += event["delta"]
        elif kind == "response.function_call_arguments.done":
            item = self.output[event["output_index"]]
            assert (item["arguments"], item["name"]) == (event["arguments"], event["name"])
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.last = event["response"]
            assert kind == f"response.{self.last['status']}"
            assert not self.open
            assert not self.parts
            assert self.last["output"] == self.output
        else:
            assert kind in ("response.created", "response.in_progress", "error") or "file_search_call" in kind
        if "response" in event:
            check_response(event["response"])

    def part(self, event: dict[str, Any]) -> dict[str, Any]:
        assert (event["output_index"], event["content_index"]) in self.parts or event["type"].endswith("part.done")
        part: dict[str, Any] = self.output[event["output_index"]]["content"][event["content_index"]]
        return part


def events_of(search: bool = False) -> tuple[Events, bytes]:
    id = new_id("resp_")
    events = Events(Response(id, 1, "m"))
    out = events.begin()
    events.annotator = Annotator((PASSAGE,), "http://x/v1/sources/", by_file=search)
    if search:
        out += events.searched(FileSearchCall(item_id("fs", id, 0), "completed", ["leave"]))
    return events, out


texts = st.text(max_size=4)
deltas = st.tuples(
    st.builds(
        Delta,
        text=texts,
        index=st.sampled_from([0, 0, 0, 1]),
        tool_calls=st.lists(
            st.builds(ToolCall, st.integers(0, 2), st.sampled_from(["", "call_1"]), st.just("lookup"), texts),
            max_size=2,
        ).map(tuple),
        citations=st.lists(
            st.builds(Citation, st.just(PASSAGE.id), texts, st.integers(0, 9), st.integers(0, 9)), max_size=2
        ).map(tuple),
    ),
    st.one_of(
        st.just(NONE),
        st.builds(
            Extras, texts, texts, texts, st.just([]) | st.builds(Logprob, texts, st.just(-0.5)).map(lambda p: [p])
        ),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(deltas, max_size=8),
    st.sampled_from(["stop", "length", "content_filter", "tool_calls", "broken"]),
    st.booleans(),
)
def test_any_deltas_make_valid_events_that_add_up_to_the_response(
    said: list[tuple[Delta, Extras]], end: str, search: bool
) -> None:
    events, stream = events_of(search)
    for delta, beside in said:
        stream += events.delta(delta, beside)
    stream += events.fail(StreamBroken("gone")) if end == "broken" else events.finish(end, Usage(1, 2, 1))
    stream += events.end()
    client = Client()
    for number, event in enumerate(read(stream)):
        client.take(number, event)
    response = client.last
    mine = [(delta, beside) for delta, beside in said if not delta.index]
    content = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    text = "".join(part["text"] for part in content if part["type"] == "output_text")
    assert text == "".join(beside.text if beside.refusal else delta.text for delta, beside in mine)
    assert "".join(p["refusal"] for p in content if p["type"] == "refusal") == "".join(b.refusal for _, b in mine)
    thoughts = [part["text"] for item in response["output"] if item["type"] == "reasoning" for part in item["content"]]
    assert "".join(thoughts) == "".join(beside.thought for _, beside in mine)
    cited = sum(len(part.get("annotations", ())) for part in content)
    assert cited == sum(len(delta.citations) for delta, _ in mine)
    for index in range(3):
        arguments = "".join(c.arguments for d, _ in mine for c in d.tool_calls if c.index == index)
        assert not arguments or arguments in [
            i["arguments"] for i in response["output"] if i["type"] == "function_call"
        ]
    statuses = {"length": "incomplete", "content_filter": "incomplete", "broken": "failed"}
    assert response["status"] == statuses.get(end, "completed")
    assert any(item["type"] in ("message", "function_call") for item in response["output"]) or end == "broken"


def test_a_citation_that_follows_its_text_lands_on_it_though_a_call_came_with_the_text() -> None:
    events, stream = events_of()
    stream += events.delta(Delta("25 days [1]", tool_calls=(ToolCall(0, "c", "f", "{}"),)), NONE)
    stream += events.delta(Delta(citations=(Citation(PASSAGE.id, "Handbook", 8, 11),)), NONE)
    stream += events.finish("tool_calls", None) + events.end()
    output = read(stream)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    url = f"http://x/v1/sources/{PASSAGE.id}"
    cited = {"type": "url_citation", "url": url, "title": "Handbook", "start_index": 8, "end_index": 11}
    assert output[0]["content"][0]["annotations"] == [cited]


def test_a_file_is_cited_by_its_id_and_where_in_the_text() -> None:
    events, stream = events_of(search=True)
    stream += events.delta(Delta("25 days [1]", citations=(Citation(PASSAGE.id, "Handbook", 8, 11),)), NONE)
    stream += events.finish("stop", None) + events.end()
    output = read(stream)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["file_search_call", "message"]
    cited = {"type": "file_citation", "file_id": "doc-1.md", "filename": "Handbook", "index": 8}
    assert output[1]["content"][0]["annotations"] == [cited]


def test_a_failure_is_told_twice_and_keeps_what_came() -> None:
    events, stream = events_of()
    stream += events.delta(Delta("25 d"), NONE) + events.fail(UpstreamLimited("slow down")) + events.end()
    told, last = read(stream)[-2:]
    assert told["error"] == {
        "type": "rate_limit_error",
        "code": "rate_limit_exceeded",
        "message": "slow down",
        "param": None,
    }
    assert last["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert last["response"]["output"][0]["content"][0]["text"] == "25 d"


def test_obfuscated_deltas_have_one_length() -> None:
    events = Events(Response("resp_1", 1, "m"), obfuscate=True)
    out = [events.delta(Delta(text), NONE) for text in ("a", "four", "ü" * 20)]
    lengths = {len(e["delta"].encode()) + len(e["obfuscation"]) for o in out for e in read(o) if "delta" in e["type"]}
    assert {length % 32 for length in lengths} == {0}


def test_an_items_id_tells_its_response() -> None:
    id = new_id("resp_")
    assert response_of(item_id("msg", id, 3)) == id
    assert response_of("msg_nothing") != id


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_delta_does_not_carry_is_read_from_the_wire(whole: bool) -> None:
    body = {"logprobs": True, "model": "m"}
    reply = Reply(text="hello world")
    wire = openai_completion(reply, body) if whole else b"".join(list(openai_events(reply, body))[:-1])
    found = extras(wire, logprobs=True)
    assert "".join(p.token for p in found.logprobs) == "hello world"
    assert found.logprobs[0].bytes == list(found.logprobs[0].token.encode())
    assert extras(wire, logprobs=False) is NONE


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"reasoning_content": "hm"}, Extras(thought="hm")),
        ({"reasoning": "hm", "reasoning_content": "hm"}, Extras(thought="hm")),
        ({"reasoning": {"x": 1}, "content": "a"}, Extras(text="a")),
        ({"refusal": "no", "content": None}, Extras(refusal="no")),
        ({"refusal": None, "content": '"refusal": "x"'}, NONE),
    ],
)
def test_thoughts_and_refusals(said: dict[str, object], expected: Extras) -> None:
    wire = b'data: {"id":"x"}\n\ndata: ' + msgspec.json.encode({"choices": [{"index": 0, "delta": said}]}) + b"\n\n"
    assert extras(wire, logprobs=False) == expected
    assert extras(b"data: {" + wire, logprobs=False) in (NONE, Extras(), expected)
