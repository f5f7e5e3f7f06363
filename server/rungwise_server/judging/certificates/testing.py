"""Many small studies at once, as arrays: what coverage is simulated with, here and in the benchmark."""

import numpy as np
from numpy.typing import NDArray

from rungwise_server.judging.certificates.quality import Strata, interval_of, posterior_of

Floats = NDArray[np.float64]


def studied(human: Floats, judge: Floats, count: int) -> Strata:
    """Studies of items graded 0 or 1, one a row, of which people graded the first `count`: rows as in `Strata`."""
    sides = np.stack([judge < 0.5, judge >= 0.5], axis=1)
    graded = sides[:, :, :count].sum(-1).astype(np.float64)
    passed = (sides[:, :, :count] * human[:, None, :count]).sum(-1)
    size = sides.sum(-1).astype(np.float64)
    return Strata(
        share=size / human.shape[1],
        size=size,
        graded=graded,
        mean=passed / np.maximum(graded, 1.0),
        judged=np.broadcast_to(np.array([0.0, 1.0]), size.shape),
    )


def quality_of(strata: Strata, level: float = 0.95, *, beyond: bool) -> tuple[Floats, Floats, Floats]:
    """Estimate, low and high of each study, as a certificate has them."""
    posterior = posterior_of(strata, np.ones(strata.share.shape[:-1]))
    return interval_of(strata, posterior, level, beyond=beyond)


def covered(low: Floats, high: Floats, truth: Floats | float) -> float:
    """The share of intervals that have the truth in them; an end that is off by rounding alone counts as right."""
    return float(np.mean((low <= truth + 1e-9) & (truth <= high + 1e-9)))
