"""Streams of chunks as vendors write them: their meaning, and the bytes that go on."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.models import openai_stream
from rungwise_server.models.openai_stream import ChunkStream
from rungwise_server.testing.upstream_wire import Reply, openai_events
from rungwise_server.types import Delta, ToolCall, Usage

OURS = "chatcmpl-ours"


def chunk(delta: str = "{}", finish: str = "null", *, id: str = "up-1", index: int = 0, rest: str = "") -> bytes:
    choice = f'{{"index":{index},"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {{"id":"{id}","model":"m-1","choices":[{choice}]{rest}}}\n\n'.encode()


def said(text: str, **kwargs: int | str) -> bytes:
    return chunk(f'{{"content":{msgspec.json.encode(text).decode()}}}', **kwargs)  # type: ignore[arg-type]


def read(pieces: list[bytes], *, strip: bool = True) -> tuple[list[Delta], ChunkStream]:
    stream = ChunkStream(OURS, strip_usage=strip)
    deltas = [delta for piece in pieces for delta in stream.feed(piece)]
    if not stream.done:
        deltas += stream.finish()
    return deltas, stream


def bodies(deltas: list[Delta]) -> list[dict[str, object]]:
    wire = b"".join(delta.wire for delta in deltas)
    assert not wire or wire.endswith(b"\n\n")
    return [msgspec.json.decode(event.removeprefix(b"data: ")) for event in wire.split(b"\n\n") if event]


def meaning(deltas: list[Delta]) -> dict[int, tuple[str, str, str]]:
    """Text, arguments and end of each choice."""
    found: dict[int, tuple[str, str, str]] = {}
    for delta in deltas:
        text, arguments, finish = found.get(delta.index, ("", "", ""))
        arguments += "".join(call.arguments for call in delta.tool_calls)
        found[delta.index] = (text + delta.text, arguments, finish + delta.finish_reason)
    return found


@given(
    text=st.text(max_size=60),
    arguments=st.text(max_size=20),
    n=st.integers(1, 3),
    asked=st.booleans(),
    spaced=st.booleans(),
    end=st.sampled_from([b"\n", b"\r\n"]),
    places=st.lists(st.integers(0, 100_000), max_size=20),
)
def test_any_cut_means_the_same(
    text: str, arguments: str, n: int, asked: bool, spaced: bool, end: bytes, places: list[int]
) -> None:
    calls = (ToolCall(index=0, id="c", name="f", arguments=arguments),) if arguments else ()
    reply = Reply(text=text, tool_calls=calls, id="up-1", usage=Usage(5, 7, 2))
    events = list(openai_events(reply, {"model": "m", "n": n, "stream_options": {"include_usage": True}}))
    if spaced:
        events = [e.replace(b'"id":"up', b'"id": "up').replace(b',"usage":null', b', "usage": null') for e in events]
    data = b"".join(events).replace(b"\n", end)
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    pieces = [data[i:j] for i, j in pairwise(at)]
    deltas, stream = read(pieces, strip=not asked)
    assert stream.failure is None
    assert meaning(deltas) == dict.fromkeys(range(n), (text, arguments, "tool_calls" if calls else "stop"))
    assert [delta.usage for delta in deltas if delta.usage is not None] == [Usage(5, 7, 2)]
    assert deltas[0].model == "m"
    assert all(not (delta.finish_reason and delta.text) for delta in deltas)
    wire = bodies(deltas)
    assert all(body["id"] == OURS for body in wire)
    assert sum("usage" in body for body in wire) == (len(events) - 1 if asked else 0)
    assert b"".join(d.wire for d in deltas) == b"".join(d.wire for d in read([data], strip=not asked)[0])


WORDS = st.text(max_size=8) | st.sampled_from(["", "up-1", '"', "\\", "a text of ours", 'data: {"id":"up-1"}\n\n'])
PIECES = st.one_of(
    WORDS.map(said),
    WORDS.map(lambda text: said(text, rest=',"usage":null')),
    WORDS.map(lambda text: said(text, index=1)),
    st.sampled_from(
        [
            chunk('{"role":"assistant","content":""}'),
            chunk('{"content": "spaced"}'),
            chunk('{"content":"one","content":"two"}'),
            chunk('{"content":"one","x":{"content":"one"}}'),
            chunk('{"x":{"content":"one"},"content":"one"}'),
            chunk('{"content":[{"text":"part"}]}'),
            chunk('{"content":null,"reasoning":"why"}'),
            chunk('{"content":"half'),
            chunk('{"content":"\t"}'),
            chunk('{"content":"","tool_calls":[{"index":0,"function":{"arguments":"1"}}]}'),
        ]
    ),
)


@given(st.lists(PIECES, min_size=1, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12), st.booleans())
def test_a_chunk_means_the_same_whatever_came_before(events: list[bytes], alone: list[bool], strip: bool) -> None:
    blocks: list[bytes] = []
    for event, apart in zip(events, alone, strict=False):
        blocks = [*blocks, event] if apart or not blocks else [*blocks[:-1], blocks[-1] + event]
    stream = ChunkStream(OURS, strip_usage=strip)
    deltas = [delta for block in blocks for delta in stream.feed(block)]
    expected: list[Delta] = []
    for event in events:
        fresh = ChunkStream(OURS, strip_usage=strip)
        expected += fresh.feed(event)
        if fresh.failure is not None:
            break
    assert (stream.failure is None) == (fresh.failure is None)
    if stream.failure is None:
        assert meaning(deltas) == meaning(expected)
        assert b"".join(delta.wire for delta in deltas) == b"".join(delta.wire for delta in expected)


def test_another_content_is_not_taken_for_the_text() -> None:
    events = [said("named"), *(chunk(f'{{"x":{{"content":{other}}},"content":"one"}}') for other in ('"one"', '"two"'))]
    assert "".join(delta.text for delta in read(events)[0]) == "namedoneone"


def test_usual_chunks_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ChunkStream(OURS, strip_usage=True)
    stream.feed(said("named") + said("learnt"))
    monkeypatch.setattr(openai_stream, "decode", None)
    (delta,) = stream.feed(said("like") + said('"that"'))
    assert delta.text == 'like"that"'
    assert [body["id"] for body in bodies([delta])] == [OURS, OURS]


def test_what_came_together_shares_a_delta_and_the_end_stands_alone() -> None:
    data = said("a") + said("b") + said("c", finish='"length"') + b"data: [DONE]\n\n"
    deltas, stream = read([data])
    assert [(delta.text, delta.finish_reason) for delta in deltas] == [("ab", ""), ("c", "length")]
    assert stream.done


def test_choices_do_not_share_a_delta() -> None:
    deltas, _ = read([said("a") + said("x", index=1) + said("b") + said("c")])
    assert [(delta.index, delta.text) for delta in deltas] == [(0, "a"), (1, "x"), (0, "bc")]


def test_a_chunk_with_two_choices_becomes_two() -> None:
    choices = '[{"index":0,"delta":{"content":"a"},"logprobs":[1.50]},{"index":1,"delta":{"content":"b"}}]'
    both = f'data: {{"id":"up-1","model":"m","x":1,"choices":{choices},"usage":{{"prompt_tokens":1}}}}\n\n'.encode()
    deltas, _ = read([both])
    assert [(delta.index, delta.text, delta.usage) for delta in deltas] == [(0, "a", Usage(1, 0)), (1, "b", None)]
    first, second = bodies(deltas)
    assert first["usage"] == {"prompt_tokens": 1}
    assert second == {"id": OURS, "model": "m", "x": 1, "choices": [{"index": 1, "delta": {"content": "b"}}]}
    assert b"1.50" in deltas[0].wire


def test_usage_in_the_last_content_chunk_stays_where_it_is() -> None:
    usage = ',"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":null}'
    deltas, _ = read([chunk("{}", '"stop"', rest=usage)])
    assert deltas[0].usage == Usage(3, 2, 0)
    assert "usage" in bodies(deltas)[0]


def test_text_that_quotes_the_id_stays() -> None:
    quoting = '{"id":"up-1"} and "id": "up-1"'
    deltas, _ = read([said(quoting), said(quoting)])
    assert "".join(delta.text for delta in deltas) == quoting * 2
    for body in bodies(deltas):
        assert body["choices"][0]["delta"]["content"] == quoting  # type: ignore[index]


def test_only_the_chunks_own_id_is_replaced() -> None:
    deltas, _ = read([chunk('{"tool_calls":[{"index":0,"id":"up-1","function":{"name":"f"}}]}')])
    assert bodies(deltas)[0]["id"] == OURS
    assert b'"index":0,"id":"up-1"' in deltas[0].wire


@pytest.mark.parametrize("id", ["", "ü-1", 'a"b', "\\"])
def test_ids_that_are_no_plain_text(id: str) -> None:
    event = b'data: {"choices":[{"delta":{"content":"a"}}],"id":%s}\n\n' % msgspec.json.encode(id)
    escaped = event.replace("ü".encode(), b"\\u00fc")
    deltas, _ = read([event, escaped])
    assert [body["id"] for body in bodies(deltas)] == [OURS, OURS]


@pytest.mark.parametrize("id", ["", '"id":null,'])
@pytest.mark.parametrize("space", ["", " "])
def test_no_id_gets_ours(id: str, space: str) -> None:
    deltas, _ = read([f'data:{space}{{{id}"choices":[{{"delta":{{"content":"a"}}}}]}}\n\n'.encode()])
    assert deltas[0].wire.startswith(b"data:")
    assert msgspec.json.decode(deltas[0].wire[5:])["id"] == OURS


def test_an_id_that_changes() -> None:
    """Azure's first chunk has an empty one."""
    first = b'data: {"choices":[],"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    deltas, stream = read([first, said("a"), said("b", id="up-2"), chunk("{}", '"stop"')])
    assert [body["id"] for body in bodies(deltas)] == [OURS] * 4
    assert "prompt_filter_results" in bodies(deltas)[0]
    assert [delta.model for delta in deltas] == ["", "m-1", "", ""]
    assert stream.failure is None


