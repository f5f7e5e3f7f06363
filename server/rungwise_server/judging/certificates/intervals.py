"""An interval with all that it needs to be believed: level and method; and the exact one of a share."""

from msgspec import Struct

from rungwise_server.judging.certificates import beta


class Interval(Struct, frozen=True):
    """An estimate between `low` and `high`. `count` is the number of items that it stands on."""

    estimate: float
    low: float
    high: float
    level: float
    method: str
    count: int

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.high - self.low) / 2


def clopper_pearson(share: float, effective: float, level: float) -> tuple[float, float]:
    """The exact interval of a binomial share (Clopper and Pearson, 1934): covers at least `level`, whatever the truth.

    `effective` is the number of items, or for weighted ones the number that they are worth; it need not be whole.
    """
    if effective <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    passed, failed = share * effective, (1 - share) * effective
    low = float(beta.quantile(tail, passed, failed + 1)) if passed > 0 else 0.0
    high = float(beta.quantile(1 - tail, passed + 1, failed)) if failed > 0 else 1.0
    return low, high


def exact(share: float, effective: float, level: float, count: int) -> Interval:
    """A share with its exact interval."""
    low, high = clopper_pearson(share, effective, level)
    return Interval(share, low, high, level, "clopper-pearson", count)
