"""How soon an answer begins, by candidate, from answers that were looked at."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from rungwise_server.ledger.evidence import Seen

FEW = 20
"""Fewer answers do not tell a candidate's latency."""


class Speed(Struct, frozen=True):
    """Milliseconds to the first byte. `low` and `high` are the 95 % interval of the median, by order statistics."""

    candidate: str
    count: int
    median: float
    low: float
    high: float
    p95: float

    def misses(self, target: float) -> bool:
        """Whether half of its answers, or more, begin later than `target`, beyond doubt."""
        return self.count >= FEW and self.low > target


def speeds_of(seen: Sequence[Seen]) -> tuple[Speed, ...]:
    """Every candidate's, of answers that ended well; by name."""
    return tuple(
        _speed(name, sorted(one.first_ms for one in seen if one.candidate == name and one.fine))
        for name in sorted({one.candidate for one in seen if one.fine})
    )


def _speed(name: str, sorted_ms: Sequence[float]) -> Speed:
    count = len(sorted_ms)
    off = 1.96 * np.sqrt(count) / 2
    low, high = max(int(np.floor(count / 2 - off)), 0), min(int(np.ceil(count / 2 + off)), count - 1)
    median, p95 = (float(value) for value in np.quantile(sorted_ms, (0.5, 0.95)))
    return Speed(name, count, median, sorted_ms[low], sorted_ms[high], p95)
