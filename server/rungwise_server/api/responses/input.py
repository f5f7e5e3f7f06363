"""The items of a conversation in `/v1/responses`: checked, brought into the form that is kept and listed, and turned
into the messages of a chat.

An item goes one way, whether a client sends it or it is read from what was kept: so what a client was answered may
be sent back, and a conversation that is continued by an id is the same as one that is sent whole.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from rungwise_server.api.responses.wire import encode, item_id
from rungwise_server.api.wire import read_at
from rungwise_server.errors import BadRequest
from rungwise_server.prompt import text_message
from rungwise_server.types import Message


class Part(Struct):
    """A part of a message, or of a tool's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None


class InputItem(Struct):
    """An item, of whichever type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    status: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    encrypted_content: str | None = None

    @property
    def kind(self) -> str:
        """Its type; a message need not say it, nor a reference."""
        if self.type:
            return self.type
        return "message" if self.role else "item_reference" if self.id and self.content is None else ""


_ITEM = msgspec.json.Decoder(InputItem)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "compaction": "cmp",
}
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_SEAL = b"rungwise compaction 1\n"
_SEEN_ONLY = ("reasoning", "file_search_call")
"""Items that clients send back and no chat takes: what was thought and searched, its outcome being in the messages."""


def references(items: Sequence[Raw]) -> list[tuple[int, str]]:
    """The items that are references: where they stand, and the id of what they stand for."""
    found = []
    for place, raw in enumerate(items):
        item = read_at(_ITEM, raw, f"input[{place}]")
        if item.kind == "item_reference":
            if not item.id:
                raise BadRequest("An item reference needs 'id'.", param=f"input[{place}].id")
            found.append((place, item.id))
    return found


def kept_form(items: Sequence[Raw], response_id: str) -> list[Raw]:
    """The items as they are kept and listed: each with its type, an id, a status, and its content in parts.

    Raises:
        BadRequest: an item is not of the form that it should have, or of a type that no chat model takes; `param`
            names it.
    """
    kept = []
    for place, raw in enumerate(items):
        where = f"input[{place}]"
        item = read_at(_ITEM, raw, where)
        _check(item, where)
        fields = {name: value for name, value in _FIELDS.decode(raw).items() if bytes(value) != b"null"}
        fields["type"] = _raw(item.kind)
        fields.setdefault("id", _raw(item_id(_PREFIXES.get(item.kind, "item"), response_id, f"i{place}")))
        if item.kind not in ("reasoning", "compaction"):
            fields.setdefault("status", _raw("completed"))
        if item.kind == "message":
            said = item.role == "assistant"
            texts: list[dict[str, object]] = [{"type": "output_text" if said else "input_text", "text": item.content}]
            parts = texts if isinstance(item.content, str) else _FIELDS_LIST.decode(fields["content"])
            fields["content"] = _raw([_full(part, said=said) for part in parts])
        kept.append(_raw(fields))
    return kept


_FIELDS_LIST = msgspec.json.Decoder(list[dict[str, object]])


def _full(part: dict[str, object], *, said: bool) -> dict[str, object]:
    """A part of a message with the fields that clients rely on."""
    kind = part["type"]
    if kind == "input_image":
        return {"detail": "auto", **{name: value for name, value in part.items() if value is not None}}
    if kind in ("text", "input_text", "output_text") and said:
        return {"annotations": [], "logprobs": [], **part, "type": "output_text"}
    return {**part, "type": "input_text"} if kind == "text" else part


def messages(items: Sequence[Raw], instructions: str | None) -> tuple[Message, ...]:
    """The chat that `items`, in their kept form, mean; `instructions` stand before it, in one message with the
    system text that it begins with.

    Raises:
        BadRequest: the output of a call that is not there, or nothing that a model could answer.
    """
    chat = _Chat()
    for raw in items:
        chat.add(_ITEM.decode(raw))
    return chat.messages(instructions)


class _Chat:
    """Messages as they come; what an assistant says and calls in one turn is one message."""

    def __init__(self) -> None:
        self._done: list[Message] = []
        self._said = ""
        self._calls: list[dict[str, object]] = []
        self._speaking = False
        self._called: set[str] = set()

    def add(self, item: InputItem) -> None:
        if item.kind == "function_call":
            assert item.call_id is not None
            self._speaking = True
            self._called.add(item.call_id)
            function = {"name": item.name, "arguments": item.arguments}
            self._calls.append({"id": item.call_id, "type": "function", "function": function})
            return
        if item.kind in _SEEN_ONLY:
            return
        self._end_turn()
        if item.kind == "function_call_output":
            self._add_output(item)
        elif item.kind == "compaction":
            # As what the user says: a summary may quote whoever wrote a document, and is no instruction of the system.
            self._done.append(text_message("user", f"What was said before, in short:\n{unsealed(item) or ''}"))
        elif item.role == "assistant":
            self._speaking = True
            self._said = _plain(item.content)
        else:
            self._done.append(_message(_ROLES[item.role or ""], item.content))

    def _add_output(self, item: InputItem) -> None:
        if item.call_id not in self._called:
            raise BadRequest(
                f"No tool call found for function call output with call_id {item.call_id}: send the function_call "
                "before it, or the previous_response_id of the response that has it.",
                param="input",
            )
        said = _message("tool", item.output)
        self._done.append(Message("tool", said.text, _with(said.raw, tool_call_id=item.call_id)))

    def _end_turn(self) -> None:
        if not self._speaking:
            return
        if self._calls:
            wire = {"role": "assistant", "content": self._said or None, "tool_calls": self._calls}
            self._done.append(Message("assistant", self._said, _raw(wire)))
        else:
            self._done.append(text_message("assistant", self._said))
        self._speaking, self._said, self._calls = False, "", []

    def messages(self, instructions: str | None) -> tuple[Message, ...]:
        self._end_turn()
        done = self._done
        if instructions:
            if done and done[0].role == "system":
                done[0] = text_message("system", f"{instructions}\n\n{done[0].text}")
            else:
                done.insert(0, text_message("system", instructions))
        if not done:
            raise BadRequest("The input has nothing that could be answered.", param="input")
        return tuple(done)


def sealed(summary: str) -> str:
    """The content of a compaction: for this server alone, though no secret is in it that its client has not told."""
    return base64.b64encode(_SEAL + summary.encode()).decode()


def unsealed(item: InputItem) -> str | None:
    """The summary in a compaction; None where there is none of ours."""
    try:
        content = base64.b64decode(item.encrypted_content or "", validate=True)
        return content.removeprefix(_SEAL).decode() if content.startswith(_SEAL) else None
    except (binascii.Error, ValueError):
        return None


def _message(role: str, content: str | list[Part] | None) -> Message:
    parts = content if isinstance(content, list) else [Part("input_text", content or "")]
    text = _plain(parts)
    if role == "system" or all(part.type in _TEXTS for part in parts):
        return text_message(role, text)
    return Message(role, text, _raw({"role": role, "content": [_chat_part(part) for part in parts]}))


def _plain(content: str | list[Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text or part.refusal or "" for part in content if part.text or part.refusal)
    return content or ""


def _chat_part(part: Part) -> dict[str, object]:
    if part.type == "input_image":
        image: dict[str, object] = {"url": part.image_url}
        if part.detail and part.detail != "auto":
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if part.type == "input_file":
        name = part.filename or "file"
        text = _file_text(part.file_data or "")
        if text is not None:
            return {"type": "text", "text": f"{name}:\n{text}"}
        return {"type": "file", "file": {"filename": name, "file_data": part.file_data}}
    return {"type": "text", "text": part.text or part.refusal or ""}


def _file_text(data: str) -> str | None:
    """The text of a file in a data URL or in base64; None where it is none: then it is the model's to read."""
    head, comma, rest = data.partition(",")
    try:
        text = base64.b64decode(rest if comma and head.startswith("data:") else data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return None if "\0" in text else text


def _check(item: InputItem, where: str) -> None:
    kind = item.kind
    if kind == "message":
        if item.role not in _ROLES:
            raise BadRequest(f"Invalid role {item.role!r}: there are {', '.join(_ROLES)}.", param=f"{where}.role")
        if item.content is None:
            raise BadRequest("A message needs 'content'.", param=f"{where}.content")
        _check_parts(item.content, f"{where}.content")
    elif kind == "function_call":
        _need(item, where, "call_id", "name", "arguments")
    elif kind == "function_call_output":
        _need(item, where, "call_id", "output")
        _check_parts(item.output or "", f"{where}.output")
    elif kind == "compaction":
        if unsealed(item) is None:
            raise BadRequest("This is no compaction of this server's.", param=f"{where}.encrypted_content")
    elif kind not in _SEEN_ONLY:
        raise BadRequest(
            f"Items of type {kind!r} are not taken: there are message, function_call, function_call_output, reasoning, "
            "file_search_call, compaction and item_reference.",
            param=f"{where}.type",
            code="unsupported_value",
        )


def _need(item: InputItem, where: str, *names: str) -> None:
    for name in names:
        if getattr(item, name) is None:
            raise BadRequest(f"An item of type {item.kind!r} needs {name!r}.", param=f"{where}.{name}")


def _check_parts(content: str | list[Part], where: str) -> None:
    for place, part in enumerate(content if isinstance(content, list) else ()):
        at = f"{where}[{place}]"
        if part.type in _TEXTS:
            if part.text is None:
                raise BadRequest(f"A part of type {part.type!r} needs 'text'.", param=f"{at}.text")
        elif part.type == "refusal":
            if part.refusal is None:
                raise BadRequest("A refusal needs 'refusal'.", param=f"{at}.refusal")
        elif part.type == "input_image":
            if not part.image_url:
                why = "images by file_id are not taken: send" if part.file_id else "an input_image needs"
                raise BadRequest(f"{why.capitalize()} 'image_url', a URL or a data URL.", param=f"{at}.image_url")
        elif part.type == "input_file":
            if not part.file_data:
                name = "file_id" if part.file_id else "file_url" if part.file_url else "file_data"
                raise BadRequest(
                    "An input_file needs 'file_data', a data URL; to have uploaded files searched, use file_search.",
                    param=f"{at}.{name}",
                )
        else:
            known = ", ".join((*_TEXTS[:2], "refusal", "input_image", "input_file"))
            raise BadRequest(f"Parts of type {part.type!r} are not taken: there are {known}.", param=f"{at}.type")


def _raw(value: object) -> Raw:
    return Raw(encode(value))


def _with(raw: Raw, **more: object) -> Raw:
    return _raw({**_FIELDS.decode(raw), **more})
