"""Counters and histograms for Prometheus, all taken from the inferences as they are logged."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rungwise_server.records import Inference

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Series(NamedTuple):
    """The children of one combination of labels; looking them up anew costs more than counting."""

    requests: Counter
    first: Histogram
    total: Histogram
    input: Counter
    output: Counter
    cost: Counter
    empty: Counter


class Metrics:
    """What a dashboard shows: requests and their outcome, time, tokens, money, by workload and candidate."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._series: dict[tuple[str, str, str, str], _Series] = {}
        by = ("workload", "candidate")
        self._requests = Counter(
            "rungwise_requests", "Answers by outcome.", (*by, "surface", "outcome"), registry=self._registry
        )
        self._first = Histogram(
            "rungwise_first_byte_seconds", "Until the first delta.", by, buckets=_SECONDS, registry=self._registry
        )
        self._total = Histogram(
            "rungwise_answer_seconds", "Until the last delta.", by, buckets=_SECONDS, registry=self._registry
        )
        self._tokens = Counter(
            "rungwise_tokens", "Tokens as models counted them.", (*by, "kind"), registry=self._registry
        )
        self._cost = Counter("rungwise_cost", "Money, in the configuration's currency.", by, registry=self._registry)
        self._empty = Counter(
            "rungwise_without_evidence",
            "Answers for which no passage was found.",
            ("workload",),
            registry=self._registry,
        )

        self._left_out = Counter(
            "rungwise_shadows_left_out",
            "Answers that were not shadowed: too many were on their way, or the day's money was spent.",
            ("workload", "why"),
            registry=self._registry,
        )

    def left_out(self, workload: str, why: str) -> None:
        """Count an answer that was not shadowed."""
        self._left_out.labels(workload, why).inc()

    def observe(self, inference: Inference) -> None:
        """Count one inference."""
        key = (inference.workload, inference.candidate, inference.surface, inference.outcome)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._of(*key)
        series.requests.inc()
        series.first.observe(inference.first_ms / 1000)
        series.total.observe(inference.total_ms / 1000)
        if inference.usage is not None:
            series.input.inc(inference.usage.input_tokens)
            series.output.inc(inference.usage.output_tokens)
        if inference.cost:
            series.cost.inc(inference.cost)
        if not inference.passages and not inference.housekeeping:
            series.empty.inc()

    def _of(self, workload: str, candidate: str, surface: str, outcome: str) -> "_Series":
        by = (workload, candidate)
        return _Series(
            self._requests.labels(*by, surface, outcome),
            self._first.labels(*by),
            self._total.labels(*by),
            self._tokens.labels(*by, "input"),
            self._tokens.labels(*by, "output"),
            self._cost.labels(*by),
            self._empty.labels(workload),
        )

    def expose(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
