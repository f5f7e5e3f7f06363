"""What a learned router must beat, each learned from the same rows and asked about the same others.

Each says what it thinks each candidate will score, shape (n, candidates); only differences between columns count.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from rungwise_pipelines.routing.outcomes import Floats, Outcomes
from rungwise_pipelines.routing.ridge import errors, fit, word_kernel
from rungwise_server.routing.basis import LENGTH, Basis, rarity_of

_SHRUNK = 20.0  # outcomes that a category's mean is drawn to the whole by
_NOISES = (1.0, 3.0, 10.0, 30.0)
_ROWS = 3000


def rivals(known: Outcomes, asked: Outcomes, seed: int) -> Mapping[str, Floats]:
    """`random`, `length` (longer is sent to the better), `single` (the best on the whole), `category`, `tfidf`, and
    `oracle`, which knows the outcomes of `asked` itself.
    """
    draw = np.random.default_rng(seed)
    means = np.nanmean(known.scores, axis=0)
    count = len(asked)
    # The lower a candidate's mean, the more chance or length take from it: every pair is ordered by them alone.
    missing = 1.0 - means
    lengths = np.array([float(one.surface[LENGTH]) for one in asked.features])
    found = {
        "random": means - draw.random((count, 1)) * missing,
        "length": means - (lengths[:, None] - lengths.min()) / max(np.ptp(lengths), 1e-9) * missing,
        "single": np.tile(means, (count, 1)),
        "tfidf": _tfidf(known, asked, means, draw),
        # Ties are broken by chance: cut by quantiles, they would leave no more than three points.
        "oracle": np.where(np.isfinite(asked.scores), asked.scores, means) + 1e-6 * draw.random(asked.scores.shape),
    }
    if len(set(known.categories)) > 1:
        found["category"] = _by_category(known, asked, means)
    return found


def _by_category(known: Outcomes, asked: Outcomes, means: Floats) -> Floats:
    """The candidates' means in each category, drawn to the whole."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, category in enumerate(known.categories):
        rows[category].append(row)
    by: dict[str, Floats] = {}
    for category, own in rows.items():
        scores = known.scores[own]
        count = np.isfinite(scores).sum(axis=0)
        by[category] = (np.nansum(scores, axis=0) + _SHRUNK * means) / (count + _SHRUNK)
    return np.stack([by.get(category, means) for category in asked.categories])


def _tfidf(known: Outcomes, asked: Outcomes, means: Floats, draw: np.random.Generator) -> Floats:
    """Ridge regression on the weights of words, its penalty by leave-one-out."""
    rows = np.sort(draw.permutation(len(known))[:_ROWS])
    places = [known.features[row].words for row in rows]
    none = np.zeros((1, 1), np.float32)
    basis = Basis(rarity_of(places), np.zeros(1, np.float32), np.zeros(1, np.float32), none, none)
    words = [(one, basis.words(one)) for one in places]
    kernel = word_kernel(words)
    wanted = known.scores[rows] - means
    wanted = np.where(np.isfinite(wanted), wanted, 0.0)
    tried = np.sort(draw.permutation(len(rows))[:1000])
    noise = _NOISES[int(errors(kernel[np.ix_(tried, tried)], wanted[tried], _NOISES).sum(axis=1).argmin())]
    dual = fit(kernel, wanted, noise)
    slopes = np.zeros((len(basis.rarity), wanted.shape[1]))
    for (at, values), one in zip(words, dual.dual, strict=True):
        slopes[at] += np.outer(values, one)
    said = np.stack([basis.words(one.words) @ slopes[one.words] for one in asked.features])
    return means + dual.mean + said
