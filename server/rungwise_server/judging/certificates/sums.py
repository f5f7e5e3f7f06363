"""From items to the sums that estimates need, and the four estimates of one system's quality side by side."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rungwise_server.judging.certificates.agreement import effective
from rungwise_server.judging.certificates.grades import Item
from rungwise_server.judging.certificates.intervals import Interval
from rungwise_server.judging.certificates.quality import (
    Posterior,
    Strata,
    dispersion_of,
    estimate_of,
    interval_of,
    posterior_of,
)
from rungwise_server.judging.certificates.strata import Indexes, strata_of

Floats = NDArray[np.float64]
METHOD = "post-stratified by the judge, beta posterior"


class Columns(Struct, frozen=True):
    """Items as arrays, sorted by id so that the order of lines changes nothing; nan where there is no grade."""

    items: tuple[Item, ...]
    human: Floats
    judge: Floats
    weight: Floats

    @property
    def graded(self) -> NDArray[np.bool_]:
        """Which items people graded."""
        return ~np.isnan(self.human)


class Estimates(Struct, frozen=True):
    """A system's quality, told in several ways. None where there is nothing to tell it from."""

    quality: Interval
    """Of items like these: what to compare systems by."""
    quality_of_these: Interval
    """Of just the items in the file: what the mean would be if people graded all of them."""
    judge_alone: Interval | None
    """The judge's mean grade, its errors not counted: its interval says nothing of people."""
    humans_alone: Interval | None
    bias: Interval | None
    """How much higher the judge grades than people do, on items like these."""
    ppi: float | None
    """PPI++ with power tuning, for comparison."""
    rogan_gladen: float | None
    """The judge's pass rate corrected by its true-positive and true-negative rates (1978), for comparison."""


def columns_of(items: Sequence[Item]) -> Columns:
    """Items as arrays."""
    ordered = tuple(sorted(items, key=lambda item: (item.system, item.id)))
    return Columns(
        ordered,
        np.array([np.nan if item.human is None else item.human for item in ordered]),
        np.array([np.nan if item.judge is None else item.judge for item in ordered]),
        np.array([item.weight for item in ordered]),
    )


def summed(columns: Columns, parts: Sequence[Indexes]) -> tuple[Strata, Posterior]:
    """The sums of each stratum, and what is known of its true mean grade."""
    graded = [part[columns.graded[part]] for part in parts]
    total = columns.weight.sum()
    means = np.array([_mean(columns.human[part], columns.weight[part]) for part in graded])
    worth = np.array([effective(columns.weight[part]) for part in graded])
    strata = Strata(
        share=np.array([columns.weight[part].sum() / total for part in parts]),
        size=np.maximum(np.array([effective(columns.weight[part]) for part in parts]), worth),
        graded=worth,
        mean=means,
        judged=np.array([_mean(columns.judge[part], columns.weight[part]) for part in parts]),
    )
    grades = columns.human[columns.graded]
    if np.isin(grades, (0.0, 1.0)).all():
        return strata, posterior_of(strata, np.array(1.0))
    squares = np.array(
        [
            float(n * np.average((columns.human[part] - mean) ** 2, weights=columns.weight[part])) if n else 0.0
            for part, mean, n in zip(graded, means, worth, strict=True)
        ]
    )
    return strata, posterior_of(strata, dispersion_of(squares, worth, means))


def estimates_of(columns: Columns, *, threshold: float, level: float) -> Estimates:
    """All estimates of one system's quality."""
    parts = strata_of(columns.judge, columns.graded, threshold)
    strata, posterior = summed(columns, parts)
    count = int(columns.graded.sum())
    return Estimates(
        _interval(strata, posterior, level, count, beyond=True),
        _interval(strata, posterior, level, count, beyond=False),
        _judge_alone(columns, level),
        _humans_alone(columns, level),
        _bias(columns, strata, posterior, level, count),
        _ppi(columns),
        _rogan_gladen(columns, threshold),
    )