@pytest.mark.parametrize("event", [b'{"id":"up-1","x":1}', b'{"id":"up-1","choices":null}', b"{}"])
def test_events_without_choices_go_on(event: bytes) -> None:
    deltas, stream = read([b"data: " + event + b"\n\n", said("a", finish='"stop"')])
    assert [delta.text for delta in deltas] == ["", "a"]
    assert [body["id"] for body in bodies(deltas)] == [OURS, OURS]
    assert stream.failure is None


def test_what_vendors_add_goes_on_untouched() -> None:
    event = chunk(
        '{"reasoning_content":"hm","content":null,"x":[1, 2]}', rest=',"x_groq":{"a":1},"system_fingerprint":null'
    )
    deltas, _ = read([event])
    assert deltas[0].wire == event.replace(b"up-1", OURS.encode())
    assert deltas[0].text == ""


def test_comments_names_and_lines() -> None:
    event = b': ping\n\nevent: message\ndata: {"id":"up-1",\ndata: "choices":[{"delta":{"content":"a"}}]}\n\n'
    deltas, _ = read([b": OPENROUTER PROCESSING\n\n" + event])
    assert [delta.text for delta in deltas] == ["a"]
    assert bodies(deltas)[0]["id"] == OURS


def test_parts_and_refusals_are_text() -> None:
    parts = chunk('{"content":[{"type":"text","text":"a"},{"type":"thinking"}]}')
    deltas, _ = read([parts, chunk('{"refusal":"no","content":null}')])
    assert "".join(delta.text for delta in deltas) == "ano"


