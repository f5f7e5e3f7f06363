"""What was asked and what it cost: by candidate, by day, and how sure the mean of a day is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from msgspec import Struct

from rungwise_server.ledger.evidence import Entry, Evidence
from rungwise_server.ledger.facts import CandidateFacts
from rungwise_server.ledger.sheet import DRAWS, Floats, seeded
from rungwise_server.records import Total
from rungwise_server.types import Price, Usage

DAY = 86_400.0
FEW_DAYS = 7
"""With fewer days than these nobody has seen a week: a day's mean is taken to be right within half and twice."""
_SPREAD = math.log(2) / 1.645


class CandidateTraffic(Struct, frozen=True):
    """What one candidate answered. `unpriced` are answers whose cost nobody knows; those of hardware are paid by the
    hour, which `hosting` is.
    """

    candidate: str
    requests: int
    ok: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost: float
    hosting: float
    mean_ms: float

    @property
    def money(self) -> float:
        """All that is known to have been spent."""
        return self.cost + self.hosting


class DayTraffic(Struct, frozen=True):
    """What one day brought and cost."""

    day: str
    requests: int
    money: float


class Traffic(Struct, frozen=True):
    """A workload's traffic, without what our own programs asked and what clients asked for titles and tags."""

    candidates: tuple[CandidateTraffic, ...]
    """Most asked first."""
    days: tuple[DayTraffic, ...]
    """From the first day with traffic to the last of the time looked at, days without any included."""

    @property
    def requests(self) -> int:
        """Answers, failed ones included."""
        return sum(one.requests for one in self.candidates)

    @property
    def unpriced(self) -> int:
        """Answers whose cost nobody knows."""
        return sum(one.unpriced for one in self.candidates)

    @property
    def money(self) -> float:
        """All that is known to have been spent."""
        return math.fsum(one.money for one in self.candidates)

    @property
    def tokens_each(self) -> float:
        """Tokens of a usual answer, in and out."""
        tokens = sum(one.input_tokens + one.output_tokens for one in self.candidates)
        return tokens / max(sum(one.ok for one in self.candidates), 1)

    def share(self, candidate: str) -> float:
        """Of all requests."""
        asked = sum(one.requests for one in self.candidates if one.candidate == candidate)
        return asked / self.requests if self.requests else 0.0


def traffic_of(evidence: Evidence, candidates: Mapping[str, CandidateFacts]) -> Traffic:
    """The traffic in `evidence`."""
    by_candidate: dict[str, list[Entry]] = {}
    by_day: dict[str, list[Entry]] = {}
    for entry in evidence.traffic:
        by_candidate.setdefault(entry.total.candidate, []).append(entry)
        by_day.setdefault(entry.total.day, []).append(entry)
    rows = [_candidate(name, entries, candidates.get(name)) for name, entries in by_candidate.items()]
    days = []
    if by_day:
        at, last = date.fromisoformat(min(by_day)), datetime.fromtimestamp(evidence.until, UTC).date()
        while at <= last:
            entries = by_day.get(at.isoformat(), [])
            asked = sum(entry.total.requests for entry in entries)
            days.append(DayTraffic(at.isoformat(), asked, math.fsum(entry.money for entry in entries)))
            at += timedelta(days=1)
    return Traffic(tuple(sorted(rows, key=lambda row: (-row.requests, row.candidate))), tuple(days))


def _candidate(name: str, entries: Sequence[Entry], facts: CandidateFacts | None) -> CandidateTraffic:
    totals = [entry.total for entry in entries]
    requests = sum(total.requests for total in totals)
    hosted = facts is not None and facts.hourly is not None
    return CandidateTraffic(
        name,
        requests,
        sum(total.ok for total in totals),
        0 if hosted else requests - sum(total.priced for total in totals),
        sum(total.input_tokens for total in totals),
        sum(total.output_tokens for total in totals),
        math.fsum(total.cost for total in totals),
        math.fsum(entry.hosting for entry in entries),
        math.fsum(total.total_ms for total in totals) / requests if requests else 0.0,
    )


def money_of(entries: Iterable[Entry]) -> float:
    """All that is known to have been spent on them."""
    return math.fsum(entry.money for entry in entries)


def with_hosting(totals: Sequence[Total], candidates: Mapping[str, CandidateFacts], until: float) -> list[Entry]:
    """Every sum with its part of the day's hours of hardware, by requests: the parts of one day make up the whole day.

    A day on which a candidate answered nothing is nobody's. `totals` are all sums of all workloads.
    """
    asked: dict[tuple[str, str], int] = {}
    for total in totals:
        key = total.day, total.candidate
        asked[key] = asked.get(key, 0) + total.requests

    def entry(total: Total) -> Entry:
        facts = candidates.get(total.candidate)
        if facts is None or facts.hourly is None or not total.requests:
            return Entry(total)
        day = facts.hourly * hours_of(total.day, until)
        return Entry(total, day * total.requests / asked[total.day, total.candidate])

    return [entry(total) for total in totals]


def hours_of(day: str, until: float) -> float:
    """How many hours of a day there are before `until`."""
    began = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
    return min(max((until - began) / 3600, 0.0), 24.0)


class Volume(Struct, frozen=True):
    """Requests on a usual day, and how many days say so."""

    mean: float
    draws: Floats
    days: int
    told: str


def volume_of(traffic: Traffic, until: float) -> Volume:
    """The mean of whole days; today counts where there is no other. Weeks are drawn anew (a block bootstrap) where two
    have been seen, else days; fewer than `FEW_DAYS` say little.
    """
    today = datetime.fromtimestamp(until, UTC).date().isoformat()
    whole = [day.requests for day in traffic.days if day.day != today]
    if not whole:
        hours = hours_of(today, until)
        mean = sum(day.requests for day in traffic.days) * 24 / max(hours, 1.0)
        return Volume(mean, _vague(mean), 0, "less than one whole day has been seen: half to twice of it is assumed")
    mean = sum(whole) / len(whole)
    if len(whole) < FEW_DAYS:
        told = f"only {len(whole)} whole days have been seen: half to twice of their mean is assumed"
        return Volume(mean, _vague(mean), len(whole), told)
    block = 7 if len(whole) >= 14 else 1
    told = f"the mean of {len(whole)} days, {'weeks' if block > 1 else 'days'} drawn anew for the range"
    return Volume(mean, _bootstrap(np.array(whole, dtype=np.float64), block), len(whole), told)


def _vague(mean: float) -> Floats:
    return np.asarray(mean * np.exp(seeded("volume").normal(0.0, _SPREAD, DRAWS)))


def _bootstrap(values: Floats, block: int) -> Floats:
    pieces = -(-values.size // block)
    starts = seeded("volume").integers(0, values.size, (DRAWS, pieces))
    drawn = (starts[:, :, None] + np.arange(block)) % values.size
    return np.asarray(values[drawn.reshape(DRAWS, -1)[:, : values.size]].mean(axis=1))


def answer_cost(row: CandidateTraffic, price: Price | None) -> float | None:
    """What one answer of a candidate costs in tokens: as logged; where nothing was, at today's price; else unknown."""
    priced = row.requests - row.unpriced
    if row.hosting and not row.cost:
        return 0.0
    if priced > 0:
        return row.cost / priced
    if price is None or not row.requests:
        return None
    return price.of(Usage(row.input_tokens, row.output_tokens)) / row.requests
