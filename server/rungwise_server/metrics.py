"""Counters and histograms for Prometheus, all taken from the inferences as they are logged."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rungwise_server.types import Inference

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What a dashboard shows: requests and their outcome, time, tokens, money, by workload and candidate."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
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

    def observe(self, inference: Inference) -> None:
        """Count one inference."""
        workload, candidate = inference.workload, inference.candidate
        self._requests.labels(workload, candidate, inference.surface, inference.outcome).inc()
        self._first.labels(workload, candidate).observe(inference.first_ms / 1000)
        self._total.labels(workload, candidate).observe(inference.total_ms / 1000)
        if inference.usage is not None:
            self._tokens.labels(workload, candidate, "input").inc(inference.usage.input_tokens)
            self._tokens.labels(workload, candidate, "output").inc(inference.usage.output_tokens)
        if inference.cost:
            self._cost.labels(workload, candidate).inc(inference.cost)
        if not inference.passages and not inference.housekeeping:
            self._empty.labels(workload).inc()

    def expose(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