def test_tool_calls_without_an_index() -> None:
    deltas, _ = read([chunk('{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}')])
    assert deltas[0].tool_calls == (ToolCall(0, "c", "f", "{}"),)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'data: {"error":{"message":"out of memory","code":500}}\n\n', "out of memory"),
        (b'data: {"error":"boom"}\n\n', "boom"),
        (b'event: error\ndata: {"message":"boom"}\n\n', "boom"),
        (b"data: {nonsense\n\n", "no chunk"),
        (b"data: [1]\n\n", "no chunk"),
        (b'data: {"choices":[{"delta":{"content":7}}]}\n\n', "no chunk"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "no chunk"),
        (b'data: {"x":' + b"[" * 100_000 + b"\n\n", "no chunk"),
        (b'data: {"id":"\xff"}\n\n', "no chunk"),
    ],
)
def test_errors_in_the_stream(event: bytes, message: str) -> None:
    """What stood before them is returned, what comes after them is not."""
    deltas, stream = read([said("a") + event + said("b")])
    assert [delta.text for delta in deltas] == ["a"]
    assert stream.failure is not None
    assert message in stream.failure.message


@pytest.mark.parametrize(
    ("events", "complete"),
    [
        ([said("a")], False),
        ([said("a"), chunk("{}", '"stop"')], True),
        ([said("a"), said("b", index=1), chunk("{}", '"stop"')], False),
        ([said("a"), said("b", index=1), chunk("{}", '"stop"'), chunk("{}", '"stop"', index=1)], True),
        ([said("a"), b"data: [DONE]\n\n"], True),
        ([said("a"), b"data: [DONE]"], True),
        ([said("a"), chunk("{}", '"stop"')[:-2]], True),
        ([said("a", finish='""')], False),
        ([said("a")[:-10]], False),
    ],
)
def test_where_a_stream_may_end(events: list[bytes], complete: bool) -> None:
    _, stream = read(events)
    assert stream.complete is complete
    assert (stream.failure is None) is complete
