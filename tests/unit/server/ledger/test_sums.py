"""The sums of a page, done again on paper."""

import math
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rungwise_server.ledger.book import Page
from rungwise_server.ledger.climb import Ground, Plan, plan_of
from rungwise_server.ledger.evidence import Entry, Evidence
from rungwise_server.ledger.facts import CandidateFacts, Corpus, Facts, Terms, WorkloadFacts
from rungwise_server.ledger.quality import Quality
from rungwise_server.ledger.sheet import Line
from rungwise_server.ledger.simulate import Volume, parse_volumes
from rungwise_server.ledger.today import above, today_of
from rungwise_server.ledger.traffic import traffic_of
from rungwise_server.records import Inference, LogRecord, Total
from rungwise_server.testing.log import an_inference
from rungwise_server.types import Price

PagesOf = Callable[..., Awaitable[list[Page]]]


def value(page: Page, name: str) -> float:
    found = next(line.value for line in page.lines if line.name == f"{page.workload}/{name}")
    assert found is not None
    return found


async def test_a_year_on_paper(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    (page,) = await pages_of(answers)
    assert page.rung == "rag"
    assert [plan.rung for plan in page.plans] == ["finetuned", "continued", "scratch"]
    assert value(page, "spent") == pytest.approx(1000 * 0.02)
    assert value(page, "volume") == pytest.approx(100)
    assert value(page, "today") == pytest.approx(365 * 100 * 0.02)
    # One finetune is 4 × 8e9 × 1,000 examples × 1,200 tokens × 3 over 989e12 × .3: under an hour, so an hour; 5 runs.
    assert value(page, "finetuned/training") == pytest.approx(5 * 2.5)
    # Nothing is known of the quality: half is taken to be good. A thousand looks, and half a thousand of 5 each.
    assert value(page, "finetuned/making") == pytest.approx(1000 * (1 + 0.5 * 5) / 60 * 60)
    assert value(page, "finetuned/grading") == pytest.approx(200 / 60 * 60)
    assert value(page, "finetuned/building") == pytest.approx(80 * 60)
    upfront = 12.5 + 3500 + 200 + 4800
    assert value(page, "finetuned/upfront") == pytest.approx(upfront)
    assert value(page, "finetuned/capacity") == pytest.approx(3600 * 989e12 * 0.1 / (2 * 8e9 * 1200))
    assert value(page, "finetuned/hardware") == pytest.approx(8760 * 2.5)
    year = 730 * 0.2 + 8760 * 2.5 + 0.25 * upfront
    assert value(page, "finetuned/next-year") == pytest.approx(year)
    assert value(page, "finetuned/saving") == pytest.approx(730 - year)
    assert value(page, "finetuned/payback") == math.inf
    hours = 6 * 8e9 * 1e9 / (989e12 * 0.3) / 3600
    assert value(page, "continued/reading-hours") == pytest.approx(hours)
    assert value(page, "continued/training") == pytest.approx((hours + 1) * 1.3 * 2.5)
    assert value(page, "scratch/corpus") == pytest.approx(20 * 8e9)
    assert page.advice.word == "stay"


async def test_a_thousand_times_the_volume_on_paper(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    (page,) = await pages_of(answers, volumes=parse_volumes("1x,1000x,100000/day"))
    assert page.simulation is not None
    _, thousand, daily = page.simulation.worlds
    plan = thousand.plans[0]
    saving = 730_000 * 0.8 - 8760 * 2.5 - 0.25 * 8512.5
    assert plan.saving.value == pytest.approx(saving)
    assert plan.payback.value == pytest.approx(12 * 8512.5 / saving)
    assert daily.plans[0].saving.value == pytest.approx(saving)
    crossing = next(one for one in page.simulation.crossings if one.rung == "finetuned")
    # The first year costs the same where 365 × .8 × .02 × v pays for hardware, outlay and upkeep.
    assert crossing.daily == pytest.approx((8760 * 2.5 + 1.25 * 8512.5) / (365 * 0.8 * 0.02), rel=1e-3)


async def test_once_is_today(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    (page,) = await pages_of(answers, volumes=[Volume(times=1.0)])
    assert page.simulation is not None
    (world,) = page.simulation.worlds
    assert world.plans == page.plans
    assert world.today == next(line for line in page.today if line.name == "support/today")


async def test_own_hardware_that_is_there_takes_over_without_a_second_machine(
    pages_of: PagesOf, answers: list[LogRecord], facts: Facts
) -> None:
    """Half of the answers are the small model's already: its machine is paid whether the rest moves or not."""
    halved = [
        replace(record, candidate="small", cost=None) if number % 2 else record for number, record in enumerate(answers)
    ]
    small = CandidateFacts("small", hourly=1.5, requests_per_hour=1000, billions=14)
    among = replace(facts, candidates={**facts.candidates, "small": small})
    (page,) = await pages_of(halved, among=among)
    assert value(page, "hosting-small") == pytest.approx(10 * 24 * 1.5)
    assert value(page, "hardware-small") == pytest.approx(8760 * 1.5)
    assert value(page, "today") == pytest.approx(365 * 50 * 0.02 + 8760 * 1.5)
    assert value(page, "finetuned/size") == 14
    assert value(page, "finetuned/hardware") == pytest.approx(8760 * 1.5)
    upkeep = 0.25 * value(page, "finetuned/upfront")
    assert value(page, "finetuned/saving") == pytest.approx(365 * 50 * 0.02 * 0.8 - upkeep)


async def test_rag_costs_more_and_never_pays_back(pages_of: PagesOf, answers: list[LogRecord], facts: Facts) -> None:
    bare = replace(facts, workloads={"support": WorkloadFacts("support", candidates=("frontier",), passages=4)})
    (page,) = await pages_of(answers, among=bare)
    assert page.rung == "prompting"
    assert value(page, "rag/passages") == pytest.approx(365 * 100 * 4 * 150 * 10.0 / 1e6)
    assert value(page, "rag/saving") == pytest.approx(-value(page, "rag/passages"))
    assert value(page, "rag/payback") == math.inf


async def test_what_has_no_price_is_said_and_not_guessed(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    odd = [an_inference(f"odd-{n}", at=record.at, candidate="odd", cost=None) for n, record in enumerate(answers)]
    (page,) = await pages_of([*answers, *odd])
    assert value(page, "spent") == pytest.approx(20.0)
    assert page.traffic.unpriced == 1000
    assert any("1,000 of 2,000 answers the cost is not known" in note for note in page.notes)
    assert any("50 % of the answers nobody knows the price" in reason for reason in page.advice.reasons)


async def test_a_price_that_is_known_now_reckons_the_year(
    pages_of: PagesOf, answers: list[LogRecord], facts: Facts
) -> None:
    """What was spent is what was logged: nothing. What a year costs is reckoned from tokens and today's price."""
    free = [replace(record, cost=None) for record in answers if isinstance(record, Inference)]
    (page,) = await pages_of(free)
    assert value(page, "spent") == 0.0
    assert value(page, "answer-frontier") == pytest.approx((1000 * 10 + 200 * 50) / 1e6)
    assert value(page, "today") == pytest.approx(365 * 100 * 0.02)
    source = next(line.source for line in page.today if line.name == "support/answer-frontier")
    assert (source.kind, source.told) == ("config", "candidates.frontier.price")


async def test_what_our_own_programs_asked_stands_apart(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    own = [
        an_inference(f"own-{n}", at=answers[0].at, surface=surface, cost=0.5)
        for n, surface in enumerate(("eval", "judge"))
    ]
    chore = an_inference("chore", at=answers[0].at, housekeeping=True, cost=0.25)
    (page,) = await pages_of([*answers, *own, chore])
    assert value(page, "spent") == pytest.approx(20.0)
    assert value(page, "spent-on-evaluation") == pytest.approx(1.0)
    assert value(page, "spent-on-housekeeping") == pytest.approx(0.25)


async def test_a_workload_that_is_gone_keeps_its_money(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    old = an_inference("old", at=answers[0].at, workload="retired", cost=3.0)
    pages = await pages_of([*answers, old])
    assert [(page.workload, page.configured) for page in pages] == [("support", True), ("retired", False)]
    assert value(pages[1], "spent") == 3.0


async def test_what_a_judge_asked_keeps_its_money_and_gets_no_ladder(
    pages_of: PagesOf, answers: list[LogRecord]
) -> None:
    judged = an_inference("judged", at=answers[0].at, workload="judge:strict", surface="judge", cost=2.0)
    pages = await pages_of([*answers, judged])
    assert [page.workload for page in pages] == ["support", "judge:strict"]
    assert value(pages[1], "spent-on-evaluation") == 2.0
    assert pages[1].plans == ()
    assert pages[1].advice.sentence.startswith("This is no workload")


async def test_nothing_was_asked(pages_of: PagesOf) -> None:
    (page,) = await pages_of([], volumes=[Volume(times=2.0)])
    assert page.simulation is None
    assert page.advice.sentence == "Stay: nobody has asked it anything in these days."
    assert value(page, "spent") == 0.0


# Properties.

COSTS = st.floats(1e-5, 1.0)
FACTORS = st.floats(0.01, 1e5)


def plans(cost: float, requests: int, factors: list[float]) -> list[list[Plan]]:
    """Every rung above prompting, at `factors` times the volume."""
    days = [f"2024-09-{day:02d}" for day in range(10, 28)]
    total = [
        Entry(Total(day, "w", "frontier", requests, requests, requests, 1000 * requests, 0, cost * requests, 1.0))
        for day in days
    ]
    evidence = Evidence("w", 0.0, 1_727_500_000.0, traffic=total, corpora={"c": Corpus(5, 50)})
    frontier = CandidateFacts("frontier", price=Price(1.0, 1.0), price_from="candidates.frontier.price")
    workload = WorkloadFacts("w", "", (), ("frontier",))
    facts = Facts({"w": workload}, {"frontier": frontier}, Terms())
    ground = Ground(evidence, workload, traffic_of(evidence, facts.candidates), Quality(), {}, facts)
    days_of = [today_of(evidence, ground.traffic, ground.quality, facts, factor) for factor in factors]
    return [[plan_of(rung, ground, today) for rung in above("prompting")] for today in days_of]


def ends(line: Line) -> tuple[float, float, float]:
    assert line.low is not None
    assert line.value is not None
    assert line.high is not None
    return line.low, line.value, line.high


@settings(max_examples=25, deadline=None)
@given(cost=COSTS, requests=st.integers(1, 10_000), one=FACTORS, other=FACTORS)
def test_more_volume_never_lengthens_the_payback(cost: float, requests: int, one: float, other: float) -> None:
    """Of traffic that is paid by the token: hardware that is paid already knows no such rule."""
    less, more = plans(cost, requests, sorted([one, other]))
    for before, after in zip(less, more, strict=True):
        for long, short in zip(ends(before.payback), ends(after.payback), strict=True):
            assert short <= long * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(cost=COSTS, requests=st.integers(1, 1_000_000))
def test_a_payback_is_endless_just_where_nothing_is_saved(cost: float, requests: int) -> None:
    for plan in plans(cost, requests, [1.0])[0]:
        assert plan.saving.value is not None
        assert math.isinf(plan.payback.value or 0.0) == (plan.saving.value <= 0)
        low, middle, high = ends(plan.payback)
        assert 0 < low <= middle <= high
        if plan.rung == "rag":
            assert math.isinf(low)
