"""What a judging model is asked to say, and what is made of what it says."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from rungwise_server.evals import Judgement
from rungwise_server.records import GradeScale

_FIVE = re.compile(r"(?im)^grade: 1 to 5\b")
_FENCE = re.compile(r"\A\s*```[a-z]*\s*\n(.*)\n```\s*\Z", re.DOTALL)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_LAST = re.compile(
    r"(?i)\W*(?:final )?(?:grade|verdict)\W+(pass|fail|first|second|tie|[1-5])(?:\s*(?:/|of|out of)\s*5)?\W*"
)
_LONGEST = 20_000
_REASON = 1_000

_ASKED = {
    "pass": 'Reply with one JSON object and nothing else: {"reason": "...", "grade": "pass"} or '
    '{"reason": "...", "grade": "fail"}. The reason comes first, in one or two sentences.',
    "five": 'Reply with one JSON object and nothing else: {"reason": "...", "grade": N}, where N is 1, 2, 3, 4 or 5. '
    "The reason comes first, in one or two sentences.",
    "pair": 'Reply with one JSON object and nothing else: {"reason": "...", "grade": W}, where W is "first", "second" '
    '(whichever answer is better) or "tie". The reason comes first, in one or two sentences.',
}
_WORDS = {"pass": {"fail": 0.0, "pass": 1.0}, "pair": {"second": 0.0, "tie": 0.5, "first": 1.0}}
"""Of scales whose grades are words."""


class _Verdict(Struct):
    grade: str | int
    reason: str = ""


def scale_of(rubric: str) -> GradeScale:
    """How a rubric wants answers graded: 1 to 5 where a line of it begins `Grade: 1 to 5`, else pass or fail."""
    return "five" if _FIVE.search(rubric) else "pass"


def asked(scale: GradeScale) -> str:
    """The instruction that every rubric ends with."""
    return _ASKED[scale]


def response_format(scale: GradeScale) -> Raw:
    """OpenAI's `response_format`, which holds a model to the verdict's form where it can be held."""
    grade: dict[str, object] = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
    if scale in _WORDS:
        grade = {"type": "string", "enum": [*reversed(_WORDS[scale])]}
    schema = {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "grade": grade},
        "required": ["reason", "grade"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
    return Raw(msgspec.json.encode(wanted))


def verdict_text(value: float, reason: str, scale: GradeScale) -> str:
    """A grade from 0 to 1 as the model would say it."""
    words = _WORDS.get(scale)
    grade: str | int = round(1 + 4 * value)
    if words:
        grade = min(reversed(words), key=lambda word: abs(words[word] - value))
    return msgspec.json.encode({"reason": reason, "grade": grade}).decode()


def read_verdict(text: str, scale: GradeScale) -> Judgement | None:
    """The verdict in a model's reply; None where there is none.

    Models wrap the object in a code block, or talk around it. What they talk about may hold a verdict that the judged
    answer made up: where a reply has several different grades, it has none.
    """
    if len(text) > _LONGEST:
        return None
    text = _THOUGHT.sub("", text)
    if fenced := _FENCE.match(text):
        text = fenced[1]
    whole = _decoded(text.strip(), scale)
    if whole is not None:
        return whole
    found = [verdict for each in _objects(text) if (verdict := _decoded(each, scale)) is not None]
    if found:
        return found[-1] if len({verdict.value for verdict in found}) == 1 else None
    lines = text.strip().splitlines()
    if lines and (last := _LAST.fullmatch(lines[-1])):
        value = _value(last[1].lower(), scale)
        return None if value is None else Judgement(value, "\n".join(lines[:-1]).strip()[-_REASON:])
    return None


def _decoded(text: str, scale: GradeScale) -> Judgement | None:
    try:
        verdict = msgspec.json.decode(text, type=_Verdict)
    except (msgspec.MsgspecError, RecursionError):
        return None
    value = _value(verdict.grade, scale)
    return None if value is None else Judgement(value, verdict.reason[:_REASON])


def _value(grade: str | int, scale: GradeScale) -> float | None:
    if scale in _WORDS:
        return _WORDS[scale].get(grade.strip().lower()) if isinstance(grade, str) else None
    known = {str(n): (n - 1) / 4 for n in range(1, 6)}
    return known.get(str(grade).strip())


def _objects(text: str) -> Iterator[str]:
    """Every flat JSON object in `text`: a verdict has no object within it."""
    start = -1
    quoted = escaped = False
    for at, c in enumerate(text):
        if quoted and start >= 0:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = start >= 0
        elif c == "{":
            start = at
        elif c == "}" and start >= 0:
            yield text[start : at + 1]
            start = -1
