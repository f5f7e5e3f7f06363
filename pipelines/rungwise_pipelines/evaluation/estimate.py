"""What a run will cost and how long it will take, told before it begins: a guess, and said to be one.

What candidates read is counted from the prompts as they will be composed; what they write, and how long they take, is
the mean of their answers in the log, with a plain guess where there is none.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rungwise_pipelines.evaluation.cells import ROUTE, Known, Wanted
from rungwise_server.engine import Engine
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import LogQuery
from rungwise_server.types import Price, Usage

WRITTEN = 250
"""Tokens of an answer of a model that has given none."""
VERDICT = Usage(input_tokens=1_800, output_tokens=120)
"""What a judge that has graded nothing reads and writes."""
_SECONDS, _QUOTING = 4.0, 0.2


class Expected(Struct, frozen=True):
    """What is expected of one candidate in a run. `cost` is None where its price is not known."""

    candidate: str
    cells: int
    reused: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float

    @property
    def asked(self) -> int:
        """Cells that are not in the log yet."""
        return self.cells - self.reused

    @property
    def each(self) -> float:
        """What one answer costs."""
        return (self.cost or 0.0) / self.asked if self.asked else 0.0


class Judging(Struct, frozen=True):
    """What is expected of one judge: of each answer, or None where its model's price is not known."""

    judge: str
    grades: int
    each: float | None
    seconds: float


class Past(Struct, frozen=True):
    """The mean answer of a candidate so far."""

    output_tokens: float
    cost: float | None
    seconds: float


class Estimate(Struct, frozen=True):
    """Of a whole run."""

    candidates: tuple[Expected, ...]
    judges: tuple[Judging, ...]
    seconds: float

    @property
    def cost(self) -> float:
        """As far as prices are known."""
        return sum(one.cost or 0.0 for one in self.candidates) + sum(j.grades * (j.each or 0.0) for j in self.judges)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Candidates and judges whose price is not known, and that have work to do."""
        candidates = tuple(one.candidate for one in self.candidates if one.cost is None and one.asked)
        return candidates + tuple(judge.judge for judge in self.judges if judge.each is None and judge.grades)


async def past(log: InferenceLog, workload: str) -> dict[str, Past]:
    """The mean answers of a workload by candidate, `` of all."""
    sums: dict[str, list[float]] = {}
    for total in await log.totals(LogQuery(workload=workload, own=True)):
        for name in (total.candidate, ""):
            row = sums.setdefault(name, [0.0] * 5)
            more = (total.requests, total.output_tokens, total.priced, total.cost, total.total_ms)
            sums[name] = [before + now for before, now in zip(row, more, strict=True)]
    return {
        name: Past(written / requests, cost / priced if priced else None, ms / 1000 / requests)
        for name, (requests, written, priced, cost, ms) in sums.items()
    }


async def estimate(
    engine: Engine,
    log: InferenceLog,
    workload: str,
    wanted: Sequence[Wanted],
    known: Mapping[str, Known],
    prices: Mapping[str, Price | None],
    judges: Mapping[str, Price | None],
    at_once: int,
) -> Estimate:
    """What `wanted` will take. `prices` are those of candidates; `judges` grade each answer, and have their models'."""
    before = await past(log, workload)
    candidates = []
    for name in dict.fromkeys(cell.candidate for cell in wanted):
        cells = [cell for cell in wanted if cell.candidate == name]
        candidates.append(_expected(engine, workload, name, cells, known, before, prices))
    expected = [await _judging(log, name, price, len(wanted)) for name, price in judges.items()]
    answering = max((one.seconds / min(at_once, max(one.asked, 1)) for one in candidates), default=0.0)
    grading = sum(judge.grades * judge.seconds for judge in expected) / at_once
    return Estimate(tuple(candidates), tuple(expected), answering + grading)


def _expected(
    engine: Engine,
    workload: str,
    name: str,
    cells: Sequence[Wanted],
    known: Mapping[str, Known],
    before: Mapping[str, Past],
    prices: Mapping[str, Price | None],
) -> Expected:
    asked = [cell for cell in cells if known[cell.id].answer is None]
    had = before.get("" if name == ROUTE else name)
    chosen = [engine.candidates[n] for n in (engine.workloads[workload].candidates if name == ROUTE else (name,))]
    quotes = not any(candidate.generates for candidate in chosen)
    written = round(len(asked) * (had.output_tokens if had else 60 if quotes else WRITTEN))
    read = sum(cell.tokens for cell in asked)
    # Of a route nobody knows yet whom it will choose: the dearest.
    those = [prices[candidate.name] for candidate in chosen]
    costs = [None if price is None else price.of(Usage(read, written)) for price in those]
    cost = None if None in costs else max((c for c in costs if c is not None), default=0.0)
    seconds = len(asked) * (had.seconds if had else _QUOTING if quotes else _SECONDS)
    return Expected(name, len(cells), len(cells) - len(asked), read, written, cost, seconds)


async def _judging(log: InferenceLog, name: str, price: Price | None, grades: int) -> Judging:
    had = (await past(log, f"judge:{name}")).get("")
    free = price == Price()
    each = had.cost if had and had.cost is not None else None if price is None else price.of(VERDICT)
    return Judging(name, grades, each, had.seconds if had else 0.02 if free else _SECONDS)
