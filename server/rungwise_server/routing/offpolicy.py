"""What another policy would have scored and cost, told from what the log has: nothing is served for it.

The log says with which probability each candidate could have been chosen. An answer that the other policy would have
given more often than it was given counts for more: by the quotient of the two probabilities, its weight. Three
estimators stand on that: IPS (the mean of weighted scores; unbiased), SNIPS (the same, divided by the mean weight;
steadier) and doubly robust (Dudik, Langford and Li, 2011: estimates for all, and weights only for what they got wrong;
unbiased where either the probabilities or the estimates are right).

None of them can tell of a candidate that was never chosen where the other policy would have: that is refused. Only
graded answers count, so what is told is of the kind of answers that get graded.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from rungwise_server.judging.certificates.beta import t_quantile
from rungwise_server.types import Route

Floats = NDArray[np.float64]
Method = Literal["ips", "snips", "doubly robust"]

_UNSUPPORTED = 0.01
"""So much of a policy may lie where the log has nothing; the interval is widened by it."""


class NoSupport(ValueError):
    """The log cannot tell: the policy chooses where its candidate was never chosen."""


class Seen(Struct, frozen=True):
    """One logged answer whose score is known. `cluster`: answers of one cluster (a conversation, a caller) resemble
    each other.
    """

    route: Route
    score: float
    cost: float | None = None
    cluster: str = ""


class Told(Struct, frozen=True):
    """A mean, between `low` and `high` at `level`. `effective` is what the answers are worth in number (Kish);
    `clipped` how many had their weight cut to `most`, which biases towards what was served; `unsupported` the share of
    the policy that the log cannot tell of.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: Method
    count: int
    effective: float
    clipped: int = 0
    most: float = math.inf
    unsupported: float = 0.0

    def __str__(self) -> str:
        """In words, with what is doubtful about it."""
        doubts = [f"worth {self.effective:,.0f} of {self.count:,} answers"]
        if self.clipped:
            doubts.append(f"{self.clipped:,} weights cut to {self.most:.3g}")
        if self.unsupported:
            doubts.append(f"{self.unsupported:.1%} of it was never tried")
        return f"{self.estimate:.3f} ({self.low:.3f} to {self.high:.3f}; {self.method}; {', '.join(doubts)})"


