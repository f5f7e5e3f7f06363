"""Anthropic's content blocks in chat's words: a turn becomes one message, and one for each result of a tool.

What a thinking model thought before is passed over; blocks of Anthropic's own tools are refused by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from rungwise_server.api.body import given, missing, unsupported
from rungwise_server.errors import BadRequest
from rungwise_server.types import Message


class Text(Struct):
    """A block of text."""

    text: str
    type: Literal["text"] = "text"


class _Source(Struct):
    """Of an image or a document."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Text] = ""


class _Block(Struct):
    """A content block of any type; which fields it needs is said in `_NEEDS`."""

    type: str
    text: str | None = None
    source: Raw = Raw()
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Raw] | None = None
    tool_use_id: str | None = None
    content: "str | list[_Block] | None" = None
    is_error: bool | None = None


class Turn(Struct):
    """A message as Anthropic's clients write it."""

    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


_NEEDS = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "search_result": ("content",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
}
_ROLES: dict[str, frozenset[str]] = {
    "user": frozenset({"text", "image", "document", "search_result", "tool_result"}),
    "assistant": frozenset({"text", "tool_use"}),
    "system": frozenset({"text"}),
}
_PASSED_OVER = frozenset({"thinking", "redacted_thinking"})


def messages_of(message: Turn, at: str) -> list[Message]:
    """One turn as chat's messages: results of tools come first, each in a message of its own. `at` names it.

    Raises:
        BadRequest: a block is not of its form, or is one that no model here can read; `param` names it.
    """
    if isinstance(message.content, str):
        return [made(message.role, message.content)]
    blocks = [(b, f"{at}[{n}]") for n, b in enumerate(message.content) if b.type not in _PASSED_OVER]
    for block, where in blocks:
        _check_block(block, message.role, where)
    if message.role == "assistant":
        return [_assistant([block for block, _ in blocks])]
    results: list[Message] = []
    parts: list[dict[str, object]] = []
    for block, where in blocks:
        if block.type == "tool_result":
            text, others = _result(block, where)
            results.append(made("tool", text, tool_call_id=block.tool_use_id))
            parts += others
        else:
            parts += _parts(block, where)
    if not parts and results:
        return results
    text = "\n".join(str(part["text"]) for part in parts if part["type"] == "text")
    only_text = all(part["type"] == "text" for part in parts)
    return [*results, made(message.role, text, content=text if only_text else parts)]


def _check_block(block: _Block, role: str, at: str) -> None:
    needs = _NEEDS.get(block.type)
    if needs is None or block.type not in _ROLES[role]:
        raise unsupported(f"{at}.type", f"a block of type {block.type!r} cannot be in a message of the {role}.")
    for field in needs:
        value = getattr(block, field)
        if value is None or (isinstance(value, Raw) and not given(value)):
            raise missing(f"{at}.{field}")


def _assistant(blocks: Sequence[_Block]) -> Message:
    text = "".join(block.text or "" for block in blocks if block.type == "text")
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": msgspec.json.encode(block.input).decode()},
        }
        for block in blocks
        if block.type == "tool_use"
    ]
    if calls:
        return made("assistant", text, content=text or None, tool_calls=calls)
    return made("assistant", text)


def _result(block: _Block, at: str) -> tuple[str, list[dict[str, object]]]:
    """The text of a tool's result, and what of it only a user's message can carry: images and files."""
    content = block.content or ""
    parts: list[dict[str, object]] = []
    if isinstance(content, str):
        text = content
    else:
        for number, inner in enumerate(content):
            where = f"{at}.content[{number}]"
            if inner.type == "tool_result":
                raise unsupported(f"{where}.type", "a result cannot be within a result.")
            _check_block(inner, "user", where)
            parts += _parts(inner, where)
        text = "\n".join(str(part["text"]) for part in parts if part["type"] == "text")
    return (f"Error: {text}" if block.is_error else text), [part for part in parts if part["type"] != "text"]


def _parts(block: _Block, at: str) -> list[dict[str, object]]:
    """A user's block as chat's content parts."""
    if block.type == "text":
        return [{"type": "text", "text": block.text}]
    if block.type == "search_result":
        content = block.content if isinstance(block.content, list) else []
        source = _decoded(str, block.source, f"{at}.source") if given(block.source) else ""
        lines = [block.title or "", source, *(inner.text or "" for inner in content)]
        return [{"type": "text", "text": "\n".join(line for line in lines if line)}]
    where = f"{at}.source"
    described = _decoded(_Source, block.source, where)
    if block.type == "image":
        return [{"type": "image_url", "image_url": {"url": _address(described, where)}}]
    if described.type in ("text", "content"):
        said = described.data if described.type == "text" else joined(described.content)
        lines = [block.title or "", block.context or "", said]
        return [{"type": "text", "text": "\n".join(line for line in lines if line)}]
    if described.type != "base64":
        raise unsupported(f"{where}.type", "send the document's text, or its bytes in base64.")
    name = block.title or "document.pdf"
    return [{"type": "file", "file": {"filename": name, "file_data": _address(described, where)}}]


def _address(source: _Source, at: str) -> str:
    if source.type == "url":
        if not source.url:
            raise missing(f"{at}.url")
        return source.url
    if source.type != "base64":
        raise unsupported(f"{at}.type", "send 'base64' or 'url'.")
    for field in ("media_type", "data"):
        if not getattr(source, field):
            raise missing(f"{at}.{field}")
    return f"data:{source.media_type};base64,{source.data}"


def _decoded(kind: type[Any], raw: Raw, at: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid value for '{at}': {error}.", param=at) from None


def joined(text: str | Sequence[Text]) -> str:
    """One text of all."""
    return text if isinstance(text, str) else "\n".join(block.text for block in text)


def made(role: str, text: str, **fields: object) -> Message:
    """A message in chat's words; `fields` replace its content or stand beside it."""
    raw: Mapping[str, object] = {"role": role, "content": text, **fields}
    return Message(role, text, Raw(msgspec.json.encode(raw)))
