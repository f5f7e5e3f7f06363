"""Where all candidates are weak: by language, and by topic of the eval set's examples."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from rungwise_server.ledger.evidence import Evidence, GradedAnswer, Seen
from rungwise_server.ledger.quality import FEW, mean_interval, more_grades, rubric_of
from rungwise_server.ledger.sheet import Floats

Standing = Literal["weak", "good", "unknown"]


class Segment(Struct, frozen=True):
    """A part of the traffic. `weak`: of every candidate that was graded there, it is shown that it is below the target;
    `good`: of one, that it is not; else `unknown`, and `more` grades might tell. Of several candidates, the figures are
    the best one's."""

    kind: Literal["language", "topic"]
    name: str
    share: float | None
    """Of the traffic that was looked at; None where nobody knows."""
    candidate: str
    estimate: float
    low: float
    high: float
    count: int
    by_people: bool
    standing: Standing
    more: int


def segments_of(evidence: Evidence, target: float) -> tuple[Segment, ...]:
    """Languages and topics with at least `FEW` graded answers; the weakest first."""
    rubric = rubric_of(evidence.graded)
    graded = [one for one in evidence.graded if one.rubric == rubric]
    languages = _groups("language", graded, evidence.seen, target)
    topics = _groups("topic", graded, (), target)
    return tuple(sorted([*languages, *topics], key=lambda one: (one.standing != "weak", one.estimate, one.name)))


def _groups(
    kind: Literal["language", "topic"], graded: Sequence[GradedAnswer], seen: Sequence[Seen], target: float
) -> list[Segment]:
    asked = Counter(one.language for one in seen)
    names = {getattr(one, kind) for one in graded} - {""}
    if len(names) < 2:
        return []  # the whole workload is no part of it
    found = []
    for name in sorted(names):
        mine = [one for one in graded if getattr(one, kind) == name]
        candidates = [_of(candidate, mine) for candidate in sorted({one.candidate for one in mine})]
        told = [one for one in candidates if one[1].size >= FEW]
        if not told:
            continue
        rows = [(name_, values, *mean_interval(values.tolist()), people) for name_, values, people in told]
        best = max(rows, key=lambda row: (float(row[1].mean()), row[0]))
        standing: Standing = "unknown"
        if all(high < target for _, _, _, high, _ in rows):
            standing = "weak"
        elif any(low >= target for _, _, low, _, _ in rows):
            standing = "good"
        candidate, values, low, high, people = best
        estimate = float(values.mean())
        found.append(
            Segment(
                kind,
                name,
                asked[name] / len(seen) if seen else None,
                candidate,
                estimate,
                low,
                high,
                int(values.size),
                people,
                standing,
                more_grades(estimate, int(values.size), target) if standing == "unknown" else 0,
            )
        )
    return found


def _of(candidate: str, graded: Sequence[GradedAnswer]) -> tuple[str, Floats, bool]:
    """A candidate's grades: people's where there are enough, else the judges'."""
    mine = [one for one in graded if one.candidate == candidate]
    people = [float(np.mean(one.people)) for one in mine if one.people]
    if len(people) >= FEW:
        return candidate, np.array(people), True
    judged = [float(np.mean([grade for _, grade in one.judges])) for one in mine if one.judges]
    return (candidate, np.array(judged), False) if len(judged) > len(people) else (candidate, np.array(people), True)
