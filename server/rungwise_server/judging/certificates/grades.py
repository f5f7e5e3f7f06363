"""Grades as people hand them in: JSON lines, read into `Item`s, with every mistake told by its line.

A line is `{"id", "human": 0..1 | true | false | null | [several], "judge": 0..1 | true | false | null}`, and may have

- `system`: which system answered; each gets a certificate of its own,
- `grader`: who gave `human`; lines of one id and several graders are one item,
- `weight`: how many items of the traffic this one stands for,
- `length` or `answer`, and `author` with `judge_author`, for the bias of a judge towards length and towards itself,
- in a pair, where a grade is the share of the win that the first answer gets (1, 0, or .5 for a tie): `swapped`, the
  judge's grade with the answers shown in the other order, still told of the same first answer; `length_1` and
  `length_2` or `answer_1` and `answer_2`; `author_1` and `author_2`.

Other fields are left alone.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from rungwise_server.errors import BadRequest
from rungwise_server.handed import bytes_of

SHOWN = 5
"""So many mistakes are told at once."""


class Item(Struct, frozen=True):
    """One graded answer, or pair of answers. Grades are from 0 (bad) to 1 (good); None where there is none."""

    id: str
    judge: float | None
    human: float | None = None
    """The mean of `graders`."""
    graders: tuple[float, ...] = ()
    system: str = ""
    weight: float = 1.0
    length: float | None = None
    own: bool | None = None
    """Whether the judge's own model wrote the answer."""
    swapped: float | None = None
    straight: float | None = None
    """In a pair whose `judge` is the mean of both orders: its grade in the order that is not `swapped`."""
    lengths: tuple[float, float] | None = None
    own_first: bool | None = None
    """In a pair: the judge's own model wrote the first answer (True), the second (False), neither or both (None)."""
    line: int = 0


class Graded(Struct, frozen=True):
    """What a file holds: its items in the order of its lines, and what was noticed on the way."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


class _Line(Struct):
    id: str | int
    human: bool | float | list[bool | float | None] | None = None
    judge: bool | float | None = None
    system: str | int | None = None
    grader: str | int | None = None
    weight: float | None = None
    swapped: bool | float | None = None
    length: object = None
    answer: object = None
    author: object = None
    judge_author: object = None
    length_1: object = None
    length_2: object = None
    answer_1: object = None
    answer_2: object = None
    author_1: object = None
    author_2: object = None


_DECODER = msgspec.json.Decoder(_Line)


class _Wrong(Exception):
    pass


def read_grades(path: Path) -> Graded:
    """The grades in a file of JSON lines; gzip is seen by its first bytes. Raises BadRequest, with line numbers."""
    return parse_grades(bytes_of(path), str(path))


def parse_grades(data: bytes, name: str = "grades") -> Graded:
    """The grades in `data`. `name` is what messages call it. Raises BadRequest, with line numbers."""
    faults: list[str] = []
    rows: dict[tuple[str, str], list[tuple[str, Item]]] = {}
    repeated = 0
    for number, text in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            grader, item = _read(text, number)
            known = rows.setdefault((item.system, item.id), [])
            if (grader, msgspec.structs.replace(item, line=0)) in [
                (who, msgspec.structs.replace(other, line=0)) for who, other in known
            ]:
                repeated += 1
            else:
                known.append((grader, item))
        except _Wrong as wrong:
            faults.append(f"line {number}: {wrong}")
    items: list[Item] = []
    for lines in rows.values():
        try:
            items.append(_merged(lines))
        except _Wrong as wrong:
            faults.append(str(wrong))
    if faults:
        more = f"\n… and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise BadRequest(f"{name} cannot be used:\n" + "\n".join(faults[:SHOWN]) + more, code="invalid_grades")
    if not items:
        raise BadRequest(f'{name} has no grades: each line is {{"id", "human": 0..1 or null, "judge": 0..1}}.')
    notes = (f"Lines that say again what an earlier line said, and count once: {repeated}.",) if repeated else ()
    return Graded(tuple(items), notes)


def _read(text: bytes, number: int) -> tuple[str, Item]:
    """Who graded, and the item of one line."""
    try:
        line = _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise _Wrong(f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(f"this is not JSON: {error}.") from None
    given = line.human if isinstance(line.human, list) else [line.human]
    graders = tuple(_grade("human", value) for value in given if value is not None)
    weight = 1.0 if line.weight is None else float(line.weight)
    if not (math.isfinite(weight) and weight > 0):
        raise _Wrong(f"weight is {weight:g}: it must be above 0.")
    item = Item(
        id=str(line.id),
        judge=None if line.judge is None else _grade("judge", line.judge),
        human=math.fsum(graders) / len(graders) if graders else None,
        graders=graders,
        system="" if line.system is None else str(line.system),
        weight=weight,
        length=_length(line.length, line.answer),
        own=line.author == line.judge_author if line.author and line.judge_author else None,
        swapped=None if line.swapped is None else _grade("swapped", line.swapped),
        lengths=_both(_length(line.length_1, line.answer_1), _length(line.length_2, line.answer_2)),
        own_first=_own_first(line),
        line=number,
    )
    return ("" if line.grader is None else str(line.grader)), item


def _grade(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise _Wrong(f"{name} is {value:g}: grades go from 0 to 1 (a grade from 1 to 5 becomes (grade - 1) / 4).")
    return float(value)


def _length(length: object, text: object) -> float | None:
    if isinstance(length, int | float) and not isinstance(length, bool):
        return float(length)
    return float(len(text)) if isinstance(text, str) else None


def _both(first: float | None, second: float | None) -> tuple[float, float] | None:
    return None if first is None or second is None else (first, second)


def _own_first(line: _Line) -> bool | None:
    if not line.judge_author:
        return None
    first, second = line.author_1 == line.judge_author, line.author_2 == line.judge_author
    return first if first != second else None


def _merged(lines: Sequence[tuple[str, Item]]) -> Item:
    """One item out of all lines of one id: several graders', or a grade that came in a later line."""
    first = lines[0][1]
    if len(lines) == 1:
        return first
    where = f"lines {', '.join(str(item.line) for _, item in lines)}: id {first.id!r}"
    judges = {item.judge for _, item in lines if item.judge is not None}
    if len(judges) > 1:
        raise _Wrong(f"{where} has different verdicts of the judge; ids are unique within a system.")
    graded = [(who, item) for who, item in lines if item.graders]
    names = [who for who, _ in graded]
    if len(set(names)) < len(names):
        raise _Wrong(f'{where} has different grades of one person; several people\'s lines each need "grader".')
    if len({item.weight for _, item in lines}) > 1:
        raise _Wrong(f"{where} has different weights.")
    graders = tuple(sorted(grade for _, item in graded for grade in item.graders))
    return msgspec.structs.replace(
        first,
        judge=next(iter(judges), None),
        graders=graders,
        human=math.fsum(graders) / len(graders) if graders else None,
    )
