"""Offline outcomes as people hand them in: JSON lines, every mistake told by its line.

    {"id", "prompt", "category"?, "context"?: text or [texts], "models": {NAME: {"score": 0..1, "cost"?: money}}}

Lines with `contaminated` true were in some model's training data: they are left out, and counted. A model that is
missing from a line was not tried on it. Other fields are left alone.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from rungwise_server.errors import BadRequest
from rungwise_server.handed import bytes_of

SHOWN = 5
"""So many mistakes are told at once."""


class Tried(Struct, frozen=True):
    """What one candidate made of a request; `cost` is None where nobody knows."""

    score: float | bool
    cost: float | None = None


class Example(Struct, frozen=True):
    """One request, and how each candidate did on it."""

    id: str | int
    prompt: str
    models: Mapping[str, Tried]
    category: str | None = None
    context: str | list[str] | None = None
    contaminated: bool = False


class Examples(Struct, frozen=True):
    """What a file holds: the examples that count, and what was noticed on the way."""

    items: tuple[Example, ...]
    candidates: tuple[str, ...]
    notes: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(Example)


def read_examples(path: Path) -> Examples:
    """The examples of a file; gzip is seen by its first bytes. Raises BadRequest, with line numbers."""
    return parse_examples(bytes_of(path), str(path))


def parse_examples(data: bytes, name: str = "examples") -> Examples:
    """The examples in `data`. `name` is what messages call it. Raises BadRequest, with line numbers."""
    faults: list[str] = []
    items: list[Example] = []
    first: dict[str, int] = {}
    dropped = 0
    for number, text in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            example = _DECODER.decode(text)
        except msgspec.ValidationError as error:
            faults.append(f"line {number}: {error}.")
            continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults.append(f"line {number}: this is not JSON: {error}.")
            continue
        if fault := _fault(example, first):
            faults.append(f"line {number}: {fault}")
        elif example.contaminated:
            dropped += 1
        else:
            items.append(example)
        first.setdefault(str(example.id), number)
    if faults:
        more = f"\n… and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise BadRequest(f"{name} cannot be used:\n" + "\n".join(faults[:SHOWN]) + more, code="invalid_examples")
    if not items:
        raise BadRequest(
            f'{name} has no examples: each line is {{"id", "prompt", "models": {{name: {{"score": 0..1, "cost"}}}}}}.',
            code="invalid_examples",
        )
    candidates = tuple(dict.fromkeys(name for item in items for name in item.models))
    notes = (f"Lines left out as contaminated: {dropped}.",) if dropped else ()
    return Examples(tuple(items), candidates, notes)


def _fault(example: Example, first: Mapping[str, int]) -> str:
    """What is wrong with an example, in words; empty where nothing is."""
    if (line := first.get(str(example.id))) is not None:
        return f"the id {example.id!r} is on line {line} too."
    if not example.prompt.strip():
        return "the prompt is empty."
    if not example.models or not all(name.strip() for name in example.models):
        return "models: {NAME: {score, cost}} with a name for each, and at least one."
    return next(filter(None, (_wrong(name, tried) for name, tried in example.models.items())), "")


def _wrong(name: str, tried: Tried) -> str:
    if not 0 <= tried.score <= 1:
        return f"the score of {name} is {tried.score:g}: scores go from 0 to 1."
    if tried.cost is not None and not (math.isfinite(tried.cost) and tried.cost >= 0):
        return f"the cost of {name} is {tried.cost:g}: money, or null."
    return ""
