"""A log that was made by hand: ten days, a hundred questions a day, so that every sum can be done on paper."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from rungwise_server.eval_sets import EvalSets
from rungwise_server.ledger.book import Page
from rungwise_server.ledger.facts import CandidateFacts, Facts, Terms, WorkloadFacts
from rungwise_server.ledger.ledger import Ledger
from rungwise_server.ledger.simulate import Volume
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import LogRecord
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.log import an_inference
from rungwise_server.types import Price, Usage

DAY = 86_400.0
NOON = 20_000 * DAY + DAY / 2
"""Now: noon of a day, UTC."""

PagesOf = Callable[..., Awaitable[list[Page]]]


@pytest.fixture
def noon() -> float:
    return NOON


@pytest.fixture
def facts() -> Facts:
    """One workload over documents, answered by a frontier model that is paid by the token."""
    frontier = CandidateFacts("frontier", price=Price(10.0, 50.0), price_from="candidates.frontier.price")
    return Facts(
        {"support": WorkloadFacts("support", "", ("handbook",), ("frontier",))}, {"frontier": frontier}, Terms()
    )


@pytest.fixture
def answers() -> list[LogRecord]:
    """Ten days before today, a hundred answers each, of 1,000 tokens in and 200 out, at 0.02."""
    return [
        an_inference(
            f"chatcmpl-{day}-{number}",
            at=NOON - day * DAY + number,
            usage=Usage(1000, 200),
            cost=0.02,
            first_ms=400.0 + number,
            total_ms=1000.0,
        )
        for day in range(10, 0, -1)
        for number in range(100)
    ]


@pytest.fixture
def pages_of(facts: Facts) -> PagesOf:
    """Pages of the ledger over records, at noon."""

    async def pages(
        records: Sequence[LogRecord],
        *,
        among: Facts = facts,
        days: int = 30,
        volumes: Sequence[Volume] = (),
        sets: EvalSets | None = None,
    ) -> list[Page]:
        log = MemoryLog()
        for record in records:
            await log.append(record)
        ledger = Ledger(log, sets or EvalSets(MemoryKept()), among, clock=lambda: NOON)
        return await ledger.pages(days=days, volumes=volumes)

    return pages
