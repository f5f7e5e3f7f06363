"""Whole completions and error bodies, as the servers that claim OpenAI's form write them."""

import msgspec
import pytest

from rungwise_server.models.openai_wire import Failure, read_completion, read_failure
from rungwise_server.testing.upstream_wire import Reply, openai_completion
from rungwise_server.types import Delta, ToolCall, Usage


def read(body: bytes) -> list[Delta]:
    deltas = read_completion(body, "chatcmpl-ours")
    assert isinstance(deltas, list)
    return deltas


def test_a_completion_is_one_delta_with_the_whole_body() -> None:
    reply = Reply(text="up-1 says hi", id="up-1", tool_calls=(ToolCall(0, "c", "f", "{}"),), usage=Usage(5, 7, 2))
    body = openai_completion(reply, {"model": "m"})
    assert read(body) == [
        Delta(
            text="up-1 says hi",
            tool_calls=(ToolCall(0, "c", "f", "{}"),),
            finish_reason="tool_calls",
            usage=Usage(5, 7, 2),
            wire=body.replace(b'"id":"up-1"', b'"id":"chatcmpl-ours"'),
            model="m",
        )
    ]


def test_other_choices_follow_without_a_wire() -> None:
    deltas = read(openai_completion(Reply(text="hi"), {"model": "m", "n": 3}))
    assert [(d.index, d.text, d.finish_reason, bool(d.wire), bool(d.usage), d.model) for d in deltas] == [
        (0, "hi", "stop", True, True, "m"),
        (1, "hi", "stop", False, False, ""),
        (2, "hi", "stop", False, False, ""),
    ]


def test_without_a_wire() -> None:
    deltas = read_completion(openai_completion(Reply(text="hi"), {"model": "m"}), "chatcmpl-ours", wire=False)
    assert isinstance(deltas, list)
    assert (deltas[0].text, deltas[0].wire) == ("hi", b"")


@pytest.mark.parametrize("id", ['"id" : "up-1",', '"id":null,', ""])
def test_ids_of_other_forms(id: str) -> None:
    body = f'{{{id}"x":{{"id":"inner"}},"choices":[{{"message":{{"content":"hi"}}}}]}}'.encode()
    wire = msgspec.json.decode(read(body)[0].wire)
    assert wire["id"] == "chatcmpl-ours"
    assert wire["x"] == {"id": "inner"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no chat completion"),
        (b"<html>", "no chat completion"),
        (b'{"choices":[]}', "no choices"),
        (b"{}", "no choices"),
        (b'{"choices":[{"message":{"content":7}}]}', "no chat completion"),
        (b'{"a":' + b"[" * 100_000, "no chat completion"),
        (b'{"id":"\xff"}', "no chat completion"),
        (b'{"error":{"message":"overloaded"}}', "overloaded"),
        (b'{"error":"model is loading"}', "model is loading"),
    ],
)
def test_what_is_no_completion(body: bytes, message: str) -> None:
    failure = read_completion(body, "chatcmpl-ours")
    assert isinstance(failure, Failure)
    assert message in failure.message


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (
            b'{"error":{"message":"bad","type":"x","param":"n","code":"too_big"}}',
            Failure("bad", param="n", code="too_big"),
        ),
        (b'{"error":{"message":"bad","code":404}}', Failure("bad", 404)),
        (b'{"error":{"message":"bad","code":7}}', Failure("bad")),
        (b'{"error":"model not found"}', Failure("model not found")),
        (b'{"object":"error","message":"too long","param":null,"code":400}', Failure("too long", 400)),
        (b'{"detail":"Not Found"}', Failure("Not Found")),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', Failure('[{"loc":["body"],"msg":"field required"}]')),
        (b"upstream connect error", Failure("upstream connect error")),
        (b"<html><body>Bad Gateway</body></html>", Failure("")),
        (b"", Failure("")),
        (b"\xff\xfe", Failure("\ufffd\ufffd")),
        (b'{"error":{"message":{"deep":1}}}', Failure('{"error":{"message":{"deep":1}}}')),
        (b"[" * 100_000, Failure("[" * 500)),
    ],
)
def test_error_bodies(body: bytes, failure: Failure) -> None:
    assert read_failure(body) == failure
