"""Some of a workload's answers, from all along its log: what needs bodies cannot read them all."""

from collections.abc import Callable

from msgspec.structs import replace

from rungwise_server.ledger.evidence import Seen
from rungwise_server.ledger.sheet import seeded
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Inference, LogQuery

STRETCHES = 40
STRETCH = 50
"""So many stretches of so many answers, each read in one go: a look at each of 2,000 places would take minutes."""


async def sampled(log: InferenceLog, query: LogQuery, language: Callable[[str], str]) -> list[Seen]:
    """At most `STRETCHES` × `STRETCH` answers that `query` finds, in stretches begun at positions drawn evenly; all of
    them where there are no more. The same log gives the same sample. Raises Unavailable.
    """
    whole = replace(query, kind="inference", since=0.0, until=0.0, limit=1)
    first, _ = await _bounds(log, whole, query.since)
    _, last = await _bounds(log, whole, query.until or float("inf"))
    places = [first]
    if last - first > STRETCHES * STRETCH:
        chance = seeded(query.workload)
        step = (last - first) / STRETCHES
        places = [first + int(step * (number + chance.random())) for number in range(STRETCHES)]
    found: dict[str, Seen] = {}
    for at, place in enumerate(places):
        limit = STRETCH if len(places) > 1 else STRETCHES * STRETCH
        end = places[at + 1] if at + 1 < len(places) else last
        async for record in log.read(replace(whole, after=place, limit=limit)):
            assert isinstance(record, Inference)
            if record.position > end:
                break
            if record.at >= query.since and (not query.until or record.at < query.until):
                found[record.id] = _seen(record, language)
    return list(found.values())


async def _bounds(log: InferenceLog, query: LogQuery, at: float) -> tuple[int, int]:
    """A position up to which all answers are older than `at`, and the next, behind which none is: nearly, for answers
    stand in the order in which they ended, which is nearly that of their times.
    """

    async def behind(position: int) -> Inference | None:
        async for record in log.read(replace(query, after=position)):
            assert isinstance(record, Inference)
            return record
        return None

    low, step = 0, 1024
    while (record := await behind(low + step)) is not None and record.at < at:
        low, step = record.position, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        record = await behind(middle)
        if record is not None and record.at < at:
            low = max(middle, record.position)
        else:
            high = middle
    return low, high


def _seen(record: Inference, language: Callable[[str], str]) -> Seen:
    return Seen(
        record.id,
        record.candidate,
        language(asked(record)),
        record.first_ms,
        record.total_ms,
        record.outcome == "ok",
        len(record.passages),
    )


def asked(record: Inference) -> str:
    """What a person asked last."""
    return next((message.text for message in reversed(record.messages) if message.role == "user"), record.query)
