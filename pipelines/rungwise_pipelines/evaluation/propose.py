"""Questions of the log for an eval set: few enough to grade, spread so that they show what goes wrong, and weighted so
that they still stand for the traffic.

Every step has a known probability, so a mean over the proposal with the weights is a mean over the traffic (Horvitz and
Thompson, 1952; as a ratio, Hájek, 1971):

1. `frame` takes at most 3,000 questions of the log, each with a chance p1.
2. Near-duplicates become one question that stands for all of them, so for sum(1 / p1) questions of the traffic.
3. Topics are clusters of the embeddings, as many as questions are asked for (100 at most). A topic gets its share by
   the cube root of its traffic; where there are more questions than topics, one at least.
4. Within a topic a question is drawn in proportion to the square root of what it stands for, times how much it can
   teach: bad feedback, weak evidence, low estimates, long conversations and questions count more; callers who ask much,
   less.
5. One systematic draw with these sizes over all topics, callers side by side (Madow, 1949), gives exactly as many
   questions as asked for, each with exactly the chance p2 that its size says. Its weight is sum(1 / p1) / p2.

Unequal weights cost precision: `Proposal.worth` says how many plainly drawn questions a weighted mean is worth (Kish).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_pipelines.evaluation import topics
from rungwise_pipelines.evaluation.duplicates import Texts, groups, question_of
from rungwise_pipelines.evaluation.frame import Asked, Frame
from rungwise_server.evals import Example, example_id
from rungwise_server.protocols import Embedder
from rungwise_server.types import Vector

_BATCH = 64
_MOST_TOPICS = 100
_LEVERAGE = (0.5, 4.0)
"""The least and the most that what a question can teach changes its chance: more would cost the weighted mean dear."""

_Sizes = npt.NDArray[np.float64]


class Proposal(Struct, frozen=True):
    """Examples for an eval set, and how they were come by."""

    examples: Sequence[Example]
    logged: int
    """Questions in the log."""
    looked_at: int
    """Of these, how many were looked at closely."""
    near: int
    """Of these, near-duplicates of another."""
    had: int
    """Of these, near-duplicates of what is in the set already."""
    topics: int
    """Topics among the others."""
    worth: float
    """How many questions, drawn plainly, a weighted mean over these is worth."""


class _Unit(Struct):
    """A question, with all that are near it."""

    asked: Asked
    stands_for: float
    times: int


async def propose(
    frame: Frame,
    count: int,
    embedder: Embedder,
    *,
    had: Sequence[Example] = (),
    seed: int = 0,
    embedded: Callable[[int], None] = lambda _: None,
) -> Proposal:
    """`count` questions of `frame`, or all there are, none near another or one of `had`.

    `embedded` is told how many of `len(frame.asked)` are done. The same frame and seed give the same proposal.
    """
    units, known = _units(frame.asked, had)
    draw = np.random.default_rng(seed)
    if not units:
        return Proposal((), frame.logged, len(frame.asked), 0, known, 0, 0.0)
    vectors = await _vectors([unit.asked.text for unit in units], embedder, embedded)
    topic = topics.cluster(vectors, min(count, _MOST_TOPICS), draw)
    named = topics.names([unit.asked.text for unit in units], vectors, topic)
    traffic = np.array([unit.stands_for for unit in units])
    leverage, reasons = _teaches([unit.asked for unit in units])
    wanted = _wanted(traffic, leverage, topic, min(count, len(units)))
    line = sorted(range(len(units)), key=lambda at: (topic[at], units[at].asked.caller.owner, units[at].asked.at))
    chosen = sorted(_drawn(wanted, line, draw.random()))
    weights = traffic / wanted
    examples = [_example(units[at], named[topic[at]], reasons[at], float(weights[at])) for at in chosen]
    kept = weights[chosen]
    return Proposal(
        examples=examples,
        logged=frame.logged,
        looked_at=len(frame.asked),
        near=len(frame.asked) - known - len(units),
        had=known,
        topics=int(topic.max()) + 1,
        worth=float(kept.sum() ** 2 / (kept**2).sum()),
    )


def _units(asked: Sequence[Asked], had: Sequence[Example]) -> tuple[list[_Unit], int]:
    """The questions, near-duplicates together, and how many are near one of `had`."""
    in_set = Texts()
    for example in had:
        in_set.add(question_of(example))
    ids = {example.id for example in had}
    new = [one for one in asked if _id(one) not in ids and in_set.near(one.text) is None]
    together: dict[int, list[Asked]] = {}
    for group, one in zip(groups([one.text for one in new]), new, strict=True):
        together.setdefault(group, []).append(one)
    units = []
    for members in together.values():
        # The one that most is known of; else the latest, whose asker's rights are the likeliest to hold still.
        best = max(members, key=lambda one: (bool(one.correction), bool(one.gold), bool(one.bad), one.at, one.id))
        units.append(_Unit(best, sum(1 / one.chance for one in members), len(members)))
    return units, len(asked) - len(new)


async def _vectors(texts: Sequence[str], embedder: Embedder, embedded: Callable[[int], None]) -> Vector:
    found = []
    for start in range(0, len(texts), _BATCH):
        found.append(await embedder.embed(texts[start : start + _BATCH], "query"))
        embedded(min(start + _BATCH, len(texts)))
    return np.concatenate(found)


def _teaches(asked: Sequence[Asked]) -> tuple[_Sizes, list[list[str]]]:
    """How much more than others each question can teach, and why, in words."""
    weak = _lowest([one.similarity for one in asked])
    doubted = _lowest([one.estimate for one in asked])
    long = -_lowest([-float(len(one.text)) for one in asked], 0.1)
    often = Counter(one.caller.owner for one in asked)
    typical = len(asked) / len(often)
    sizes, reasons = [], []
    for one in asked:
        why: list[str] = []
        size = (often[one.caller.owner] / typical) ** -0.5
        if one.bad:
            size *= 4
            why += one.bad
        if one.similarity is not None and one.similarity <= weak:
            size *= 2
            why.append(f"weak evidence (best similarity {one.similarity:.2f})" if one.similarity else "no evidence")
        if one.estimate is not None and one.estimate <= doubted:
            size *= 2
            why.append(f"the router doubted the answer ({one.estimate:.2f})")
        if one.turns > 1:
            size *= 1.5
            why.append(f"turn {one.turns} of a conversation")
        if len(one.text) >= long:
            size *= 1.5
            why.append("long")
        sizes.append(min(max(size, _LEVERAGE[0]), _LEVERAGE[1]))
        reasons.append(why)
    return np.array(sizes), reasons


def _lowest(values: Sequence[float | None], share: float = 0.2) -> float:
    """What about `share` of the known values are at or below; where many are the same, those are not low."""
    known = np.array([value for value in values if value is not None])
    if known.size < 5:
        return -math.inf
    limit = float(np.quantile(known, share))
    if (known <= limit).mean() <= 2 * share:
        return limit
    return float(known[known < limit].max(initial=-math.inf))


def _wanted(traffic: _Sizes, leverage: _Sizes, topic: topics.Numbers, count: int) -> _Sizes:
    """The chance of each question; they sum to `count`."""
    share = np.cbrt(np.bincount(topic, traffic))
    of_topic = 1 + max(count - len(share), 0) * share / share.sum() if count > len(share) else share
    size = np.sqrt(traffic) * leverage
    size = size / np.bincount(topic, size)[topic] * of_topic[topic]
    # What would be above 1 is taken for certain, and the rest is shared out among the others.
    certain = np.zeros(len(size), dtype=bool)
    while True:
        left = count - certain.sum()
        chance = np.where(certain, 1.0, size * (left / max(size[~certain].sum(), 1e-300)))
        over = (chance > 1 - 1e-9) & ~certain
        if not over.any():
            return chance
        certain |= over


def _drawn(wanted: _Sizes, line: Sequence[int], start: float) -> list[int]:
    """The rows that fall under `start`, `start` + 1, ... where each lies on a line with its chance as its length."""
    ends = np.cumsum(wanted[list(line)])
    marks = start + np.arange(round(ends[-1]))
    return [line[at] for at in np.searchsorted(ends * (round(ends[-1]) / ends[-1]), marks, side="right")]


def _id(one: Asked) -> str:
    return example_id(one.messages, one.caller, one.params)


def _example(unit: _Unit, topic: str, why: Sequence[str], weight: float) -> Example:
    one = unit.asked
    if unit.times > 1:
        why = [*why, f"asked {unit.times} times"]
    return Example(
        id=_id(one),
        messages=one.messages,
        caller=one.caller,
        origin="log",
        params=one.params,
        reference=one.correction,
        gold=one.gold,
        answerable=True if one.gold else None,
        source=one.id,
        topic=topic,
        why="; ".join(why) or "one of its topic",
        weight=weight,
    )
