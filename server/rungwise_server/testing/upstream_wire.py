"""What the fake upstream says: a `Reply`, written as OpenAI's or Anthropic's wire, streaming or not."""

import base64
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from rungwise_server.types import ToolCall, Usage

CREATED = 1_700_000_000


class Reply(Struct, frozen=True, kw_only=True):
    """One scripted answer. Everything left open is made up from the request, the same way each time."""

    text: str = ""
    chunks: int = 0
    """Pieces that a streamed text comes in; 0: one a word."""
    delay: float = 0.0
    """Seconds between two pieces; 0: all in one write."""
    together: int = 1
    """Pieces in one write, where there is a `delay`: it is then between two writes."""
    hang: float = 0.0
    """Seconds before the first byte; infinity: it never comes."""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    id: str = "chatcmpl-fake"
    status: int = 200
    error: str = ""
    """Message of an error; with `status` 200 it comes as an event after the text."""
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = {}
    body: tuple[bytes, ...] | None = None
    """Pieces of a body, sent verbatim in place of all that is above."""
    raw: bytes | None = None
    """Bytes for the socket in place of an HTTP response; then the connection ends."""
    until_close: bool = False
    """The body has neither a length nor chunks: it ends with the connection."""
    cut: int | None = None
    """The connection ends after so many pieces of the body."""
    reset: bool = False
    """A `cut` is a reset (RST), not an orderly end."""
    keep_alive: float | None = None
    """Seconds after the answer at which the connection is closed."""


def encode(value: object) -> bytes:
    """Compact JSON."""
    return msgspec.json.encode(value)


