"""How good the judged system is: people's mean grade, for all items, out of the few that people graded.

The judge's grades cut all items into strata; within each stratum the people's grades say what the judge's are worth.
This is prediction-powered inference in its stratified form (Fisch et al., 2024; post-stratification in surveys): its
variance is that of PPI++ (Angelopoulos, Duchi and Zrnic, 2023) with the best power tuning where grades are 0 or 1, it
falls back to human grades alone where the judge knows nothing, and it stays fair when more items were graded where
the judge fails than where it passes.

In each stratum the pass rate has a beta posterior; those and the strata's shares give mean and variance of the
quality, and the beta distribution with that mean and variance gives the interval. Its prior, near to Jeffreys', is .4
of a pass and of a fail. The estimate starts from two opinions instead, each worth less than one grade in every stratum:
the judge's own, and what people said of all strata together. The first helps where the judge is good, the second where
it knows nothing; a few grades outvote both.
Grades between 0 and 1 vary less than passes and fails do: their count is raised by how much less, shrunk towards 1.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta

Floats = NDArray[np.float64]

PRIOR = 0.4
"""So many passes, and so many fails, in each stratum. Jeffreys' half covers as well on the mean, and less at its worst,
for there are several strata; chosen by simulation between 0.25 and 1."""

SAID_BY_JUDGE, SAID_BY_PEOPLE = 0.75, 0.5
"""So much of a grade is each of the two opinions that an estimate starts from. A whole one of the judge is better with
good judges, and with 5 grades and a bad one a third off further than people alone. Chosen by simulation and on TriviaQA
(docs/explanation/judging.md)."""

VARIETY = 0.25
"""The weight of the prior belief that grades vary as much as passes and fails do: one item's worth at a half."""
_EQUAL = 1e-12


class Strata(Struct, frozen=True):
    """What an estimate needs to know of each stratum; arrays end in the strata, leading axes are repetitions."""

    share: Floats
    """Of all items, by weight; sums to 1."""
    size: Floats
    """Items in it, or what weighted ones are worth."""
    graded: Floats
    """Items graded by people, likewise; at most `size`."""
    mean: Floats
    """People's mean grade; anything where `graded` is 0."""
    judged: Floats
    """The judge's mean grade; nan where the judge gave none."""


class Posterior(Struct, frozen=True):
    """The beta distribution of each stratum's true mean grade, and the dispersion that went into it."""

    passed: Floats
    failed: Floats
    dispersion: Floats


def dispersion_of(squares: Floats, graded: Floats, mean: Floats) -> Floats:
    """How much grades vary within strata, as a share of what passes and fails of the same mean would, at most 1.

    `squares` is the sum of squared distances from the stratum's mean. Axes as in `Strata`; the last one is summed over.
    """
    several = graded > 1
    fair = np.where(several, graded / np.maximum(graded - 1, 1e-9), 0.0)
    smoothed = (graded * mean + PRIOR) / (graded + 2 * PRIOR)
    binary = np.where(several, graded * smoothed * (1 - smoothed), 0.0).sum(-1)
    return np.asarray(np.minimum(1.0, (VARIETY + (squares * fair).sum(-1)) / (VARIETY + binary)))


def posterior_of(strata: Strata, dispersion: Floats) -> Posterior:
    """What is known of each stratum. `dispersion` is 1 where all grades are 0 or 1."""
    worth = strata.graded / dispersion[..., None]
    mean = np.where(strata.graded > 0, strata.mean, 0.0)
    return Posterior(PRIOR + worth * mean, PRIOR + worth * (1 - mean), dispersion)


def estimate_of(strata: Strata, posterior: Posterior) -> Floats:
    """The best guess of the quality: what people said of the items that they graded, and of the rest each stratum's
    rate, begun from the judge's grade and people's overall mean.
    """
    worth = strata.graded / posterior.dispersion[..., None]
    passed = np.where(strata.graded > 0, strata.mean, 0.0) * worth
    overall = (passed.sum(-1) + PRIOR) / (worth.sum(-1) + 2 * PRIOR)
    people = np.broadcast_to(overall[..., None], passed.shape)
    judge = np.where(np.isnan(strata.judged), people, strata.judged)
    rate = passed + SAID_BY_PEOPLE * people + SAID_BY_JUDGE * judge
    rate = rate / (worth + SAID_BY_PEOPLE + SAID_BY_JUDGE)
    rate = np.where(worth.sum(-1, keepdims=True) > 0, rate, judge)
    return np.asarray((strata.share * _with_known(strata, rate)).sum(-1))


def moments_of(strata: Strata, posterior: Posterior, *, beyond: bool) -> tuple[Floats, Floats]:
    """Mean and variance of the quality: of items like these, of which these are a sample (`beyond`), or of just these.

    Of just these, what people graded is known, and only the rest is not.
    """
    worth = posterior.passed + posterior.failed
    rate = posterior.passed / worth
    variance = rate * (1 - rate) / (worth + 1)
    mean = (strata.share * rate).sum(-1)
    if beyond:
        items = strata.size.sum(-1)
        between = (strata.share * rate**2).sum(-1) - mean**2
        return mean, (strata.share**2 * variance).sum(-1) + np.maximum(between, 0) / (items + 1)
    rest = np.maximum(strata.size - strata.graded, 0.0)
    drawn = posterior.dispersion[..., None] * (rate * (1 - rate) - variance) / np.maximum(rest, 1.0)
    left = np.where(rest > 0, (rest / np.maximum(strata.size, 1e-9)) ** 2 * (variance + drawn), 0.0)
    return (strata.share * _with_known(strata, rate)).sum(-1), (strata.share**2 * left).sum(-1)


def _with_known(strata: Strata, rate: Floats) -> Floats:
    """The mean grade of each stratum's own items: what people said of some, and `rate` of the rest."""
    known = strata.graded / np.maximum(strata.size, 1e-9)
    return np.asarray(np.where(strata.graded > 0, strata.mean, 0.0) * known + rate * (1 - known))


def ends_of(mean: Floats, variance: Floats, level: float) -> tuple[Floats, Floats]:
    """The interval of a share by the beta distribution of that mean and variance."""
    worth = np.maximum(mean * (1 - mean) / np.maximum(variance, 1e-15) - 1, 1e-3)
    tails = np.array([(1 - level) / 2, (1 + level) / 2]).reshape(2, *([1] * mean.ndim))
    with np.errstate(under="ignore"):
        low, high = beta.quantile(tails, np.maximum(mean * worth, 1e-9), np.maximum((1 - mean) * worth, 1e-9))
    sure = variance <= 1e-15
    return np.where(sure, mean, low), np.where(sure, mean, high)


def interval_of(strata: Strata, posterior: Posterior, level: float, *, beyond: bool) -> tuple[Floats, Floats, Floats]:
    """Estimate, low and high. Where people gave everything the best grade (or the worst), the interval reaches it:
    nothing they said rules it out.
    """
    mean, variance = moments_of(strata, posterior, beyond=beyond)
    low, high = ends_of(mean, variance, level)
    some = strata.graded > 0
    if beyond:
        high = np.where(np.all(~some | (strata.mean > 1 - _EQUAL), axis=-1), 1.0, high)
        low = np.where(np.all(~some | (strata.mean < _EQUAL), axis=-1), 0.0, low)
    return np.clip(estimate_of(strata, posterior), low, high), low, high
