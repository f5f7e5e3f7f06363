"""Which of several variants of a judge agrees best with people, and how much better than it is that one looks.

The best of many looks better than it is: its score is the highest of many draws. So the whole choice is repeated on
parts of the graded answers: the best on four fifths is taken, and its verdicts on the last fifth count, which had no
say in choosing it. Over all fifths that is the score of *choosing like this* (nested cross-validation; Varma and Simon,
2006), and what the best one's own score has above it is its optimism. Answers to one question stay together.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_server.judging.certificates.agreement import agreement_of
from rungwise_server.judging.certificates.intervals import Interval, clopper_pearson

By = Literal["kappa", "agreement", "brier"]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

_REPEATS = 40
_DRAWS = 400
_DRAWN_REPEATS = 2
_PASS = 0.5


class Variant(Struct, frozen=True):
    """How one variant agrees with people, each answer judged without what it was chosen or taught by."""

    score: float
    """What variants are chosen by, higher for better: kappa, agreement, or 1 minus the Brier score."""
    agreement: Interval | None
    kappa: Interval | None
    brier: float
    """The mean squared distance to people's grade: 0 is best; always saying .5 gives .25."""
    silent: int
    """Answers of which it could not tell; each counts as wrong."""


class Choice(Struct, frozen=True):
    """The best variant, and what its score is worth."""

    by: By
    variants: tuple[Variant, ...]
    best: int
    looks: float
    """Its own score, the highest of all."""
    nested: float
    """The score of choosing like this, on answers that had no say in it."""
    low: float
    high: float
    """Ends of the interval of `nested`."""
    against: float
    """How much better choosing is than the first variant, on answers that had no say in it."""
    against_low: float
    against_high: float
    level: float

    @property
    def optimism(self) -> float:
        """How much better the best looks than it is."""
        return max(0.0, self.looks - self.nested)


def choose(
    verdicts: Floats,
    human: Floats,
    group: Numbers,
    *,
    by: By = "kappa",
    folds: int = 5,
    level: float = 0.95,
    seed: int = 0,
) -> Choice:
    """The best variant. Of equally good ones, the earliest: put the one in use first, and the dearer ones last.

    Args:
        verdicts: shape (answers, variants), from 0 to 1, NaN where a variant could not tell.
        human: people's grades of the answers, from 0 to 1.
        group: a number for each answer; answers of one number stay together.
    """
    draw = np.random.default_rng(seed)
    count = len(human)
    ones = np.ones((1, count))
    wrong = np.where(human >= _PASS, 0.0, 1.0)[:, None]
    told = np.where(np.isnan(verdicts), wrong, verdicts)
    scores = _scores(told[None], human, ones, by)[0]
    best = int(np.argmax(scores))
    nested = _nested(told, human, group, ones, by, folds, _REPEATS, draw)[0]
    resampled = _weights(group, _DRAWS, draw)
    drawn = _nested(told, human, group, resampled, by, folds, _DRAWN_REPEATS, draw)
    first = _scores(told[None, :, :1], human, resampled, by)[:, 0]
    variants = [_variant(verdicts[:, i], told[:, i], human, float(scores[i]), level) for i in range(verdicts.shape[1])]
    low, high = _interval(by, variants[best], float(nested), _ends(drawn, nested, level), level)
    against = round(float(nested - scores[0]), 12)
    against_low, against_high = _ends(drawn - first, against, level)
    return Choice(
        by,
        tuple(variants),
        best,
        float(scores[best]),
        float(nested),
        low,
        high,
        against,
        against_low,
        against_high,
        level,
    )


def _variant(verdict: Floats, told: Floats, human: Floats, score: float, level: float) -> Variant:
    agreement = agreement_of(human, told, np.ones(len(human)), threshold=_PASS, level=level)
    brier = float(((told - human) ** 2).mean())
    return Variant(score, agreement.agreement, agreement.kappa, brier, int(np.isnan(verdict).sum()))


def _nested(
    told: Floats,
    human: Floats,
    group: Numbers,
    weight: Floats,
    by: By,
    folds: int,
    repeats: int,
    draw: np.random.Generator,
) -> Floats:
    """For each row of weights, the mean over repeated partitions of the score of choosing on the other folds."""
    rows = len(weight)
    total = np.zeros(rows)
    for _ in range(repeats):
        fold = _folds(group, folds, draw)
        said = np.zeros((rows, len(human)))
        for held in np.unique(fold):
            inside = fold == held
            chosen = _scores(told[None], human, weight * ~inside, by).argmax(axis=1)
            said[:, inside] = told[inside][:, chosen].T
        total += _scores(said[:, :, None], human, weight, by)[:, 0]
    return total / repeats


def _folds(group: Numbers, folds: int, draw: np.random.Generator) -> Numbers:
    """A fold for each answer, groups kept whole and dealt out by chance."""
    names, place = np.unique(group, return_inverse=True)
    dealt = np.arange(len(names)) % max(2, min(folds, len(names)))
    return np.asarray(draw.permutation(dealt)[place], dtype=np.intp)


def _weights(group: Numbers, rows: int, draw: np.random.Generator) -> Floats:
    """How often each answer is in a sample, drawn with replacement, of as many groups as there are."""
    names, place = np.unique(group, return_inverse=True)
    counts = draw.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rows)
    return np.asarray(counts[:, place], dtype=np.float64)


def _scores(told: Floats, human: Floats, weight: Floats, by: By) -> Floats:
    """Scores of shape (rows, variants). `told` has shape (rows or 1, answers, variants), `weight` (rows, answers)."""
    total = np.maximum(weight.sum(axis=1), 1e-12)[:, None]

    def mean(values: npt.NDArray[np.bool_] | Floats) -> Floats:
        if len(values) == 1:
            return np.asarray(weight @ values[0] / total, dtype=np.float64)
        return np.asarray(np.einsum("rn,rnv->rv", weight, values) / total, dtype=np.float64)

    if by == "brier":
        return 1 - mean((told - human[None, :, None]) ** 2)
    passed, good = told >= _PASS, (human >= _PASS)[None, :, None]
    same = mean((passed == good).astype(np.float64))
    if by == "agreement":
        return same
    said = mean(passed.astype(np.float64))
    true = mean(good.astype(np.float64))
    chance = said * true + (1 - said) * (1 - true)
    return np.where(chance < 1 - 1e-9, (same - chance) / np.maximum(1 - chance, 1e-9), 0.0)


def _interval(by: By, best: Variant, nested: float, drawn: tuple[float, float], level: float) -> tuple[float, float]:
    """Around the nested score. Resampling few answers that are all right knows no doubt, so it is not left alone: a
    share of right answers has the exact interval, a kappa the wider of the bootstrap's and that of the best variant,
    moved by its optimism.
    """
    if by != "kappa":
        count = best.agreement.count if best.agreement else 0
        return clopper_pearson(min(1.0, max(0.0, nested)), count, level)
    low, high = drawn
    if best.kappa is not None:
        low = min(low, nested - (best.score - best.kappa.low))
        high = max(high, nested + (best.kappa.high - best.score))
    return max(-1.0, low), min(1.0, high)


def _ends(drawn: Floats, estimate: float, level: float) -> tuple[float, float]:
    """Percentiles of the bootstrap, moved to where the estimate is."""
    low, high = np.quantile(drawn - float(np.mean(drawn)), [(1 - level) / 2, (1 + level) / 2])
    return float(max(-1.0, estimate + low)), float(min(1.0, estimate + high))