class Logged:
    """What was served: choices with their probabilities, scores and costs.

    Args:
        candidates: all that are compared. Answers of others are left out, and counted in `left_out`; so are those
            whose route has no probabilities.
        seen: graded answers. The choice is the route's, whoever answered in the end (a fallback, a cascade).

    Raises:
        ValueError: there is no usable answer at all.
    """

    def __init__(self, candidates: Sequence[str], seen: Iterable[Seen]) -> None:
        self.candidates = tuple(candidates)
        given = list(seen)
        usable = [
            one
            for one in given
            if one.route.candidate in self.candidates and one.route.propensities.get(one.route.candidate, 0.0) > 0
        ]
        if not usable:
            raise ValueError(f"of {len(given)} answers none is of {', '.join(self.candidates)} with its probability")
        self.left_out = len(given) - len(usable)
        self.chosen = np.asarray([self.candidates.index(one.route.candidate) for one in usable], dtype=np.intp)
        self.propensities = np.asarray(
            [[one.route.propensities.get(n, 0.0) for n in self.candidates] for one in usable]
        )
        self.estimates = np.asarray(
            [[one.route.estimates.get(n, math.nan) for n in self.candidates] for one in usable], dtype=np.float64
        )
        self.scores = np.asarray([one.score for one in usable], dtype=np.float64)
        self.costs = np.asarray([math.nan if one.cost is None else one.cost for one in usable], dtype=np.float64)
        own = (one.cluster or f"\0{at}" for at, one in enumerate(usable))
        self.clusters = np.unique(list(own), return_inverse=True)[1]

    def always(self, candidate: str) -> Floats:
        """The policy that always chooses one."""
        policy = np.zeros(self.propensities.shape)
        policy[:, self.candidates.index(candidate)] = 1.0
        return policy

    def choosing(self, chosen: ArrayLike) -> Floats:
        """The policy that chooses, for each answer's question, the candidate at an index."""
        policy = np.zeros(self.propensities.shape)
        policy[np.arange(len(policy)), np.asarray(chosen, dtype=np.intp)] = 1.0
        return policy

    def quality(
        self, policy: ArrayLike, method: Method = "doubly robust", *, level: float = 0.95, most: float | None = None
    ) -> Told:
        """The mean score, from 0 to 1, that `policy` would have had: probabilities, shape (answers, candidates).
        Doubly robust takes the log's own estimates, and each candidate's mean score where there are none.

        Raises:
            NoSupport: it lies too far from what was served.
            ValueError: it is no policy.
        """
        told = self._told(policy, self.scores, self.estimates, method, level, most)
        return replace(told, low=max(0.0, told.low), high=min(1.0, told.high + told.unsupported))

    def cost(
        self, policy: ArrayLike, method: Method = "doubly robust", *, level: float = 0.95, most: float | None = None
    ) -> Told:
        """The mean cost that it would have had; of the answers whose cost is known. Raises as `quality` does."""
        if np.all(np.isnan(self.costs)):
            raise NoSupport("the cost of no answer is known: no data")
        nothing = np.full(self.propensities.shape, math.nan)
        told = self._told(policy, self.costs, nothing, method, level, most)
        return replace(told, low=max(0.0, told.low))

    def _told(
        self, policy: ArrayLike, values: Floats, guesses: Floats, method: Method, level: float, most: float | None
    ) -> Told:
        wanted = np.asarray(policy, dtype=np.float64)
        if wanted.shape != self.propensities.shape or not np.allclose(wanted.sum(axis=1), 1) or np.any(wanted < 0):
            raise ValueError("a policy has, for each answer, probabilities of the candidates that sum to one")
        unsupported = self._support(wanted)
        known = ~np.isnan(values)
        wanted, chosen, values = wanted[known], self.chosen[known], values[known]
        rows = np.arange(len(chosen))
        weights = wanted[rows, chosen] / self.propensities[known][rows, chosen]
        # Cut at the root of their number, the bias that cutting brings vanishes with it (Ionides, 2008).
        limit = math.sqrt(len(rows)) if most is None else most
        clipped = int(np.sum(weights > limit))
        weights = np.minimum(weights, limit)
        if not np.any(weights):
            raise NoSupport("what was served and this policy never agree: no data")
        count = len(rows)
        match method:
            case "ips":
                parts = weights * values
                estimate = float(np.mean(parts))
                influence = parts - estimate
            case "snips":
                estimate = float(np.sum(weights * values) / np.sum(weights))
                influence = weights * (values - estimate) / float(np.mean(weights))
            case "doubly robust":
                model = _filled(guesses[known], chosen, values)
                # A candidate that nobody chose has no guess; where the policy leaves it out, none is needed.
                expected = np.sum(np.where(wanted > 0, wanted * np.nan_to_num(model), 0.0), axis=1)
                parts = expected + weights * (values - model[rows, chosen])
                estimate = float(np.mean(parts))
                influence = parts - estimate
        half = self._half(influence, self.clusters[known], level)
        effective = float(np.sum(weights) ** 2 / np.sum(weights**2))
        return Told(
            estimate, estimate - half, estimate + half, level, method, count, effective, clipped, limit, unsupported
        )

    def _support(self, wanted: Floats) -> float:
        """The share of a policy where its candidate could not have been chosen."""
        missing = np.where(self.propensities <= 0, wanted, 0.0).mean(axis=0)
        if missing.sum() > _UNSUPPORTED:
            worst = int(np.argmax(missing))
            name = self.candidates[worst]
            ever = "in the requests where it would be" if np.any(self.propensities[:, worst] > 0) else ""
            raise NoSupport(
                f"{name} was never chosen {ever}".rstrip() + f" ({missing[worst]:.0%} of all): no data. "
                "`route.explore` tries every candidate on a share of the traffic."
            )
        return float(missing.sum())

    @staticmethod
    def _half(influence: Floats, clusters: NDArray[np.intp], level: float) -> float:
        """Half of the interval's width, by the spread between clusters."""
        sums = np.bincount(clusters, weights=influence)
        sums = sums[np.bincount(clusters) > 0]
        groups = len(sums)
        if groups < 2:
            return math.inf
        error = math.sqrt(groups / (groups - 1) * float(np.sum(sums**2))) / len(influence)
        return t_quantile((1 + level) / 2, groups - 1) * error


def _filled(guesses: Floats, chosen: NDArray[np.intp], values: Floats) -> Floats:
    """The guesses; where there is none, the mean of what the candidate had."""
    model = guesses.copy()
    for candidate in range(model.shape[1]):
        own = values[chosen == candidate]
        mean = float(np.mean(own)) if len(own) else math.nan
        model[np.isnan(model[:, candidate]), candidate] = mean
    return model
