"""The sheet of today: volume, price of an answer, hardware, and what a year of it costs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rungwise_server.ledger.assumptions import GPU_DRIFT, GROWTH, PEAK_HOUR, PRICE_DRIFT
from rungwise_server.ledger.evidence import Entry, Evidence
from rungwise_server.ledger.facts import RUNGS, CandidateFacts, Facts, Rung, WorkloadFacts
from rungwise_server.ledger.quality import TOLD, Quality
from rungwise_server.ledger.sheet import (
    DRAWS,
    Figure,
    Floats,
    Line,
    Rows,
    Sheet,
    Source,
    configured,
    logged,
    priced_by,
    seeded,
    shares,
)
from rungwise_server.ledger.show import percent
from rungwise_server.ledger.traffic import Traffic, answer_cost, volume_of
from rungwise_server.records import LogQuery

HOURS = 8760.0
UNPRICED = 0.5
"""Where the price of more answers than these is not known, nobody knows what a year costs, or what would save."""


@dataclass(frozen=True)
class Machine:
    """Hardware of one's own under a workload: its year, an hour of this workload's part of it, how many requests an
    hour that part takes (0: not known), and the share of the traffic that it answers.
    """

    year: Figure
    hourly: Figure
    capacity: float
    share: float


@dataclass(frozen=True)
class Today:
    """Figures that every rung is held against."""

    sheet: Sheet
    volume: Figure
    year: Figure
    tokens: Figure
    """Of the year, what is paid by the token: it goes where the traffic goes."""
    machines: Mapping[str, "Machine"]
    """Of the year, what is paid by the hour, by candidate: it is paid whether the traffic goes or stays."""
    drift: Figure
    gpu_drift: Figure
    peak: Figure
    quality: Figure
    unpriced_share: float
    """Of the answers, those of candidates of which no price is known at all."""

    @property
    def known(self) -> bool:
        """Whether the year is the sum of most that is paid."""
        return self.unpriced_share <= UNPRICED

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown of it."""
        return self.sheet.lines


def rows_of(evidence: Evidence, count: int, candidate: str = "") -> Rows:
    """Answers of the traffic."""
    query = LogQuery(kind="inference", workload=evidence.workload, since=evidence.since, until=evidence.until)
    return Rows(query, count, candidate)


def rung_of(facts: WorkloadFacts, traffic: Traffic, candidates: dict[str, CandidateFacts]) -> tuple[Rung, str]:
    """Today's rung: of the candidate that answers most, or is to answer first; and why."""
    first = next(iter(facts.candidates), "nobody")
    name = next((row.candidate for row in traffic.candidates if row.candidate and row.ok), first)
    trained = candidates[name].trained if name in candidates else ""
    share = traffic.share(name)
    part = f"{name} answers {percent(share)} of the requests" if share else f"{name} is to answer"
    if trained:
        return trained, f"{part}; `candidates.{name}.trained` is {trained}"
    if facts.collections:
        return "rag", f"{part}, from passages of {', '.join(facts.collections)}"
    return "prompting", f"{part}, from its prompt alone"


def above(rung: Rung) -> tuple[Rung, ...]:
    """The rungs above, nearest first."""
    return RUNGS[RUNGS.index(rung) + 1 :]


def today_of(
    evidence: Evidence,
    traffic: Traffic,
    quality: Quality,
    facts: Facts,
    factor: float = 1.0,
    *,
    certain: bool = False,
) -> Today:
    """What a year of today's traffic costs, at `factor` times today's volume; `certain` as `Sheet` has it."""
    sheet = Sheet(evidence.workload, certain=certain)
    seen = volume_of(traffic, evidence.until)
    asked = sheet.given(
        "asked",
        "Requests a day so far",
        seen.told,
        seen.mean,
        "requests/day",
        logged("the traffic", rows_of(evidence, traffic.requests)),
        draws=seen.draws,
    )
    volume = sheet.reckon(
        "volume",
        "Requests a day over the year",
        "requests a day so far × the year's over today's" + ("" if factor == 1 else f" × {factor:g}"),
        "requests/day",
        lambda v, g: v * g * factor,
        asked,
        sheet.assume("growth", "Traffic of the year over today's", GROWTH),
    )
    drift = sheet.assume("price-drift", "Price of a token over the year", PRICE_DRIFT)
    gpu_drift = sheet.assume("hardware-drift", "Price of hardware over the year", GPU_DRIFT)
    peak = sheet.assume("peak-hour", "Busiest hour over the mean one", PEAK_HOUR)
    parts: list[Figure] = []
    machines: dict[str, Machine] = {}
    unpriced = 0.0
    for row in traffic.candidates:
        one = facts.candidates.get(row.candidate, CandidateFacts(row.candidate))
        share = traffic.share(row.candidate)
        cost = answer_cost(row, one.price)
        if cost is None:
            unpriced += share if row.ok else 0.0
        elif cost > 0:
            price = one.price_from if row.unpriced == row.requests else ""
            parts.append(_tokens(sheet, evidence, row.candidate, share, cost, (volume, drift), price))
        if one.hourly is not None:
            machines[row.candidate] = _machine(sheet, evidence, one, share, (volume, peak, gpu_drift))
    formula = "the sum of what each candidate costs by the token" if parts else "nothing is paid by the token"
    tokens = sheet.total("tokens", "Tokens in a year", formula, "money/year", *parts)
    hardware = [machine.year for machine in machines.values()]
    formula = "tokens + hardware" if hardware else "tokens; no hardware of your own"
    year = sheet.total("today", "A year as today", formula, "money/year", tokens, *hardware)
    if unpriced > UNPRICED:
        tokens, year = sheet.not_known(tokens), sheet.not_known(year)
    return Today(
        sheet, volume, year, tokens, machines, drift, gpu_drift, peak, _quality(sheet, evidence, quality), unpriced
    )