def last_user(body: Mapping[str, Any]) -> str:
    """The text of the last user message, in OpenAI's or Anthropic's form."""
    for message in reversed(body.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""


def pieces_of(text: str, count: int) -> list[str]:
    """`text` cut into `count` pieces of about one length, or after each blank."""
    if count:
        size = max(1, -(-len(text) // count))
        return [text[i : i + size] for i in range(0, len(text), size)]
    return re.findall("[^ ]* |[^ ]+", text)


def error_body(message: str, kind: str, param: str | None, code: str | None) -> bytes:
    """OpenAI's error object."""
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def usage_of(reply: Reply, body: Mapping[str, Any]) -> Usage:
    """The reply's usage, or one token a word."""
    if reply.usage is not None:
        return reply.usage
    words = len(last_user(body).split())
    return Usage(input_tokens=words, output_tokens=len(reply.text.split()) * int(body.get("n") or 1))


def openai_usage(usage: Usage) -> dict[str, object]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _logprobs(text: str) -> dict[str, object]:
    return {"content": [{"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}]}


def _calls(calls: tuple[ToolCall, ...]) -> list[dict[str, object]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]


def openai_completion(reply: Reply, body: Mapping[str, Any]) -> bytes:
    """A whole `chat.completion`."""
    message: dict[str, object] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = _calls(reply.tool_calls)
    finish = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    choices = [
        {
            "index": index,
            "message": message,
            "logprobs": _logprobs(reply.text) if body.get("logprobs") else None,
            "finish_reason": finish,
        }
        for index in range(int(body.get("n") or 1))
    ]
    return encode(
        {
            "id": reply.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": body.get("model", ""),
            "choices": choices,
            "usage": openai_usage(usage_of(reply, body)),
        }
    )


def openai_events(reply: Reply, body: Mapping[str, Any]) -> Iterator[bytes]:
    """A stream of `chat.completion.chunk` events, `[DONE]` last. Choices take turns, word by word."""
    options = body.get("stream_options") or {}
    count = b',"usage":null' if options.get("include_usage") else b""
    head = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"choices":[' % (
        encode(reply.id),
        CREATED,
        encode(body.get("model", "")),
    )
    tail = b"]" + count + b"}\n\n"
    indices = range(int(body.get("n") or 1))

    def event(index: int, delta: bytes, finish: bytes = b"null", logprobs: bytes = b"null") -> bytes:
        choice = b'{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s}' % (index, delta, logprobs, finish)
        return head + choice + tail

    for index in indices:
        yield event(index, b'{"role":"assistant","content":""}')
    for piece in pieces_of(reply.text, reply.chunks):
        logprobs = encode(_logprobs(piece)) if body.get("logprobs") else b"null"
        delta = b'{"content":%s}' % encode(piece)
        for index in indices:
            yield event(index, delta, logprobs=logprobs)
    for number, call in enumerate(reply.tool_calls):
        start = {"index": number, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        for index in indices:
            yield event(index, encode({"tool_calls": [start]}))
            for piece in pieces_of(call.arguments, 3):
                yield event(index, encode({"tool_calls": [{"index": number, "function": {"arguments": piece}}]}))
    if reply.error:
        yield b"data: " + error_body(reply.error, "server_error", reply.param, reply.code) + b"\n\n"
        yield b"data: [DONE]\n\n"
        return
    finish = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    for index in indices:
        yield event(index, b"{}", encode(finish))
    if count:
        yield head + b'],"usage":' + encode(openai_usage(usage_of(reply, body))) + b"}\n\n"
    yield b"data: [DONE]\n\n"


def _anthropic_usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def anthropic_message(reply: Reply, body: Mapping[str, Any]) -> bytes:
    """A whole message of Anthropic's `/v1/messages`."""
    content: list[dict[str, object]] = [{"type": "text", "text": reply.text}] if reply.text else []
    for call in reply.tool_calls:
        arguments = msgspec.json.decode(call.arguments or "{}")
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return encode(
        {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", ""),
            "content": content,
            "stop_reason": reply.finish_reason or ("tool_use" if reply.tool_calls else "end_turn"),
            "stop_sequence": None,
            "usage": _anthropic_usage(usage_of(reply, body)),
        }
    )


def anthropic_events(reply: Reply, body: Mapping[str, Any]) -> Iterator[bytes]:
    """The same as a stream of named events."""

    def event(kind: str, **fields: object) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), encode({"type": kind, **fields}))

    usage = _anthropic_usage(usage_of(reply, body))
    message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": body.get("model", ""), "content": []}
    yield event("message_start", message={**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}})
    index = 0
    if reply.text:
        yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield event("ping")
        for piece in pieces_of(reply.text, reply.chunks):
            yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        yield event("content_block_stop", index=index)
        index += 1
    for call in reply.tool_calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield event("content_block_start", index=index, content_block=block)
        for piece in pieces_of(call.arguments, 3):
            yield event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
        yield event("content_block_stop", index=index)
        index += 1
    if reply.error:
        yield event("error", error={"type": "overloaded_error", "message": reply.error})
        return
    stop = reply.finish_reason or ("tool_use" if reply.tool_calls else "end_turn")
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    yield event("message_stop")


def embeddings(body: Mapping[str, Any]) -> bytes:
    """Unit vectors out of hashed words: one text always gets one vector, and shared words bring two texts near."""
    texts = body.get("input", [])
    dimensions = int(body.get("dimensions") or 8)
    data = []
    for index, text in enumerate([texts] if isinstance(texts, str) else texts):
        vector = [1e-6] * dimensions
        for word in str(text).lower().split():
            digest = hashlib.sha256(word.encode()).digest()
            for place in range(4):
                slot, sign = digest[2 * place] * 256 + digest[2 * place + 1], digest[16 + place]
                vector[slot % dimensions] += 1.0 if sign % 2 else -1.0
        length = sum(x * x for x in vector) ** 0.5
        values: object = [x / length for x in vector]
        if body.get("encoding_format") == "base64":
            values = base64.b64encode(struct.pack(f"<{dimensions}f", *[x / length for x in vector])).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
    usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
    return encode({"object": "list", "data": data, "model": body.get("model", ""), "usage": usage})
