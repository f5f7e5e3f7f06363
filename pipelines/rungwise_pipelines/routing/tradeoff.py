"""How well a score orders requests by who should answer them: RouteLLM's measures, as published.

"RouteLLM: Learning to Route LLMs with Preference Data" (Ong et al., 2024). Win rates are cut by quantiles into ten
bins; each of the (at most eleven) edges is a threshold; requests at or above it go to the strong model (above it, for
the last). The points (share of strong calls, mean score) make a curve. APGR is the area under it, from the weak
model's mean to the strong one's; CPT(x) the share of strong calls that gains x of what the strong model has over the
weak one.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Floats = npt.NDArray[np.float64]

BINS = 10


class Tradeoff(Struct, frozen=True):
    """APGR (.5 for chance, may be over 1), and the shares of strong calls that gain half, and four fifths."""

    apgr: float
    cpt50: float
    cpt80: float


def edges(win_rates: Floats, bins: int = BINS) -> Floats:
    """The edges of `pandas.qcut(win_rates, bins, duplicates="drop")`, ascending."""
    found: Floats = np.unique(np.quantile(win_rates, np.linspace(0, 1, bins + 1)))
    return found


def curve(win_rates: Floats, strong: Floats, weak: Floats) -> tuple[Floats, Floats]:
    """Shares of strong calls, ascending, and the mean score at each.

    Args:
        win_rates: how much the strong model is wanted for each request; only their order counts.
        strong: what the strong model scores on each.
        weak: what the weak one scores.
    """
    thresholds = edges(win_rates)
    shares, means = [], []
    for number, threshold in enumerate(thresholds):
        chosen = win_rates >= threshold if number < len(thresholds) - 1 else win_rates > threshold
        shares.append(chosen.mean())
        means.append(np.where(chosen, strong, weak).mean())
    order = np.argsort(shares, kind="stable")
    return np.array(shares)[order], np.array(means)[order]


def tradeoff(win_rates: Floats, strong: Floats, weak: Floats) -> Tradeoff:
    """The measures of one score; all NaN where the strong model is not better than the weak one on the whole, and
    where all win rates are the same: there is no curve then.
    """
    low, high = float(weak.mean()), float(strong.mean())
    if not high > low or not np.ptp(win_rates) > 0:
        return Tradeoff(np.nan, np.nan, np.nan)
    shares, means = curve(win_rates, strong, weak)
    area = float(np.trapezoid(means, shares))
    half, most = (float(np.interp(low + part * (high - low), means, shares)) for part in (0.5, 0.8))
    return Tradeoff((area - low) / (high - low), half, most)
