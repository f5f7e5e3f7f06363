"""What a conversation asks: the query to search for, the features it needs, whether a program and not a person asks."""

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from rungwise_server.types import Message

_QUERY_CHARS = 2000
_CONTEXT_CHARS = 400

# Chat clients ask the same endpoint for titles, tags and follow-ups. A person may well write "### Task:" too, so the
# marker of the client's own template must stand beside it.
_TASK = re.compile(r"\A\s*### Task:\n.*(?:<chat_history>|### Chat History|### Output:|<type>)", re.DOTALL)
_TITLE = re.compile(
    r"\A\s*(?:please\s+)?(?:provide|generate|write|create)\s+a\s+(?:concise|short|brief)\b[^.\n]{0,60}\btitle\b",
    re.IGNORECASE,
)

# Words that stand for something said before. Those that mostly do other work (das, es, there) are left out, and a
# conjunction counts only where it begins the question.
_REFERS_BACK = re.compile(
    r"\A\W*(?:and|but|what about|how about|und|aber|was ist mit|wie steht es|et|mais|y|pero|e|ma)\b"
    r"|\b(?:it|its|this|that|these|those|they|them|their|he|she|him|her|ones?|"
    r"diese[rsmn]?|sie|ihn|ihm|ihre?|dafür|davon|dazu|damit|ça|cela|celui|celle|ils?|elles?|leur|eso|esto|ellos?|ellas?)\b"
    r"|それ|これ|あれ|その|では|它|他们|这|那|呢",
    re.IGNORECASE,
)


def search_query(messages: Sequence[Message]) -> str:
    """The query that finds what the conversation asks for: the last user message, standing alone.

    A follow-up of a word or two, or one that refers back ("and for part-timers?"), is searched together with the user's
    message before it; the assistant's words never are, since they may be wrong. At most 2,000 characters.
    """
    asked = [m.text.strip() for m in messages if m.role == "user" and m.text.strip()]
    if not asked:
        return ""
    last = asked[-1][-_QUERY_CHARS:]
    if len(asked) > 1 and _leans_back(last):
        before = next((text for text in reversed(asked[:-1]) if text != last), "")
        return f"{before[:_CONTEXT_CHARS]}\n{last}".strip()
    return last


def _leans_back(text: str) -> bool:
    """Whether `text` likely needs the message before it: a word or two, or a sentence that points back."""
    # A CJK character carries about as much as half a word.
    words = len(re.findall(r"[^\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+", text))
    words += len(re.findall(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", text)) // 2
    return words <= 2 or (words <= 14 and _REFERS_BACK.search(text) is not None)


def is_housekeeping(messages: Sequence[Message]) -> bool:
    """Whether this is a chat client's own call: a single user message made from one of its templates."""
    asked = [m for m in messages if m.role == "user"]
    if len(asked) != 1 or any(m.role == "assistant" for m in messages):
        return False
    return bool(_TASK.match(asked[0].text) or _TITLE.match(asked[0].text))


class _Format(msgspec.Struct):
    type: str = ""


def features(messages: Sequence[Message], params: Mapping[str, Raw]) -> frozenset[str]:
    """What the answering model must be able to do, of `tools`, `json`, `logprobs`, `images`."""
    asks = set()
    if any(bytes(params.get(name, b"null")) not in (b"null", b"[]") for name in ("tools", "functions")):
        asks.add("tools")
    if bytes(params.get("logprobs", b"")) == b"true":
        asks.add("logprobs")
    if (shape := params.get("response_format")) and bytes(shape) != b"null":
        try:
            if msgspec.json.decode(shape, type=_Format).type in ("json_object", "json_schema"):
                asks.add("json")
        except msgspec.ValidationError:
            pass  # the model's to refuse
    if any(b'"image_url"' in bytes(m.raw) for m in messages if m.role == "user"):
        asks.add("images")
    return frozenset(asks)