def _tokens(
    sheet: Sheet, evidence: Evidence, name: str, share: float, cost: float, of: tuple[Figure, Figure], price: str
) -> Figure:
    """`price` is where the price is from, if it is not the log that says what answers cost."""
    entries = [entry for entry in evidence.traffic if entry.total.candidate == name]
    count = sum(entry.total.requests for entry in entries)
    answer = sheet.given(
        f"answer-{name}",
        f"Tokens of one answer of {name}",
        "mean tokens × today's price, for none was logged" if price else "logged cost over answers whose cost is known",
        cost,
        "money",
        priced_by(price) if price else logged("answers with a cost", rows_of(evidence, count, name)),
        draws=_cost_draws(entries, cost),
    )
    return sheet.reckon(
        f"tokens-{name}",
        f"Tokens of {name} in a year",
        f"365 × requests a day × {share:.4g} of them × one answer × price over the year",
        "money/year",
        lambda v, d, a: 365 * v * share * a * d,
        *of,
        answer,
    )


def _cost_draws(entries: list[Entry], cost: float) -> Floats:
    asked = np.array([entry.total.priced for entry in entries], dtype=np.float64)
    paid = np.array([entry.total.cost for entry in entries])
    if not asked.sum():
        return np.full(DRAWS, cost)
    picks = seeded("answer-cost").integers(0, asked.size, (DRAWS, asked.size))
    requests = asked[picks].sum(axis=1)
    return np.where(requests > 0, paid[picks].sum(axis=1) / np.maximum(requests, 1), cost)


def _machine(
    sheet: Sheet, evidence: Evidence, one: CandidateFacts, share: float, of: tuple[Figure, Figure, Figure]
) -> Machine:
    entries = [entry for entry in evidence.traffic if entry.total.candidate == one.name]
    spent = sum(entry.hosting for entry in entries)
    whole = len({entry.total.day for entry in entries}) * 24 * (one.hourly or 0.0)
    part = min(spent / whole, 1.0) if whole else 1.0
    hourly = sheet.given(
        f"hour-{one.name}",
        f"An hour of the hardware of {one.name}",
        f"{part:.4g} of it is this workload's, by requests",
        (one.hourly or 0.0) * part,
        "money",
        configured(f"candidates.{one.name}.hosting.hourly"),
    )
    capacity = one.requests_per_hour * part
    year = sheet.reckon(
        f"hardware-{one.name}",
        f"Hardware of {one.name} in a year",
        f"8,760 hours × an hour × price over the year{_more(capacity, one.name)}",
        "money/year",
        lambda v, k, d, h: HOURS * h * d * load_of(v * share, k, capacity),
        *of,
        hourly,
    )
    return Machine(year, hourly, capacity, share)


def _more(capacity: float, name: str) -> str:
    if capacity:
        return f" × as many of it as the busiest hour needs, at {capacity:g} requests an hour, one at least"
    return f"; how much it can take is not known (`candidates.{name}.hosting.requests_per_hour`)"


def load_of(per_day: Floats, peak: Floats, per_hour: Floats | float) -> Floats:
    """How many machines the busiest hour needs: one at least, and from there on by the part."""
    capacity = np.asarray(per_hour, dtype=np.float64)
    needed = np.where(capacity > 0, per_day / 24 * peak / np.where(capacity > 0, capacity, 1.0), 1.0)
    return np.asarray(np.maximum(needed, 1.0))


def _quality(sheet: Sheet, evidence: Evidence, quality: Quality) -> Figure:
    """The quality as a figure: what is not known at all is anything from nothing to all."""
    value = 0.5 if quality.estimate is None else quality.estimate
    name, since, until = evidence.workload, evidence.since, evidence.until
    if quality.how in ("people", "corrected", "judge"):
        query = LogQuery(kind="grade", workload=name, since=since, until=until)
        source = logged("grades", Rows(query, quality.rows, people=quality.how == "people", rubric=quality.rubric))
    elif quality.how == "thumbs":
        query = LogQuery(kind="feedback", workload=name, since=since, until=until)
        source = logged("ratings", Rows(query, quality.count, kinds=("rating",)))
    else:
        source = Source("kept", quality.note or "nothing has been graded")
    return sheet.given(
        "quality",
        "Share of good answers",
        f"known from {TOLD[quality.how]}",
        value,
        "share",
        source,
        draws=shares("quality", value, quality.low, quality.high),
    )
