"""The ledger of one workload: everything that was reckoned, ready to be shown."""

from collections.abc import Sequence

from msgspec import Struct

from rungwise_server.ledger.advice import Advice, advise
from rungwise_server.ledger.cases import Case, cases_of
from rungwise_server.ledger.climb import Ground, Plan, plan_of
from rungwise_server.ledger.evidence import Evidence
from rungwise_server.ledger.facts import CandidateFacts, Facts, Rung, WorkloadFacts
from rungwise_server.ledger.quality import Quality, by_candidate, quality_of
from rungwise_server.ledger.sheet import Line, Rows, Sheet, logged
from rungwise_server.ledger.simulate import Simulation, Volume, simulate
from rungwise_server.ledger.speed import Speed, speeds_of
from rungwise_server.ledger.today import above, rows_of, rung_of, today_of
from rungwise_server.ledger.traffic import Traffic, money_of, traffic_of
from rungwise_server.ledger.weak import Segment, segments_of
from rungwise_server.records import LogQuery


class Page(Struct, frozen=True):
    """One workload's page of the ledger."""

    workload: str
    description: str
    configured: bool
    currency: str
    target: float
    since: float
    until: float
    rung: Rung
    rung_why: str
    traffic: Traffic
    spent: tuple[Line, ...]
    """What these days cost: lines of the log."""
    quality: Quality
    qualities: tuple[tuple[str, Quality], ...]
    """Each candidate's own."""
    speeds: tuple[Speed, ...]
    looked_at: int
    """Answers of the traffic whose bodies were read, for languages and latency."""
    segments: tuple[Segment, ...]
    today: tuple[Line, ...]
    """The sum of a year as today."""
    plans: tuple[Plan, ...]
    cases: tuple[Case, ...]
    advice: Advice
    simulation: Simulation | None
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line there is, those of the plans included."""
        return (*self.spent, *self.today, *(line for plan in self.plans for line in plan.lines))


def page_of(evidence: Evidence, facts: Facts, volumes: Sequence[Volume] = ()) -> Page:
    """All that can be said of a workload."""
    workload = facts.workloads.get(evidence.workload) or WorkloadFacts(evidence.workload, configured=False)
    traffic = traffic_of(evidence, facts.candidates)
    shares = {row.candidate: traffic.share(row.candidate) for row in traffic.candidates}
    quality = quality_of(evidence.graded, shares, evidence.runs, evidence.said, evidence.judges)
    qualities = by_candidate(evidence.graded, evidence.runs, evidence.judges)
    ground = Ground(evidence, workload, traffic, quality, qualities, facts)
    rung, why = rung_of(workload, traffic, dict(facts.candidates))
    today = today_of(evidence, traffic, quality, facts)
    plans = () if ground.ours else tuple(plan_of(one, ground, today) for one in above(rung))
    segments = segments_of(evidence, facts.terms.target)
    speeds = speeds_of(evidence.seen)
    able = [name for name in workload.candidates if facts.candidates.get(name, CandidateFacts(name)).generates]
    cases = cases_of(segments, speeds, plans, facts.terms.latency_ms, able)
    return Page(
        workload.name,
        workload.description,
        workload.configured,
        facts.terms.currency,
        facts.terms.target,
        evidence.since,
        evidence.until,
        rung,
        why,
        traffic,
        _spent(evidence, traffic),
        quality,
        tuple(sorted(qualities.items())),
        speeds,
        len(evidence.seen),
        segments,
        today.lines,
        plans,
        cases,
        advise(ground, rung, today, plans, cases),
        simulate(ground, rung, volumes) if volumes else None,
        _notes(evidence, traffic, facts),
    )


def _spent(evidence: Evidence, traffic: Traffic) -> tuple[Line, ...]:
    sheet = Sheet(evidence.workload)
    for row in traffic.candidates:
        whence = logged(f"answers of {row.candidate}", rows_of(evidence, row.requests, row.candidate))
        unpriced = f"; of {row.unpriced:,} the cost is not known" if row.unpriced else ""
        formula = f"{row.requests:,} answers, tokens as logged{unpriced}"
        sheet.given(f"spent-{row.candidate}", f"Tokens of {row.candidate}", formula, row.cost, "money", whence)
        if row.hosting:
            formula = "24 hours of each day on which it answered × an hour, by this workload's part of the requests"
            sheet.given(
                f"hosting-{row.candidate}", f"Hardware of {row.candidate}", formula, row.hosting, "money", whence
            )
    sheet.total("spent", "Spent on answers", "the sum of these", "money", *sheet.figures)
    own = LogQuery(kind="inference", workload=evidence.workload, since=evidence.since, until=evidence.until, own=True)
    count = sum(entry.total.requests for entry in evidence.evaluation)
    sheet.given(
        "spent-on-evaluation",
        "Spent on evaluation",
        f"{count:,} answers that eval runs and judges asked for",
        money_of(evidence.evaluation),
        "money",
        logged("answers of the surfaces eval and judge", Rows(own, count, only_own=True)),
    )
    count = sum(entry.total.requests for entry in evidence.housekeeping)
    chores = LogQuery(
        kind="inference", workload=evidence.workload, since=evidence.since, until=evidence.until, housekeeping=True
    )
    sheet.given(
        "spent-on-housekeeping",
        "Spent on titles and tags",
        f"{count:,} answers that chat clients asked for by themselves",
        money_of(evidence.housekeeping),
        "money",
        logged("housekeeping answers", Rows(chores, count, only_housekeeping=True)),
    )
    return sheet.lines


def _notes(evidence: Evidence, traffic: Traffic, facts: Facts) -> tuple[str, ...]:
    notes = []
    asked = [facts.candidates[row.candidate] for row in traffic.candidates if row.candidate in facts.candidates]
    foreign = [one.name for one in asked if one.price is not None and not one.price_from.startswith("candidates.")]
    if foreign and facts.terms.currency != "USD":
        notes.append(
            f"{', '.join(foreign)}: prices of litellm's table are in USD, and are added up here as if they were "
            f"{facts.terms.currency}. A `price` in the configuration mends it."
        )
    if traffic.unpriced:
        notes.append(
            f"Of {traffic.unpriced:,} of {traffic.requests:,} answers the cost is not known (failed ones among "
            "them): they are in no sum of money."
        )
    if evidence.seen and len(evidence.seen) < traffic.requests:
        notes.append(
            f"Latency and languages are from {len(evidence.seen):,} answers in stretches all along the log, not "
            f"from all {traffic.requests:,}."
        )
    if evidence.graded_left_out:
        notes.append(f"{evidence.graded_left_out:,} answers that only judges graded were too many to look at.")
    if evidence.synthetic:
        notes.append(
            f"{evidence.synthetic:,} graded answers are to questions that a model wrote: they count for nothing here."
        )
    return tuple(notes)
