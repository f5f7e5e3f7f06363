"""What a router is worth on examples it was not learned from, beside everything simpler."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from rungwise_pipelines.routing.calibrate import Calibration, calibration
from rungwise_pipelines.routing.learn import FEWEST, learn
from rungwise_pipelines.routing.outcomes import Floats, Outcomes, Rows
from rungwise_pipelines.routing.rivals import rivals
from rungwise_pipelines.routing.spend import QUALITIES, Spent, cheapest, frontier
from rungwise_pipelines.routing.tradeoff import tradeoff
from rungwise_server.errors import BadRequest
from rungwise_server.routing.estimate import Estimator

_DRAWN = 300
_LEVEL = 0.95
ROUTER = "router"


class Interval(Struct, frozen=True):
    """A number and where it lies in 95 of 100 draws of the prompts."""

    estimate: float
    low: float
    high: float


class Row(Struct, frozen=True):
    """One method on one pair. A method that sends everything to one model has no curve: NaN."""

    apgr: Interval
    cpt50: Interval
    cpt80: Interval


class Pair(Struct, frozen=True):
    """A better candidate against a worse one, by method."""

    strong: str
    weak: str
    methods: Mapping[str, Row]


class Report(Struct, frozen=True):
    """The first of `pairs` is the one that the numbers at the top are of. `spent` is by method, then by the share of
    the best candidate's quality that is kept; empty where costs are unknown.
    """

    examples: int
    candidates: tuple[str, ...]
    means: tuple[float, ...]
    costs: tuple[float | None, ...]
    folds: int
    seeds: int
    pairs: tuple[Pair, ...]
    calibration: Calibration
    each: Mapping[str, Calibration]
    spent: Mapping[str, Mapping[str, Spent]]
    notes: tuple[str, ...] = ()


Said = Mapping[str, Floats]


def cross_fitted(outcomes: Outcomes, folds: int, seed: int, tell: Callable[[], None]) -> Said:
    """What each method says of each row, having learned from the other folds; of shape (n, candidates)."""
    if len(outcomes) < 2 * FEWEST or folds < 2:
        raise BadRequest(f"There are {len(outcomes)} examples; a report takes {2 * FEWEST} or more, and two folds.")
    fold = np.random.default_rng(seed).permutation(len(outcomes)) % folds
    said: dict[str, Floats] = {}
    for part in range(folds):
        rest, asked = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        known, unknown = outcomes.rows(rest), outcomes.rows(asked)
        found = {ROUTER: estimated(learn(known, seed).estimator, unknown), **rivals(known, unknown, seed)}
        for method, values in found.items():
            said.setdefault(method, np.empty_like(outcomes.scores))[asked] = values
        tell()
    # One model for all is the same model in every fold: what the folds' means differ by is no opinion on a request.
    said["single"] = np.tile(said["single"].mean(axis=0), (len(outcomes), 1))
    return said


def estimated(estimator: Estimator, outcomes: Outcomes) -> Floats:
    """The estimator's probabilities of each row, in the order of the outcomes' candidates."""
    found = [estimator.estimate(one).probabilities for one in outcomes.features]
    return np.array([[row[name] for name in outcomes.candidates] for row in found])


def report(outcomes: Outcomes, rounds: Sequence[Said], folds: int, pair: tuple[str, str] | None = None) -> Report:
    """Put what the methods said, in one or several rounds (seeds), beside what came of it.

    Args:
        pair: the better and the worse candidate that the numbers at the top are of; else the best one on the whole,
            and the cheapest.
    """
    means = np.nanmean(outcomes.scores, axis=0)
    costs = [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in outcomes.costs.T]
    pairs = tuple(_pair(outcomes, rounds, *names) for names in _pairs(outcomes, means, costs, pair))
    each = {
        name: _calibration([one[ROUTER][:, i] for one in rounds], outcomes.scores[:, i])
        for i, name in enumerate(outcomes.candidates)
    }
    notes = () if all(cost is not None for cost in costs) else ("Costs are unknown: only shares of calls are told.",)
    return Report(
        len(outcomes),
        outcomes.candidates,
        tuple(float(mean) for mean in means),
        tuple(costs),
        folds,
        len(rounds),
        pairs,
        _calibration([one[ROUTER].ravel() for one in rounds], outcomes.scores.ravel()),
        each,
        {} if notes else _spent(outcomes, rounds),
        notes,
    )


def _calibration(said: Sequence[Floats], was: Floats) -> Calibration:
    """The mean of the rounds' errors; the curve is that of all rounds together."""
    found = [calibration(one, was) for one in said]
    errors = np.array([[one.ece, one.chance, one.brier] for one in found]).mean(axis=0)
    ece, chance, brier = (float(error) for error in errors)
    return Calibration(ece, chance, brier, calibration(np.concatenate(said), np.concatenate([was] * len(said))).bins)


def _pairs(
    outcomes: Outcomes, means: Floats, costs: Sequence[float | None], wanted: tuple[str, str] | None
) -> list[tuple[str, str]]:
    names = outcomes.candidates
    best = names[int(means.argmax())]
    if wanted is None:
        others = [i for i, name in enumerate(names) if name != best]
        if not others:
            raise BadRequest("The examples have one candidate only: there is nothing to choose between.")
        known = [i for i in others if costs[i] is not None]
        weak = min(known, key=lambda i: costs[i] or 0.0) if known else min(others, key=lambda i: means[i])
        wanted = best, names[weak]
    rest = [(best, name) for name in names if name != best]
    return list(dict.fromkeys([wanted, *rest]))


def _pair(outcomes: Outcomes, rounds: Sequence[Said], strong: str, weak: str) -> Pair:
    high, low = outcomes.candidates.index(strong), outcomes.candidates.index(weak)
    rows = np.flatnonzero(np.isfinite(outcomes.scores[:, [high, low]]).all(axis=1))
    scores = outcomes.scores[rows]
    methods = {}
    for method in rounds[0]:
        wins = [one[method][rows, high] - one[method][rows, low] for one in rounds]

        def measured(drawn: Rows, wins: Sequence[Floats] = wins) -> Floats:
            found = [tradeoff(win[drawn], scores[drawn, high], scores[drawn, low]) for win in wins]
            means: Floats = np.array([[one.apgr, one.cpt50, one.cpt80] for one in found]).mean(axis=0)
            return means

        methods[method] = Row(*_intervals(measured, len(rows)))
    return Pair(strong, weak, methods)


def _intervals(measure: Callable[[Rows], Floats], count: int) -> list[Interval]:
    """By the percentiles of a bootstrap over rows."""
    draw = np.random.default_rng(0)
    whole = measure(np.arange(count))
    if np.isnan(whole).all():
        return [Interval(np.nan, np.nan, np.nan)] * len(whole)
    drawn = np.array([measure(draw.integers(count, size=count)) for _ in range(_DRAWN)])
    edge = (1 - _LEVEL) / 2
    low, high = np.nanquantile(drawn, [edge, 1 - edge], axis=0)
    return [Interval(*(float(number) for number in numbers)) for numbers in zip(whole, low, high, strict=True)]


def _spent(outcomes: Outcomes, rounds: Sequence[Said]) -> Mapping[str, Mapping[str, Spent]]:
    found: dict[str, Mapping[str, Spent]] = {}
    for method in rounds[0]:
        curves = [frontier(one[method], outcomes.scores, outcomes.costs, knows=method == "oracle") for one in rounds]
        found[method] = {
            f"{quality:.0%}": cheapest(curves, outcomes.scores, outcomes.costs, quality) for quality in QUALITIES
        }
    return found
