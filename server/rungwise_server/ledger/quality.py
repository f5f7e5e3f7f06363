"""How good the answers are, with an interval, and how anybody knows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from rungwise_server.evals import EvalRun
from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.grades import Item
from rungwise_server.judging.certificates.intervals import Interval
from rungwise_server.judging.certificates.sums import columns_of, estimates_of
from rungwise_server.ledger.evidence import GradedAnswer, Said
from rungwise_server.ledger.trusted import UNKNOWN, JudgeStanding

How = Literal["people", "corrected", "judge", "run", "thumbs", "nothing"]
"""People's grades; a certified judge's, corrected by people's; a judge's alone; a metric of an eval run; thumbs;
nothing at all. A judge is taken with a standing certificate, else people alone, if they graded anything.
"""

TOLD: Mapping[How, str] = {
    "people": "people's grades",
    "corrected": "a certified judge's grades, corrected by people's",
    "judge": "a judge's grades, which no person checked",
    "run": "a metric of an eval run",
    "thumbs": "thumbs alone",
    "nothing": "nothing",
}
LEVEL = 0.95
FEW = 5
"""Fewer grades say nothing."""
PROXIES = ("correct", "exact", "f1", "contains", "groundedness", "grounded")
"""Metrics of eval runs that stand for quality, best first; a judge's comes before them."""


class Quality(Struct, frozen=True):
    """The share of good answers. `estimate` is None where nobody knows."""

    how: How = "nothing"
    estimate: float | None = None
    low: float = 0.0
    high: float = 1.0
    count: int = 0
    """Grades, cells or thumbs that it stands on."""
    people: int = 0
    """Of them, answers graded by people."""
    rubric: str = ""
    note: str = ""
    rows: int = 0
    """Grades in the log, under the rubric: those of candidates that serve nobody included."""
    judge: str = ""
    """The `name@hash` of the judge that it stands on."""
    certificate: str = ""
    """The id of that judge's certificate."""
    verdict: str = ""
    """What the certificate says."""

    @property
    def known(self) -> bool:
        """Whether anything can be leant on: thumbs, a judge alone, and a metric that people did not confirm, cannot."""
        return self.how in ("people", "corrected") and self.count >= FEW

    def comparable(self, other: "Quality") -> bool:
        """Whether the two can be held against each other: under one rubric, both known or both of eval runs."""
        both = (self.known and other.known) or (self.how == other.how == "run" and min(self.count, other.count) >= FEW)
        return both and self.rubric == other.rubric


def quality_of(
    graded: Sequence[GradedAnswer],
    shares: Mapping[str, float],
    runs: Sequence[EvalRun],
    said: Said,
    judges: Mapping[str, JudgeStanding] = {},
) -> Quality:
    """Of the workload's answers, each candidate counting by its share of the traffic (by its grades, where it has no
    traffic at all).
    """
    rubric = rubric_of(graded)
    answers = [one for one in graded if one.rubric == rubric]
    serving = [one for one in answers if shares.get(one.candidate)]
    rows = sum(len(one.people) + len(one.judges) for one in answers)
    found = of_grades(serving or answers, shares, rubric, judges)
    if found is not None:
        people = found.how == "people"
        return replace(found, rows=sum(len(one.people) for one in answers) if people else rows)
    return _of_runs(runs, [name for name in shares if shares[name]]) or _of_thumbs(said) or Quality()


def by_candidate(
    graded: Sequence[GradedAnswer], runs: Sequence[EvalRun], judges: Mapping[str, JudgeStanding] = {}
) -> dict[str, Quality]:
    """Each candidate's own, of those that anything is known of."""
    rubric = rubric_of(graded)
    names = {one.candidate for one in graded} | {name for run in runs for name in run.candidates}
    found = {}
    for name in sorted(names):
        mine = [one for one in graded if one.rubric == rubric and one.candidate == name]
        quality = of_grades(mine, {name: 1.0}, rubric, judges) or _of_runs(runs, [name])
        if quality is not None:
            found[name] = quality
    return found


def rubric_of(graded: Sequence[GradedAnswer]) -> str:
    """The rubric that says most: the one that people graded most, `correct` among equals."""
    counts = Counter({one.rubric: 0 for one in graded})
    for one in graded:
        counts[one.rubric] += 1000 * bool(one.people) + 1
    return max(counts, key=lambda name: (counts[name], name == "correct", name), default="")


