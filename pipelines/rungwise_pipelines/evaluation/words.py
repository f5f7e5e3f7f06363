"""A report as people read it: rows of tables, and sentences."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from rungwise_pipelines.evaluation.compare import Pair
from rungwise_pipelines.evaluation.report import Part, Report, Standing
from rungwise_server.judging.certificates.intervals import Interval

MEANING = {
    "right": "declines where it must, else has the reference's words",
    "contains": "the reference's words stand in it",
    "f1": "words shared with the reference",
    "exact": "word for word the reference",
    "declines": "declines where it must, and nowhere else",
    "grounded": "how far the passages support it",
    "cites": "its citations stand for passages that support it",
    "recall": "documents with the answer that were retrieved",
    "ndcg": "how far up they were",
    "mrr": "how far up the first of them was",
}


def columns_of(part: Part) -> tuple[str, ...]:
    """The head of the table of candidates: one a column."""
    return ("", *(one.candidate for one in part.standings))


def rows_of(part: Part) -> Iterator[tuple[str, ...]]:
    """A row a metric, the one that candidates are compared by first; then answers, money and time."""
    metrics = dict.fromkeys(name for one in part.standings for name in one.metrics)
    for metric in sorted(metrics, key=lambda name: name != part.headline):
        yield (metric, *(_interval(one.metrics.get(metric)) for one in part.standings))
    yield ("answers", *(_count(one, part.examples) for one in part.standings))
    yield ("cost of 1,000", *(_money(one.cost_per_1000) for one in part.standings))
    yield ("first byte, median", *(_time(one.first_ms) for one in part.standings))
    yield ("whole, median", *(_time(one.p50_ms) for one in part.standings))
    yield ("whole, 95 %", *(_time(one.p95_ms) for one in part.standings))


def lines_of(part: Part) -> Iterator[str]:
    """What was compared, and what came of it."""
    kind = "real examples" if part.origin == "real" else "synthetic examples (a model wrote them)"
    if not part.headline:
        yield f"{part.examples} {kind}: nothing could be measured. Give examples a reference, or judges to the run."
        return
    meaning = MEANING.get(part.headline)
    yield f"{part.examples} {kind}, compared by {part.headline}" + (f" ({meaning})." if meaning else ", a judge.")
    if part.weighted:
        yield "Examples count as often as the questions of the traffic that they stand for."
    yield from (sentence_of(pair) for pair in part.pairs.get(part.headline, ()))


def sentence_of(pair: Pair) -> str:
    """What is known of two candidates, and what would tell more."""
    apart, power = pair.difference, pair.power
    tally = f"better on {pair.wins}, worse on {pair.losses}, alike on {pair.ties}"
    chance = f"p {_p(pair.corrected)}"
    if pair.told_apart:
        better, worse = (pair.first, pair.second) if apart.estimate > 0 else (pair.second, pair.first)
        by = _by(apart) if apart.estimate > 0 else _by(_turned(apart))
        return f"{better} is better than {worse} by {by} points: {pair.first} is {tally}; {chance}."
    said = (
        f"{pair.first} and {pair.second} cannot be told apart: {_by(apart)} points, {pair.first} is {tally}; {chance}."
    )
    if power.more:
        least = f"{power.at_least:,} at the least" if 0 < power.at_least < power.more else ""
        most = "no number would, if they are alike" if power.at_most is None else f"{power.at_most:,} at the most"
        ends = "; ".join(filter(None, (least, most)))
        said += f" If it is as large as it looks, {power.more:,} more examples would tell ({ends})."
    if power.detectable is None:
        said += " So few examples tell no difference at all."
    else:
        said += f" These examples tell differences from {100 * power.detectable:.0f} points on."
    return said


def failures_of(report: Report) -> Iterator[str]:
    """Examples without an answer, by name."""
    for one in report.failed:
        yield f"{one.candidate} has no answer to {one.example} ({one.outcome}): {_short(one.question)}"


def worst_rows(part: Part) -> Iterator[tuple[str, ...]]:
    """Examples that candidates do badly on."""
    for one in part.worst:
        values = ", ".join(f"{name} {value:.2f}" for name, value in one.values.items())
        inferences = ", ".join(one.inferences.values())
        yield (one.example, _short(one.question), values, inferences)


def topic_rows(part: Part) -> Iterator[tuple[str, ...]]:
    """A row a topic."""
    for topic in part.topics:
        means = (_interval(topic.standings.get(one.candidate)) for one in part.standings)
        yield (topic.topic, str(topic.examples), *means)


def pair_rows(part: Part, metrics: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """All pairs under all metrics."""
    for metric, pairs in part.pairs.items():
        if metrics and metric not in metrics:
            continue
        for pair in pairs:
            apart = pair.difference
            yield (
                metric,
                f"{pair.first} - {pair.second}",
                _points(apart.estimate),
                f"{_points(apart.low)} to {_points(apart.high)}",
                f"{_points(pair.bootstrap.low)} to {_points(pair.bootstrap.high)}",
                f"{pair.wins}/{pair.losses}/{pair.ties}",
                _p(pair.p).removeprefix("= "),
                _p(pair.corrected).removeprefix("= "),
                pair.test,
                "" if pair.told_apart or pair.power.more is None else f"{pair.power.more:,}",
            )


PAIR_COLUMNS = (
    "metric",
    "pair",
    "points",
    "interval",
    "by bootstrap",
    "better/worse/alike",
    "p",
    "corrected",
    "test",
    "more needed",
)


def _count(one: Standing, examples: int) -> str:
    return str(one.answered) if one.answered == examples else f"{one.answered} of {examples}"


def _interval(one: Interval | None) -> str:
    return "" if one is None else f"{100 * one.estimate:.0f} ({100 * one.low:.0f}-{100 * one.high:.0f})"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _by(apart: Interval) -> str:
    return f"{100 * apart.estimate:.1f} ({100 * apart.low:.1f} to {100 * apart.high:.1f})"


def _turned(apart: Interval) -> Interval:
    return replace(apart, estimate=-apart.estimate, low=-apart.high, high=-apart.low)


def _money(cost: float | None) -> str:
    return "?" if cost is None else f"{cost:,.2f}"


def _time(ms: float | None) -> str:
    return "" if ms is None else f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 70 else f"{one_line[:69]}…"