def _interval(strata: Strata, posterior: Posterior, level: float, count: int, *, beyond: bool) -> Interval:
    estimate, low, high = (float(value) for value in interval_of(strata, posterior, level, beyond=beyond))
    if not count:
        low, high = 0.0, 1.0
    return Interval(estimate, low, high, level, METHOD, count)


def _humans_alone(columns: Columns, level: float) -> Interval | None:
    graded = np.flatnonzero(columns.graded)
    if not graded.size:
        return None
    only = Columns(
        tuple(columns.items[i] for i in graded),
        columns.human[graded],
        np.full(graded.size, np.nan),
        columns.weight[graded],
    )
    strata, posterior = summed(only, [np.arange(graded.size)])
    unbound = Strata(strata.share, np.full(1, np.inf), strata.graded, strata.mean, strata.judged)
    _, low, high = interval_of(unbound, posterior, level, beyond=True)
    mean = float(strata.mean[0])
    return Interval(mean, min(float(low), mean), max(float(high), mean), level, "beta posterior", int(graded.size))


def _judge_alone(columns: Columns, level: float) -> Interval | None:
    known = np.flatnonzero(~np.isnan(columns.judge))
    if not known.size:
        return None
    as_people = Columns(
        tuple(columns.items[i] for i in known),
        columns.judge[known],
        np.full(known.size, np.nan),
        columns.weight[known],
    )
    return _humans_alone(as_people, level)


def _bias(columns: Columns, strata: Strata, posterior: Posterior, level: float, count: int) -> Interval | None:
    """Judge minus people, given the strata's shares; the strata where the judge gave no grade are left out."""
    spoken = ~np.isnan(strata.judged)
    if not count or not spoken.any():
        return None
    share = strata.share[spoken] / strata.share[spoken].sum()
    about = Posterior(posterior.passed[spoken], posterior.failed[spoken], posterior.dispersion)
    size, *others = (values[spoken] for values in (strata.size, strata.graded, strata.mean, strata.judged))
    people = float(estimate_of(Strata(share, size, *others), about))
    fixed = Strata(share, np.full(share.size, np.inf), *others)
    _, low, high = (float(value) for value in interval_of(fixed, about, level, beyond=True))
    judged = float(share @ strata.judged[spoken])
    people = min(max(people, low), high)
    return Interval(judged - people, judged - high, judged - low, level, METHOD, count)


def _ppi(columns: Columns) -> float | None:
    """PPI++ of a mean; its tuning is the one of its example 6.1, kept between 0 and 1."""
    known = ~np.isnan(columns.judge)
    both = columns.graded & known
    if both.sum() < 2:
        return None
    human, judge, weight = columns.human[both], columns.judge[both], columns.weight[both]
    everyone = columns.judge[known]
    spread = float(np.cov(everyone, aweights=columns.weight[known], ddof=0))
    if spread <= 1e-15:
        return _mean(human, weight)
    together = float(np.cov(human, judge, aweights=weight)[0, 1])
    power = min(1.0, max(0.0, together / ((1 + both.sum() / known.sum()) * spread)))
    all_judged = _mean(everyone, columns.weight[known])
    return float(np.clip(power * all_judged + _mean(human - power * judge, weight), 0.0, 1.0))


def _rogan_gladen(columns: Columns, threshold: float) -> float | None:
    known = ~np.isnan(columns.judge)
    both = columns.graded & known
    passed, judged = columns.human[both] >= threshold, columns.judge[both] >= threshold
    weight = columns.weight[both]
    if not passed.any() or passed.all():
        return None
    true_positive = _mean(judged[passed].astype(np.float64), weight[passed])
    false_positive = _mean(judged[~passed].astype(np.float64), weight[~passed])
    if abs(true_positive - false_positive) < 1e-9:
        return None
    rate = _mean((columns.judge[known] >= threshold).astype(np.float64), columns.weight[known])
    return float(np.clip((rate - false_positive) / (true_positive - false_positive), 0.0, 1.0))


def _mean(values: Floats, weight: Floats) -> float:
    return float(np.average(values, weights=weight)) if values.size else float("nan")
