"""What a run says: each candidate under each metric, candidates in pairs, by topic, and where they fail.

Real examples and those that a model wrote are told apart and never summed together: what is said first is said of the
real ones, where there are any.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_pipelines.evaluation.compare import Pair, compare, mean_of
from rungwise_pipelines.evaluation.metrics import ORDER, RETRIEVAL, headline
from rungwise_server.errors import NotFound
from rungwise_server.evals import Cell, EvalRun, EvalSet, Example
from rungwise_server.judging.certificates.intervals import Interval

Floats = NDArray[np.float64]
Origin = Literal["real", "synthetic"]

LEVEL = 0.95
_FEW = 3  # examples that a topic is told for
_WORST = 10


class Standing(Struct, frozen=True):
    """A candidate on the examples that it answered. Money is in the configuration's currency, None where unknown."""

    candidate: str
    answered: int
    failed: int
    metrics: Mapping[str, Interval]
    cost_per_1000: float | None
    first_ms: float | None
    """Median time to the first byte."""
    p50_ms: float | None
    """Of the whole answer."""
    p95_ms: float | None


class Topic(Struct, frozen=True):
    """A topic under the metric that is compared by, by candidate."""

    topic: str
    examples: int
    standings: Mapping[str, Interval]


class Worst(Struct, frozen=True):
    """An example that candidates do badly on: the value of each under the metric that is compared by."""

    example: str
    question: str
    mean: float
    values: Mapping[str, float]
    inferences: Mapping[str, str]


class Part(Struct, frozen=True):
    """The real examples of a run, or the synthetic ones."""

    origin: Origin
    examples: int
    weighted: bool
    """Whether some examples stand for more questions than others do."""
    headline: str
    """The metric that candidates are compared by; empty where nothing could be measured."""
    standings: tuple[Standing, ...]
    pairs: Mapping[str, tuple[Pair, ...]]
    topics: tuple[Topic, ...]
    worst: tuple[Worst, ...]


class Failed(Struct, frozen=True):
    """An example that a candidate has not answered."""

    example: str
    question: str
    candidate: str
    outcome: str
    inference: str


class Report(Struct, frozen=True):
    """Of one run. `parts`: the real examples first; one without examples is left out."""

    run: str
    set: str
    workload: str
    at: float
    judges: tuple[str, ...]
    seconds: float
    parts: tuple[Part, ...]
    failed: tuple[Failed, ...]


def report_of(run: EvalRun, of: EvalSet, examples: Sequence[Example], metric: str = "") -> Report:
    """The report of a run on the examples of its set. `metric` is the one to compare by.

    Raises:
        NotFound: no example has that metric.
    """
    judges = [judge.partition("@")[0] for judge in run.judges]
    there = {name for cell in run.cells for name in cell.metrics}
    if metric and metric not in there:
        known = ", ".join(sorted(there)) or "none"
        raise NotFound(f"Nothing in this run was measured as {metric!r}; there are: {known}.", param="metric")
    halves: tuple[tuple[Origin, list[Example]], ...] = (
        ("real", [example for example in examples if not example.synthetic]),
        ("synthetic", [example for example in examples if example.synthetic]),
    )
    questions = {example.id: example.question for example in examples}
    return Report(
        run.id,
        of.id,
        run.workload,
        run.at,
        run.judges,
        run.seconds,
        tuple(_part(origin, run, some, judges, metric) for origin, some in halves if some),
        tuple(
            Failed(cell.example, questions.get(cell.example, ""), cell.candidate, cell.outcome, cell.inference_id)
            for cell in run.cells
            if cell.outcome != "ok"
        ),
    )


def _part(origin: Origin, run: EvalRun, examples: Sequence[Example], judges: Sequence[str], metric: str) -> Part:
    rows = {example.id: row for row, example in enumerate(examples)}
    cells: dict[str, dict[int, Cell]] = {name: {} for name in run.candidates}
    for cell in run.cells:
        if cell.example in rows:
            cells.setdefault(cell.candidate, {})[rows[cell.example]] = cell
    weight = np.array([example.weight for example in examples])
    scores = _scores(cells, len(examples))
    names = [name for name in dict.fromkeys([*judges, *ORDER, *sorted(scores)]) if name in scores]
    told = {name: max(int((~np.isnan(v)).sum()) for v in scores[name].values()) for name in names}
    by = metric or headline(told, judges, len(examples))
    return Part(
        origin=origin,
        examples=len(examples),
        weighted=bool(np.ptp(weight)),
        headline=by,
        standings=tuple(_standing(name, own, names, scores, weight) for name, own in cells.items()),
        pairs={name: pairs for name in names if name not in RETRIEVAL and (pairs := compare(scores[name], weight))},
        topics=_topics(examples, scores.get(by, {}), weight),
        worst=_worst(examples, cells, scores.get(by, {})),
    )


def _scores(cells: Mapping[str, Mapping[int, Cell]], examples: int) -> dict[str, dict[str, Floats]]:
    """By metric and candidate, a value an example; nan where there is none."""
    found: dict[str, dict[str, Floats]] = {}
    for candidate, own in cells.items():
        for row, cell in own.items():
            for name, value in cell.metrics.items():
                by = found.setdefault(name, {each: np.full(examples, np.nan) for each in cells})
                by[candidate][row] = value
    return found


def _standing(
    name: str,
    own: Mapping[int, Cell],
    metrics: Sequence[str],
    scores: Mapping[str, Mapping[str, Floats]],
    weight: Floats,
) -> Standing:
    ok = {row: cell for row, cell in own.items() if cell.outcome == "ok"}
    weights = weight[list(ok)]
    costs = [cell.cost for cell in ok.values()]
    known = [cost for cost in costs if cost is not None]
    means = {metric: mean_of(scores[metric][name], weight, LEVEL) for metric in metrics}
    totals = np.array([cell.total_ms for cell in ok.values()])
    return Standing(
        candidate=name,
        answered=len(ok),
        failed=len(own) - len(ok),
        metrics={metric: mean for metric, mean in means.items() if mean is not None},
        cost_per_1000=1000 * float(np.average(known, weights=weights)) if known and len(known) == len(costs) else None,
        first_ms=float(np.median([cell.first_ms for cell in ok.values()])) if ok else None,
        p50_ms=float(np.median(totals)) if ok else None,
        p95_ms=float(np.quantile(totals, 0.95)) if ok else None,
    )


def _topics(examples: Sequence[Example], scores: Mapping[str, Floats], weight: Floats) -> tuple[Topic, ...]:
    found = []
    for topic in sorted({example.topic for example in examples if example.topic}):
        rows = np.array([example.topic == topic for example in examples])
        means = {name: mean_of(values[rows], weight[rows], LEVEL) for name, values in scores.items()}
        if rows.sum() >= _FEW:
            known = {name: mean for name, mean in means.items() if mean is not None}
            found.append(Topic(topic, int(rows.sum()), known))
    return tuple(found)


def _worst(
    examples: Sequence[Example], cells: Mapping[str, Mapping[int, Cell]], scores: Mapping[str, Floats]
) -> tuple[Worst, ...]:
    found = []
    for row, example in enumerate(examples):
        values = {name: float(v[row]) for name, v in scores.items() if not np.isnan(v[row])}
        if values and min(values.values()) < 1:
            inferences = {name: cells[name][row].inference_id for name in values}
            mean = sum(values.values()) / len(values)
            found.append(Worst(example.id, example.question, mean, values, inferences))
    return tuple(sorted(found, key=lambda one: (one.mean, one.example))[:_WORST])
