"""What may be proposed from the log: the workload's own questions, with all that tells how hard each was to answer."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from rungwise_server.protocols import InferenceLog
from rungwise_server.question import search_query
from rungwise_server.records import Feedback, Inference, LogQuery
from rungwise_server.types import Caller, Message

LOOKED_AT = 3_000
"""At most so many questions are looked at closely: an embedding takes milliseconds."""

_NO_PART = frozenset({"metadata", "n", "service_tier", "store", "stream", "stream_options", "user"})
"""Fields of a request that are about its delivery: an example is asked without them."""


class Asked(Struct, frozen=True):
    """A question of the log, and what is known of its answer."""

    id: str
    """Of the inference."""
    at: float
    messages: tuple[Message, ...]
    caller: Caller
    """Who may read what it was asked about; without the key."""
    params: Mapping[str, Raw]
    text: str
    """The question, standing alone."""
    turns: int
    outcome: str
    similarity: float | None
    """The best of its passages; None where nothing was searched."""
    estimate: float | None
    """P(good enough) of the candidate that answered, as the router saw it."""
    chance: float
    """The probability with which it was taken from the log to be looked at."""
    bad: tuple[str, ...] = ()
    """What people had against the answer, in words."""
    correction: str = ""
    gold: tuple[str, ...] = ()


class Frame(Struct, frozen=True):
    """The questions to choose from. `logged` is how many the log has."""

    logged: int
    asked: Sequence[Asked]


async def read_frame(
    log: InferenceLog, workload: str, draw: float, *, since: float = 0.0, most: int = LOOKED_AT, retrieves: bool = True
) -> Frame:
    """The questions of a workload's traffic: no housekeeping, nothing that our own programs asked.

    Where there are more than `most`, every n-th is taken, counted from a place that `draw` (from 0 to 1) gives: a
    systematic sample, so spread evenly over time, in which each question has the same known chance. Those that people
    said something about are taken besides, up to `most` of them.
    """
    said = await _said(log, workload, since)
    query = LogQuery(kind="inference", workload=workload, since=since)
    logged = sum(total.requests for total in await log.totals(query))
    share = min(most / logged, 1.0) if logged else 1.0
    told_share = min(most / len(said), 1.0) if said else 1.0
    number = told = 0
    found = []
    async for record in log.read(query):
        if not isinstance(record, Inference):
            continue
        number += 1
        chosen = _falls(number, share, draw)
        chance = share
        if record.id in said:
            told += 1
            chosen |= _falls(told, told_share, draw)
            chance = share + told_share - share * told_share
        if chosen and (text := record.query.strip() or search_query(record.messages)):
            found.append(_asked(record, text, said.get(record.id, ()), chance, retrieves))
    return Frame(number, found)


async def _said(log: InferenceLog, workload: str, since: float) -> dict[str, list[Feedback]]:
    """Feedback by the answer that it is about; of a preference, the one that lost."""
    said: dict[str, list[Feedback]] = {}
    async for record in log.read(LogQuery(kind="feedback", workload=workload, since=since)):
        if isinstance(record, Feedback):
            said.setdefault(record.over or record.inference_id, []).append(record)
    return said


def _falls(number: int, share: float, draw: float) -> bool:
    """Whether a step of a systematic sample falls on the row of this number."""
    return int(number * share + draw) > int((number - 1) * share + draw)


def _asked(record: Inference, text: str, said: Sequence[Feedback], chance: float, retrieves: bool) -> Asked:
    # Of one person's ratings the last counts; of all corrections too, since each later one saw more.
    ratings = {f.caller.owner: f.value or 0.0 for f in said if f.kind == "rating"}
    votes = {(f.caller.owner, f.passage_id): f.value or 0.0 for f in said if f.kind == "passage_vote"}
    correction = next((f.text.strip() for f in reversed(said) if f.kind == "correction"), "")
    bad = [
        ("somebody corrected the answer", bool(correction)),
        ("it was rated bad", any(value < 0 for value in ratings.values())),
        ("another answer was preferred", any(f.kind == "preference" for f in said)),
        ("a passage was voted down", any(value < 0 for value in votes.values())),
        ("somebody commented on the answer", any(f.kind == "comment" for f in said)),
        (f"it {record.outcome}" if record.outcome == "failed" else f"it was {record.outcome}", record.outcome != "ok"),
    ]
    documents = {passage.id: passage.document_id for passage in record.passages}
    liked = [passage for (_, passage), value in votes.items() if value > 0]
    disliked = {passage for (_, passage), value in votes.items() if value < 0}
    if ratings and all(value > 0 for value in ratings.values()):
        liked += [citation.passage_id for citation in record.citations]
    gold = [documents[passage] for passage in liked if passage in documents and passage not in disliked]
    searched = retrieves or bool(record.passages)
    return Asked(
        id=record.id,
        at=record.at,
        messages=tuple(Message(m.role, m.text, _compact(m.raw)) for m in record.messages),
        caller=Caller(record.caller.user, record.caller.groups),
        params={name: _compact(value) for name, value in record.params.items() if name not in _NO_PART},
        text=text,
        turns=sum(message.role == "user" for message in record.messages),
        outcome=record.outcome,
        similarity=max((passage.similarity for passage in record.passages), default=0.0) if searched else None,
        estimate=record.route.estimates.get(record.route.candidate) if record.route else None,
        chance=chance,
        bad=tuple(words for words, so in bad if so),
        correction=correction,
        gold=tuple(dict.fromkeys(gold)),
    )


def _compact(value: Raw) -> Raw:
    """The same JSON without white space: the same question has one id, also once it is exported and handed in again."""
    return Raw(msgspec.json.encode(msgspec.json.decode(value)))
