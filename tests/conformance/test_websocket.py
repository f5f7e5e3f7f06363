"""Open Responses over a WebSocket: its seven compliance cases, written anew, by the `websockets` client."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.conformance(f"Open Responses {version('openresponses-types')}", "responses over WebSocket"),
]


class Connection:
    """Sends turns and reads their events to the last."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": "response.create", "model": "assistant", **fields}))

    def turn(self, **fields: Any) -> Any:
        """The last event of a turn: the response's end, or an error."""
        self.send(**fields)
        return self.end()

    def end(self) -> Any:
        ends = ("response.completed", "response.failed", "response.incomplete", "error")
        number = 0
        while True:
            event = json.loads(self.socket.recv(timeout=30))
            if "status" not in event:
                assert event["sequence_number"] == number
                number += 1
            if event["type"] in ends:
                return event


@contextmanager
def _connected(served: Any, key: str = "") -> Iterator[Connection]:
    url = served.base.replace("http://", "ws://") + "/responses"
    headers = {"authorization": f"Bearer {key or served.ana}"}
    with connect(url, additional_headers=headers, proxy=None) as socket:
        yield Connection(socket)


def _completed(event: Any) -> Any:
    from openresponses_types import types

    assert event["type"] == "response.completed", event
    types.ResponseResource.model_validate(event["response"])
    return event["response"]


def _code(event: Any) -> str:
    assert event["type"] == "error", event
    assert isinstance(event["status"], int)
    assert set(event["error"]) == {"message", "type", "param", "code"}
    return str(event["error"]["code"])


def test_a_response(served: Any) -> None:
    with _connected(served) as connection:
        response = _completed(connection.turn(input=[{"type": "message", "role": "user", "content": "Say hello."}]))
    assert "Say hello." in json.dumps(response["output"])


def test_sequential_responses(served: Any) -> None:
    with _connected(served) as connection:
        connection.send(input="the first")
        connection.send(input="the second")
        said = [json.dumps(_completed(connection.end())["output"]) for _ in range(2)]
    assert "the first" in said[0]
    assert "the second" in said[1]


def test_continuation_of_what_is_not_stored(served: Any) -> None:
    with _connected(served) as connection:
        first = _completed(connection.turn(input="The word is cobalt.", store=False))
        second = _completed(connection.turn(input="Which word?", previous_response_id=first["id"], store=False))
        assert second["previous_response_id"] == first["id"]
    gone = httpx.get(f"{served.base}/responses/{first['id']}", headers={"authorization": f"Bearer {served.ana}"})
    assert gone.status_code == 404


def test_another_connection_does_not_know_it_and_goes_on(served: Any) -> None:
    with _connected(served) as connection:
        first = _completed(connection.turn(input="A seed.", store=False))
    with _connected(served) as connection:
        asked = {"input": "Go on.", "previous_response_id": first["id"], "store": False}
        assert _code(connection.turn(**asked)) == "previous_response_not_found"
        _completed(connection.turn(input="A fresh start.", store=False))


def test_a_missing_previous_response(served: Any) -> None:
    with _connected(served) as connection:
        asked = {"input": "This fails.", "previous_response_id": "resp_missing", "store": False}
        assert _code(connection.turn(**asked)) == "previous_response_not_found"


def test_a_failed_continuation_forgets_what_it_continued(served: Any) -> None:
    with _connected(served) as connection:
        first = _completed(connection.turn(input="The word is ember.", store=False))
        orphan = [{"type": "function_call_output", "call_id": "call_orphan", "output": "?"}]
        again = {"previous_response_id": first["id"], "store": False}
        assert _code(connection.turn(input=orphan, **again))
        assert _code(connection.turn(input="Go on.", **again)) == "previous_response_not_found"


def test_a_chain_from_a_compacted_conversation(served: Any) -> None:
    turns = [{"role": "user", "content": "My name is Alice."}, {"role": "assistant", "content": "Hello Alice!"}]
    compacted = httpx.post(
        f"{served.base}/responses/compact",
        json={"model": "assistant", "input": turns},
        headers={"authorization": f"Bearer {served.ana}"},
        timeout=30,
    ).json()
    with _connected(served) as connection:
        asked = [*compacted["output"], {"role": "user", "content": "Go on."}]
        first = _completed(connection.turn(input=asked, store=False))
        _completed(connection.turn(input="And on.", previous_response_id=first["id"], store=False))


def test_a_wrong_key_and_what_is_no_turn(served: Any) -> None:
    with _connected(served, "rw-wrong") as connection:
        assert _code(connection.end()) == "invalid_api_key"
    with _connected(served) as connection:
        connection.socket.send("no JSON")
        assert _code(connection.end()) == "invalid_json"
        connection.socket.send(json.dumps({"type": "session.update"}))
        assert connection.end()["error"]["param"] == "type"
        assert connection.turn(input="hello", background=True)["error"]["param"] == "background"
        _completed(connection.turn(input="hello"))


def test_a_stored_response_of_somebody_else_is_not_there(served: Any) -> None:
    with _connected(served) as connection:
        hers = _completed(connection.turn(input="Mine."))
    with _connected(served, served.bo) as connection:
        asked = {"input": "Go on.", "previous_response_id": hers["id"]}
        assert _code(connection.turn(**asked)) == "previous_response_not_found"
