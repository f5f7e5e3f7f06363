"""What quality costs: for each weight of money, each request goes to the candidate whose estimate is worth most."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from rungwise_pipelines.routing.outcomes import Floats

QUALITIES = (0.9, 0.95, 0.99)
"""Shares of the best candidate's quality."""

_WEIGHTS = np.concatenate([[0.0], np.logspace(-3, 2, 200)])


class Spent(Struct, frozen=True):
    """The least that was spent for a request while the quality was kept, in money and as a share of what the best
    candidate costs; None where it never was.
    """

    cost: float | None
    share: float | None


def frontier(said: Floats, scores: Floats, costs: Floats, *, knows: bool = False) -> Floats:
    """Points (cost, quality) of a request on the mean, shape (weights, 2).

    Args:
        said: estimates of each candidate, shape (n, candidates).
        scores: what each candidate scored, NaN where it was not tried: such rows are left out.
        costs: what it cost. What a request will cost is guessed by the candidate's mean.
        knows: costs of each request are known before, too (the oracle).
    """
    whole = np.isfinite(scores).all(axis=1) & np.isfinite(costs).all(axis=1)
    said, scores, costs = said[whole], scores[whole], costs[whole]
    guessed = costs if knows else costs.mean(axis=0)
    unit = max(float(costs.mean(axis=0).max()), 1e-12)
    rows = np.arange(len(said))
    points = []
    for weight in _WEIGHTS:
        chosen = (said - weight * guessed / unit).argmax(axis=1)
        points.append((costs[rows, chosen].mean(), scores[rows, chosen].mean()))
    return np.array(points)


def cheapest(curves: Sequence[Floats], scores: Floats, costs: Floats, quality: float) -> Spent:
    """The mean over curves of the least cost at which `quality` of the best candidate's mean is reached. Between two
    points of a curve a share of the requests goes the one way, and the rest the other.
    """
    whole = np.isfinite(scores).all(axis=1) & np.isfinite(costs).all(axis=1)
    means = scores[whole].mean(axis=0)
    wanted, best = quality * float(means.max()), float(costs[whole].mean(axis=0)[means.argmax()])
    found = [_least(curve, wanted) for curve in curves]
    if any(one is None for one in found):
        return Spent(None, None)
    cost = float(np.mean([one for one in found if one is not None]))
    return Spent(cost, cost / best if best else None)


def _least(curve: Floats, wanted: float) -> float | None:
    """On the lower hull of the points: mixing two of them by chance is open to everybody."""
    enough = curve[curve[:, 1] >= wanted]
    if not len(enough):
        return None
    least = float(enough[:, 0].min())
    for low in curve[curve[:, 1] < wanted]:
        part = (wanted - low[1]) / (enough[:, 1] - low[1])
        least = min(least, float((low[0] + part * (enough[:, 0] - low[0])).min()))
    return least
