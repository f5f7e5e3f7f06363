"""Where all candidates are weak: by language, and by topic of the eval set's examples."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from rungwise_server.ledger.evidence import Evidence, GradedAnswer
from rungwise_server.ledger.quality import FEW, How, more_grades, of_grades, rubric_of

Standing = Literal["weak", "good", "unknown"]


class Segment(Struct, frozen=True):
    """A part of the traffic. `weak`: of every candidate that was graded there, it is shown that it is below the target;
    `good`: of one, that it is not; else `unknown`, and `more` of people's grades might tell. Of several candidates, the
    figures are the best one's.
    """

    kind: Literal["language", "topic"]
    name: str
    share: float | None
    """Of the traffic that was looked at; None where nobody knows."""
    candidate: str
    candidates: tuple[str, ...]
    """All that have enough grades there to tell."""
    estimate: float
    low: float
    high: float
    count: int
    how: How
    standing: Standing
    more: int


def segments_of(evidence: Evidence, target: float) -> tuple[Segment, ...]:
    """Languages and topics with at least `FEW` graded answers; the weakest first."""
    rubric = rubric_of(evidence.graded)
    graded = [one for one in evidence.graded if one.rubric == rubric]
    languages = _groups("language", graded, evidence, target)
    topics = _groups("topic", graded, replace(evidence, seen=()), target)
    return tuple(sorted([*languages, *topics], key=lambda one: (one.standing != "weak", one.estimate, one.name)))


def _groups(
    kind: Literal["language", "topic"], graded: Sequence[GradedAnswer], evidence: Evidence, target: float
) -> list[Segment]:
    seen = evidence.seen
    asked = Counter(one.language for one in seen)
    names = {getattr(one, kind) for one in graded} - {""}
    if len(names) < 2:
        return []  # the whole workload is no part of it
    found = []
    for name in sorted(names):
        mine = [one for one in graded if getattr(one, kind) == name]
        qualities = {
            candidate: of_grades(
                [one for one in mine if one.candidate == candidate], {candidate: 1.0}, "", evidence.judges
            )
            for candidate in sorted({one.candidate for one in mine})
        }
        told = {candidate: one for candidate, one in qualities.items() if one is not None and one.count >= FEW}
        if not told:
            continue
        candidate, best = max(told.items(), key=lambda pair: (pair[1].known, pair[1].estimate or 0.0, pair[0]))
        standing: Standing = "unknown"
        if all(one.known and one.high < target for one in told.values()):
            standing = "weak"
        elif any(one.known and one.low >= target for one in told.values()):
            standing = "good"
        found.append(
            Segment(
                kind,
                name,
                asked[name] / len(seen) if seen else None,
                candidate,
                tuple(told),
                best.estimate or 0.0,
                best.low,
                best.high,
                best.count,
                best.how,
                standing,
                more_grades(best.estimate, best.people, target) if standing == "unknown" else 0,
            )
        )
    return found
