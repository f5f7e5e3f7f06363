"""Asks a judge of pairs about many pairs of answers, each once in each order.

What it said stands in the log as two grades, each on the answer that it was shown first, over the other: both orders of
a pair are there, or it is asked again.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from rungwise_pipelines.judges.answers import answered_of, asker_of
from rungwise_pipelines.judges.ask import ask_each, judge_id, patiently
from rungwise_pipelines.progress import Shown
from rungwise_server.evals import Preference
from rungwise_server.grading.things import Thing
from rungwise_server.protocols import InferenceLog, PairJudge
from rungwise_server.records import Grade, LogQuery


class Compared(Struct, frozen=True):
    """What a judge said of pairs, by their ids; how many it was asked about now, and what stood in its way."""

    said: Mapping[str, Preference]
    asked: int = 0
    failed: int = 0
    trouble: str = ""


async def compared(judge: PairJudge, things: Sequence[Thing], log: InferenceLog) -> dict[str, Preference]:
    """What it said earlier, by pair."""
    ids = {thing.id: _ids(judge, thing) for thing in things}
    query = LogQuery(kind="grade", ids=frozenset(id for both in ids.values() for id in both), own=True)
    found = {grade.id: grade async for grade in log.read(query) if isinstance(grade, Grade)}
    return {
        pair: _preference(found[one], found[other])
        for pair, (one, other) in ids.items()
        if one in found and other in found
    }


async def compare_all(judge: PairJudge, things: Sequence[Thing], log: InferenceLog, shown: Shown) -> Compared:
    """What it says of every pair: from the log, or asked for now and appended to it. Stopped in between, it goes on
    there.

    Raises:
        RungwiseError: the judge cannot be asked, and nothing is known of any pair.
    """
    said = await compared(judge, things, log)
    left = [thing for thing in things if thing.id not in said]
    before = len(said)

    async def ask(thing: Thing) -> None:
        preference = await patiently(
            lambda: judge.prefer(answered_of(thing), answered_of(thing, 1), asker_of(thing)),
        )
        for grade in _grades(judge, thing, preference):
            await log.append(grade)
        said[thing.id] = preference
        shown.advance(len(said))

    failed, trouble = 0, None
    if left:
        shown.begin("pairs", len(things), done=before, label=judge.name)
        failed, trouble = await ask_each(left, ask)
        shown.end()
    if trouble is not None and not said:
        raise trouble
    return Compared(said, len(said) - before, failed, trouble.message if trouble else "")


def _grades(judge: PairJudge, thing: Thing, said: Preference) -> tuple[Grade, Grade]:
    """One of each order, its value the share of the answer that was shown first."""
    one, other = _ids(judge, thing)
    first, second = (answer.id for answer in thing.answers)
    swapped = None if said.swapped is None else 1 - said.swapped

    def grade(id: str, shown: str, over: str, value: float | None, reason: str) -> Grade:
        return Grade(
            id=id,
            at=time.time(),
            inference_id=shown,
            rubric=judge.rubric,
            caller=asker_of(thing),
            value=value,
            scale="pair",
            judge=judge_id(judge),
            over=over,
            reason=reason,
            example=thing.example.id if thing.example else "",
        )

    return (
        grade(one, first, second, said.value, said.reason),
        grade(other, second, first, swapped, said.swapped_reason),
    )


def _preference(one: Grade, other: Grade) -> Preference:
    swapped = None if other.value is None else 1 - other.value
    return Preference(one.value, swapped, one.reason, other.reason)


def _ids(judge: PairJudge, thing: Thing) -> tuple[str, str]:
    """Of the grades with the first answer shown first, and second."""
    first, second = (answer.id for answer in thing.answers)
    example = thing.example.id if thing.example else ""
    orders = ((first, second), (second, first))
    one, other = (hashlib.sha256(f"{judge.hash} {a} over {b} {example}".encode()).hexdigest()[:24] for a, b in orders)
    return f"grade-{one}", f"grade-{other}"
