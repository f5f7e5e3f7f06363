"""The best quality that a day's money buys.

What a request may cost is one exchange rate: so much P(good enough) must be had for a unit of money. Of all policies
with the same mean cost, choosing what is worth most at one rate has the highest expected quality. The rate is that at
which the last requests would have cost what is left of the day's money, shared out over the requests still to come; so
it rises after a dear morning and falls when few come.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_DAY = 86400.0
_RECENT = 500
"""So many of the last requests decide the rate."""
_EVERY = 20
"""The rate is reckoned anew after so many requests."""
_TRUST = 0.1
"""Of a day: how much of it must be over for its own requests to count as much as what was expected of it."""


def best_worth(estimates: ArrayLike, costs: ArrayLike, rate: float) -> NDArray[np.intp]:
    """For each request (row) the candidate whose estimate less `rate` times its cost is highest; the cheaper of equal
    ones. With an infinite rate: the cheapest.
    """
    guessed, money = np.asarray(estimates, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    order = np.argsort(money, kind="stable")
    if math.isinf(rate):
        return np.full(len(guessed), order[0], dtype=np.intp)
    at: NDArray[np.intp] = np.argmax(guessed[:, order] - rate * money[order], axis=1)
    return order.take(at)


def rate_for(estimates: ArrayLike, costs: ArrayLike, allowance: float) -> float:
    """The smallest rate at which requests like these cost `allowance` each, at most, in the mean; infinite where even
    the cheapest candidate costs more.
    """
    guessed, money = np.asarray(estimates, dtype=np.float64), np.asarray(costs, dtype=np.float64)

    def spent(rate: float) -> float:
        return float(np.mean(money[best_worth(guessed, money, rate)]))

    steps = np.diff(np.unique(money))
    if not len(guessed) or not len(steps):
        return 0.0
    if spent(0.0) <= allowance:
        return 0.0
    low, high = 0.0, 1.0 / float(np.min(steps))  # at the higher one, no estimate is worth the next cheapest
    if spent(high) > allowance:
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > allowance else (low, middle)
    return high


class Bought(Struct, frozen=True):
    """A choice within the budget. `expected` is what it is expected to cost; give it back to `Budget.settle`."""

    candidate: str
    reason: str
    expected: float


class Budget:
    """Keeps to `daily` money a day (UTC), one process's requests alone.

    Args:
        costs: what a request costs with each candidate, in the mean.
        expected: requests of a usual day, until a day has shown how many there are; 0: not known.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        daily: float,
        costs: Mapping[str, float],
        *,
        expected: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._daily = daily
        self._names = list(costs)
        self._costs = np.asarray(list(costs.values()), dtype=np.float64)
        self._expected = expected
        self._clock = clock
        self._recent: deque[tuple[float, ...]] = deque(maxlen=_RECENT)
        self._day = math.floor(clock() / _DAY)
        self._began = clock() / _DAY - self._day
        self._requests = 0
        self._rate = 0.0
        self._stale = 0
        self.spent = 0.0
        """Today, with what is expected of answers that are still on their way."""

    @property
    def left(self) -> float:
        """Of today's money."""
        return self._daily - self.spent

    def choose(self, estimates: Mapping[str, float]) -> Bought:
        """Who answers a question of which each candidate's P(good enough) is given. The money is taken at once."""
        self._turn()
        asked = tuple(estimates[name] for name in self._names)
        self._recent.append(asked)
        allowance = self.left / self._to_come()
        self._requests += 1
        if self._stale % _EVERY == 0 or len(self._recent) < _EVERY:
            self._rate = rate_for(list(self._recent), self._costs, allowance)
        self._stale += 1
        cheapest = float(np.min(self._costs))
        affordable = np.where(self._costs <= max(self.left, cheapest), asked, -np.inf)
        at = int(best_worth([affordable], self._costs, self._rate)[0])
        cost = float(self._costs[at])
        self.spent += cost
        money = f"{max(0.0, self.left + cost):.4g} of today's {self._daily:.4g} is left"
        if math.isinf(self._rate) or cost == cheapest:
            why = f"{money}: the cheapest" if self.left <= 0 or math.isinf(self._rate) else f"{money}; worth most"
        else:
            why = f"{money}; worth its money: {asked[at]:.2f} good enough for {cost:.4g}"
        return Bought(self._names[at], why, cost)

    def settle(self, expected: float, actual: float | None) -> None:
        """An answer is done, and cost `actual`; None: that is not known, and what was expected stands."""
        if actual is not None:
            self.spent += actual - expected

    def _to_come(self) -> float:
        """Requests until midnight, this one included."""
        now = self._clock() / _DAY - self._day
        over = max(0.0, now - self._began)
        usual = self._expected or max(1, self._requests) / max(over, 1 / 1440)
        a_day = (self._requests + _TRUST * usual) / (over + _TRUST)
        return max(1.0, a_day * (1.0 - now) + 1.0)

    def _turn(self) -> None:
        """Midnight: the money is there again, and the day that ended says how many requests to expect."""
        day = math.floor(self._clock() / _DAY)
        if day == self._day:
            return
        over = 1.0 - self._began
        if day == self._day + 1 and over > _TRUST:
            self._expected = self._requests / over
        self._day, self._began, self._requests, self.spent, self._stale = day, 0.0, 0, 0.0, 0
