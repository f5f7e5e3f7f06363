"""What to grade next: what narrows the intervals most, drawn by chance so that they stay true.

Where a judge graded, its grades make the strata, and `judging.certificates.next_grades` says how many of each help
most. Elsewhere topics are taken in proportion to their size. Which one of a stratum is up to a hash, never to how the
answer looks. Candidates take turns; without a judge's grades they do so question by question, so that the same
questions are graded for all.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from rungwise_server.grading.counting import Counted, people_of, value_for
from rungwise_server.grading.things import Thing
from rungwise_server.judging.certificates.grades import Item
from rungwise_server.judging.certificates.next_grades import advice_of
from rungwise_server.judging.certificates.strata import strata_of
from rungwise_server.judging.certificates.sums import columns_of, summed
from rungwise_server.records import Grade

SHARED = 5
"""One in so many of a person's grades goes to what another person graded: else nothing tells how far they agree."""
THRESHOLD, MARGIN, LEVEL = 0.5, 0.05, 0.95


class Next(Struct, frozen=True):
    """A thing to be graded, and why it is its turn."""

    thing: Thing
    why: str


def judge_of(things: Sequence[Thing], grades: Counted) -> str:
    """The judge that graded most of the things; empty where none did."""
    count = Counter(
        who for t in things for who, grade in grades.get(t.id, {}).items() if grade.judge and grade.value is not None
    )
    return max(count, key=lambda who: (count[who], who), default="")


def item_of(thing: Thing, grades: Mapping[str, Grade], judge: str) -> Item:
    """A thing as certificates take it."""
    first = thing.answers[0].id
    people = tuple(sorted(people_of(grades, first).values()))
    return Item(
        id=thing.id,
        judge=value_for(grades[judge], first) if judge in grades else None,
        human=sum(people) / len(people) if people else None,
        graders=people,
        system=" vs ".join(thing.candidates),
        weight=thing.weight,
    )


def order(things: Sequence[Thing], grades: Counted, grader: str, left: Collection[str], limit: int) -> list[Next]:
    """Of the things in `left` (ids), what `grader` should grade, most useful first, at most `limit`."""
    people = {thing.id: people_of(grades.get(thing.id, {}), thing.answers[0].id) for thing in things}
    fresh = _by_turns(things, grades, {id for id in left if not people[id]})
    shared = iter(
        Next(thing, "somebody else graded it: shows how far people agree")
        for thing in sorted(things, key=lambda thing: _chance(thing.id))
        if thing.id in left and people[thing.id]
    )
    mine = [by for by in people.values() if grader in by]
    given, both = len(mine), sum(len(by) > 1 for by in mine)
    chosen: list[Next] = []
    while len(chosen) < limit:
        turn = next(shared, None) if (both + 1) * SHARED <= given + 1 else None
        both += turn is not None
        turn = turn or next(fresh, None) or next(shared, None)
        if turn is None:
            break
        given += 1
        chosen.append(turn)
    return chosen


def _by_turns(things: Sequence[Thing], grades: Counted, wanted: Collection[str]) -> Iterator[Next]:
    """The things in `wanted` (ids), the candidates taking turns: the one with the fewest grades first."""
    systems: dict[tuple[str, ...], list[Thing]] = defaultdict(list)
    for thing in things:
        systems[thing.candidates].append(thing)
    judge = judge_of(things, grades)
    queues = {}
    given = {}
    for names, own in systems.items():
        items = [item_of(thing, grades.get(thing.id, {}), judge) for thing in own]
        judged = any(item.judge is not None for item in items)
        ordered = _advised(own, items) if judged else _spread(own)
        queues[names] = iter([turn for turn in ordered if turn.thing.id in wanted])
        given[names] = sum(item.human is not None for item in items)
    while queues:
        names = min(queues, key=lambda system: (given[system], _chance("|".join(system))))
        turn = next(queues[names], None)
        if turn is None:
            del queues[names]
            continue
        given[names] += 1
        yield turn


def _advised(things: Sequence[Thing], items: Sequence[Item]) -> list[Next]:
    """One candidate's things that nobody graded, as the judge's certificate wants them."""
    columns = columns_of(items)
    parts = strata_of(columns.judge, columns.graded, THRESHOLD)
    strata, posterior = summed(columns, parts)
    advice = advice_of(columns, parts, strata, posterior, most=len(items), margin=MARGIN, level=LEVEL)
    named = {thing.id: thing for thing in things}
    return [Next(named[id], "narrows the interval most, beside what the judge says") for id in advice.ids]


def _spread(things: Sequence[Thing]) -> list[Next]:
    """One candidate's things: every beginning of the list has of each topic about its share."""
    topics: dict[str, list[Thing]] = defaultdict(list)
    for thing in sorted(things, key=lambda thing: _chance(thing.question if thing.example else thing.id)):
        topics[thing.topic].append(thing)
    placed = [
        ((number + 0.5) / len(group), _chance(topic), Next(thing, f"topic: {topic}" if topic else "drawn by chance"))
        for topic, group in topics.items()
        for number, thing in enumerate(group)
    ]
    return [turn for _, _, turn in sorted(placed, key=lambda place: place[:2])]


def _chance(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="replace")).digest()
