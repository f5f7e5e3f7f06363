"""What was asked and what it cost; money adds up over workloads and days."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.ledger.evidence import Entry, Evidence
from rungwise_server.ledger.facts import CandidateFacts
from rungwise_server.ledger.traffic import answer_cost, money_of, traffic_of, volume_of, with_hosting
from rungwise_server.records import Total
from rungwise_server.types import Price

NOON = 20_000 * 86_400 + 43_200.0  # of 2024-10-04
DAYS = ("2024-10-01", "2024-10-02", "2024-10-03", "2024-10-04")
CANDIDATES = {"frontier": CandidateFacts("frontier"), "own": CandidateFacts("own", hourly=2.0)}


@st.composite
def totals(draw: st.DrawFn) -> list[Total]:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(DAYS), st.sampled_from("abc"), st.sampled_from(("frontier", "own", "other"))),
            unique=True,
            max_size=20,
        )
    )
    made = []
    for day, workload, candidate in keys:
        requests = draw(st.integers(1, 10_000))
        priced = draw(st.integers(0, requests))
        cost = draw(st.floats(0, 1000)) if priced else 0.0
        made.append(Total(day, workload, candidate, requests, requests, priced, 10, 5, cost, 1.0))
    return made


def evidence(entries: Sequence[Entry], workload: str = "a") -> Evidence:
    mine = [entry for entry in entries if entry.total.workload == workload]
    return Evidence(workload, NOON - 30 * 86_400, NOON, traffic=mine)


@given(traffic=totals(), own=totals())
def test_money_adds_up_over_workloads_and_days(traffic: list[Total], own: list[Total]) -> None:
    entries = with_hosting([*traffic, *own], CANDIDATES, NOON)
    asked, evaluated = entries[: len(traffic)], entries[len(traffic) :]
    hosted = {total.day for total in (*traffic, *own) if total.candidate == "own"}
    hours = sum(12.0 if day == DAYS[-1] else 24.0 for day in hosted)
    spent = math.fsum(total.cost for total in (*traffic, *own)) + 2.0 * hours
    assert money_of(asked) + money_of(evaluated) == pytest.approx(spent)
    pages = [traffic_of(evidence(asked, workload), CANDIDATES) for workload in "abc"]
    assert math.fsum(page.money for page in pages) == pytest.approx(money_of(asked))
    for page in pages:
        assert math.fsum(day.money for day in page.days) == pytest.approx(page.money)
        assert sum(day.requests for day in page.days) == page.requests
        assert sum(page.share(row.candidate) for row in page.candidates) == pytest.approx(1.0 if page.requests else 0.0)


def entry(day: str, requests: int, **changes: float) -> Entry:
    return Entry(Total(day, "a", "frontier", requests, requests, requests, 0, 0, changes.get("cost", 0.0), 0.0))


def test_days_without_traffic_count_and_today_does_not() -> None:
    entries = [entry("2024-10-01", 90), entry("2024-10-03", 30), entry("2024-10-04", 500)]
    page = traffic_of(evidence(entries), {})
    assert [(day.day, day.requests) for day in page.days] == list(zip(DAYS, (90, 0, 30, 500), strict=True))
    volume = volume_of(page, NOON)
    assert volume.mean == 40.0
    assert volume.days == 3
    assert "only 3 whole days" in volume.told


def test_today_alone_is_reckoned_up_to_a_day() -> None:
    volume = volume_of(traffic_of(evidence([entry("2024-10-04", 60)]), {}), NOON)
    assert volume.mean == 120.0
    assert volume.days == 0


def test_more_days_say_more() -> None:
    def spread(days: int) -> float:
        entries = [entry(f"2024-09-{day:02d}", 100 + 20 * (day % 3)) for day in range(30 - days, 30)]
        made = Evidence("a", 0.0, NOON - 4 * 86_400, traffic=entries)
        draws = volume_of(traffic_of(made, {}), NOON - 4 * 86_400).draws
        return float(draws.std() / draws.mean())

    assert spread(3) > spread(10) > spread(28) > 0


def test_an_answer_costs_what_was_logged_else_what_is_known_now() -> None:
    def row(requests: int, priced: int, cost: float, candidate: str = "frontier", hosting: float = 0.0) -> float | None:
        total = Total("2024-10-01", "a", candidate, requests, requests, priced, 1000 * requests, 0, cost, 0.0)
        made = Evidence("a", 0.0, NOON, traffic=[Entry(total, hosting)])
        return answer_cost(traffic_of(made, CANDIDATES).candidates[0], price)

    price: Price | None = Price(10.0, 50.0)
    assert row(10, 8, 0.4) == pytest.approx(0.05)
    assert row(10, 0, 0.0) == pytest.approx(0.01)
    assert row(10, 0, 0.0, "own", 48.0) == 0.0
    price = None
    assert row(10, 0, 0.0) is None


def test_what_hardware_answers_is_not_unpriced() -> None:
    total = Total("2024-10-01", "a", "own", 10, 10, 0, 0, 0, 0.0, 0.0)
    entries = with_hosting([total], CANDIDATES, NOON)
    (row,) = traffic_of(evidence(entries), CANDIDATES).candidates
    assert (row.unpriced, row.hosting) == (0, 48.0)
    (row,) = traffic_of(evidence([Entry(total)]), {}).candidates
    assert row.unpriced == 10