def of_grades(
    answers: Sequence[GradedAnswer], shares: Mapping[str, float], rubric: str, judges: Mapping[str, JudgeStanding] = {}
) -> Quality | None:
    """What the grades of `answers`, all under one rubric, say; None where there are none that say anything.

    Of the judges, the one that graded most is taken, certified ones first; without a certificate it is not set beside
    people's grades, and one that was found to be no good says nothing at all.
    """
    counts = Counter(name for one in answers for name, _ in one.judges)
    people = sum(bool(one.people) for one in answers)

    def rank(name: str) -> tuple[bool, bool, int, str]:
        standing = judges.get(name, UNKNOWN)
        return standing.usable, standing.verdict != "do not use", counts[name], name

    judge = max(counts, key=rank, default="")
    standing = judges.get(judge, UNKNOWN)
    name = judge.partition("@")[0]
    unused = ""
    if judge and not standing.usable and (people or standing.verdict == "do not use"):
        unused = f"the judge {name} graded {counts[judge]:,} answers, which do not count: {standing.why}"
        judge, standing = "", UNKNOWN
    each = Counter(one.candidate for one in answers)
    items = [
        Item(
            one.id,
            dict(one.judges).get(judge),
            float(np.mean(one.people)) if one.people else None,
            one.people,
            weight=max(shares.get(one.candidate, 0.0), 1e-6) / each[one.candidate],
        )
        for one in answers
        if one.people or judge in dict(one.judges)
    ]
    if not items:
        return None
    estimates = estimates_of(columns_of(items), threshold=0.5, level=LEVEL)
    if people and judge:
        who = f"the judge {name} graded {counts[judge]:,} answers, people {people:,}"
        note = f"{who}; {standing.certificate}: {standing.why}"
        found = _from(estimates.quality, "corrected", people, rubric, note)
        return replace(found, judge=judge, certificate=standing.certificate, verdict=standing.verdict)
    if people and estimates.humans_alone:
        return _from(estimates.humans_alone, "people", people, rubric, unused)
    if estimates.judge_alone:
        certified = f"{standing.certificate}: {standing.why}" if standing.usable else standing.why
        note = f"{name}'s own errors are not in this interval: grade some of its answers, and they will be; {certified}"
        found = _from(estimates.judge_alone, "judge", 0, rubric, note)
        return replace(found, judge=judge, certificate=standing.certificate, verdict=standing.verdict)
    return None


def _from(interval: Interval, how: How, people: int, rubric: str, note: str) -> Quality:
    return Quality(how, interval.estimate, interval.low, interval.high, interval.count, people, rubric, note)


def _of_runs(runs: Sequence[EvalRun], candidates: Sequence[str]) -> Quality | None:
    """The newest run that has any of the candidates."""
    for run in sorted(runs, key=lambda one: -one.at):
        cells = [cell for cell in run.cells if cell.candidate in candidates and cell.outcome == "ok"]
        judges = [judge.partition("@")[0] for judge in run.judges]
        metric = next((m for m in (*judges, *PROXIES) if any(m in cell.metrics for cell in cells)), "")
        values = [cell.metrics[metric] for cell in cells if metric in cell.metrics]
        if values:
            low, high = mean_interval(values)
            note = f"{metric}, in {run.set_id}; what no person graded is a proxy"
            return Quality("run", float(np.mean(values)), low, high, len(values), 0, metric, note)
    return None


def _of_thumbs(said: Said) -> Quality | None:
    if not said.thumbs:
        return None
    share = said.thumbs_up / said.thumbs
    low, high = mean_interval([1.0] * said.thumbs_up + [0.0] * (said.thumbs - said.thumbs_up))
    note = "biased: who is annoyed clicks more than who is served, and most never click; the interval knows none of it"
    return Quality("thumbs", share, low, high, said.thumbs, 0, "", note)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval of a mean of values from 0 to 1: of the beta distribution with Jeffreys' prior. Values between the
    ends vary less than passes and fails do, so it is too wide for them rather than too narrow.
    """
    total, count = float(sum(values)), len(values)
    tail = (1 - LEVEL) / 2
    low = 0.0 if total <= 0 else float(beta.quantile(tail, total + 0.5, count - total + 0.5))
    high = 1.0 if total >= count else float(beta.quantile(1 - tail, total + 0.5, count - total + 0.5))
    return low, high


def more_grades(estimate: float | None, count: int, target: float) -> int:
    """How many more grades would tell whether the quality is above or below `target`: until half of the 95 % interval
    of a share is less than the distance, 30 in all at least and 400 at most.
    """
    share = ((estimate or 0.0) * count + 1.0) / (count + 2) if estimate is not None else 0.5
    distance = max(abs(share - target), 0.02)
    needed = min(max(1.96**2 * share * (1 - share) / distance**2, 30.0), 400.0)
    return max(int(np.ceil(needed)) - count, FEW)
