"""The compliance cases of Open Responses, written anew: each answer and event against the specification's own schema,
as the package `openresponses-types` has it. Its seven cases over WebSocket are not here: no WebSocket is served.
"""

import base64
import json
import struct
import zlib
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.conformance(f"Open Responses {version('openresponses-types')}", "responses"),
]

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def _message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **more}


def _png() -> str:
    """A picture of one red pixel."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    data = part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0\xff\0\0")) + part(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def _post(served: Any, body: dict[str, Any], path: str = "responses") -> httpx.Response:
    return httpx.post(f"{served.base}/{path}", json=body, headers={"authorization": f"Bearer {served.ana}"}, timeout=60)


def _answer(served: Any, **body: Any) -> Any:
    from openresponses_types import types

    response = _post(served, {"model": "assistant", **body})
    assert response.status_code == 200, response.text
    read: BaseModel = types.ResponseResource.model_validate_json(response.text)
    assert read.model_dump()["status"] == "completed"
    assert response.json()["output"]
    return response.json()


def test_basic_text(served: Any) -> None:
    assert "hello" in json.dumps(_answer(served, input=[_message("user", "Say hello.")]))


def test_system_prompt(served: Any) -> None:
    _answer(served, input=[_message("system", "Speak like a sailor."), _message("user", "Say hello.")])


def test_image_input(served: Any) -> None:
    parts = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": _png()}]
    _answer(served, input=[_message("user", parts)])


def test_multi_turn(served: Any) -> None:
    turns = [("user", "My name is Alice."), ("assistant", "Hello Alice!"), ("user", "What is my name?")]
    _answer(served, input=[_message(role, text) for role, text in turns])


def test_tool_calling(served: Any) -> None:
    said = _answer(served, input=[_message("user", "What is the weather in Paris?")], tools=[WEATHER])
    assert "function_call" in [item["type"] for item in said["output"]]


def test_assistant_message_phase(served: Any) -> None:
    turns = [_message("user", "Begin."), _message("assistant", "Looking it up.", phase="commentary")]
    _answer(served, input=[*turns, _message("user", "Go on.")])


def test_response_output_phase(served: Any) -> None:
    said = _answer(served, input=[_message("user", "Say hello.")])
    assert {item.get("phase") for item in said["output"]} <= {None, "commentary", "final_answer"}


@pytest.mark.parametrize("case", ["streaming", "tool calling, streamed"])
def test_streaming(served: Any, case: str) -> None:
    from openresponses_types import types

    tools = [WEATHER] if case != "streaming" else []
    said = "What is the weather in Paris?" if tools else "Count from 1 to 5."
    response = _post(served, {"model": "assistant", "input": [_message("user", said)], "tools": tools, "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    read = [json.loads(event) for event in events]
    kinds = [event["type"] for event in read]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    types.ResponseResource.model_validate(read[-1]["response"])
    if tools:
        assert "response.function_call_arguments.delta" in kinds
        assert "response.function_call_arguments.done" in kinds
    named = {
        "".join(part.title() for part in kind.replace(".", "_").split("_")) + "StreamingEvent": event
        for kind, event in zip(kinds, read, strict=True)
    }
    for name, event in named.items():
        getattr(types, name).model_validate(event)


def test_compaction(served: Any) -> None:
    turns = [_message("user", "My name is Alice."), _message("assistant", "Hello Alice!")]
    response = _post(served, {"model": "assistant", "input": turns}, "responses/compact")
    assert response.status_code == 200, response.text
    compacted = response.json()
    from openresponses_types import types

    types.CompactResource.model_validate_json(response.text)
    assert compacted["output"][-1]["type"] == "compaction"
    again = _answer(served, input=[*compacted["output"], _message("user", "What is my name?")])
    assert again["status"] == "completed"


def test_compaction_without_a_model(served: Any) -> None:
    response = _post(served, {"input": "hello"}, "responses/compact")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
