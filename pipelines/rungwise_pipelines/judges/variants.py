"""The variants of a judge that `align` chooses among, and the examples that they are shown."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_pipelines.judges.answers import answered_of, asker_of
from rungwise_server.config.settings import JudgeSettings
from rungwise_server.grading.counting import people_of
from rungwise_server.grading.things import Thing
from rungwise_server.judging.judges.shown import Shot
from rungwise_server.records import Grade

_CLEAR = 0.25
"""An example is a plain pass or fail: people's mean is at most so far from it."""
_THRESHOLDS = 30


class Known(Struct, frozen=True):
    """An answer that people graded: their mean, and what one of them said of it."""

    thing: Thing
    human: float
    reason: str = ""


def known_of(things: Sequence[Thing], grades: Mapping[str, Mapping[str, Grade]]) -> list[Known]:
    """The answers that people graded, in an order by chance that is always the same."""
    found = []
    for thing in things:
        given = grades.get(thing.id, {})
        people = people_of(given, thing.answers[0].id)
        if people:
            reason = next((given[who].reason for who in sorted(people) if given[who].reason), "")
            found.append(Known(thing, sum(people.values()) / len(people), reason))
    return sorted(found, key=lambda one: hashlib.sha256(one.thing.id.encode()).digest())


def groups_of(known: Sequence[Known]) -> npt.NDArray[np.intp]:
    """A number for each answer, the same for all answers to one question."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(one.thing.question, len(places)) for one in known], dtype=np.intp)


def shots_of(known: Sequence[Known], count: int) -> list[Shot]:
    """`count` examples, of different questions, passes and fails in turn: fewer where there are not enough. None that
    tells what not everyone may read: it would be shown to a model that judges for others.
    """
    sides: dict[bool, list[Shot]] = {True: [], False: []}
    asked: set[str] = set()
    for one in known:
        shot = Shot(one.thing.answers[0].id, answered_of(one.thing), one.human, one.reason)
        plain = min(one.human, 1 - one.human) <= _CLEAR
        if plain and _open(one.thing, shot) and one.thing.question not in asked:
            asked.add(one.thing.question)
            sides[one.human >= 0.5].append(shot)
    turns = [shot for pair in zip(sides[False], sides[True], strict=False) for shot in pair]
    rest = [shot for side in (sides[False], sides[True]) for shot in side if shot not in turns]
    return (turns + rest)[:count]


def _open(thing: Thing, shot: Shot) -> bool:
    """Whether nothing in it is for some groups only. A reference and earlier turns may rest on anything that the
    asker's groups may read, and nobody can tell.
    """
    answered = shot.answered
    before = any(message.role not in ("system", "developer", "user") for message in answered.messages)
    return shot.open and not (asker_of(thing).groups and (answered.reference or before))


def variants_of(
    chosen: JudgeSettings, prompts: Sequence[str], examples: Sequence[int], candidates: Sequence[str]
) -> list[JudgeSettings]:
    """Every combination, the judge as it is first, then those with fewer examples: of equals, the first is taken."""
    own = chosen.prompt_name
    made = [
        chosen.model_copy(update={"prompt": prompt, "examples": count, "candidate": candidate})
        for count, candidate, prompt in product(
            sorted(set(examples)), candidates or (chosen.candidate,), prompts or (own,)
        )
    ]
    now = chosen.model_copy(update={"prompt": own})
    return list(dict.fromkeys([now, *made]))


def thresholds_of(values: Sequence[float], now: float | None) -> list[float]:
    """Thresholds that tell some of the values apart: the one in use (.5 where there is none) first."""
    levels = np.unique(np.round(values, 3))
    between = (levels[1:] + levels[:-1]) / 2
    if len(between) > _THRESHOLDS:
        between = np.unique(np.quantile(between, np.linspace(0, 1, _THRESHOLDS)))
    first = 0.5 if now is None else now
    return [first, *(round(float(value), 3) for value in between if round(float(value), 3) != first)]
