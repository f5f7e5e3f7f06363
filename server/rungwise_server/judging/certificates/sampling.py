"""Whether people graded a fair part of what the judge passes and of what it fails, and weights where they did not."""

import numpy as np
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.sums import Columns

Floats = NDArray[np.float64]

UNEVEN = 1e-3
"""How improbable a table of graded passes and fails must be by chance before rates are reweighted."""


def fair_weights(columns: Columns, threshold: float) -> tuple[Floats, bool]:
    """Weights under which graded items are to the judge's passes and fails as all items are; and whether they had to
    be moved. Where grades were drawn by chance, the items' own weights do, and stay.
    """
    known = ~np.isnan(columns.judge)
    passed = known & (columns.judge >= threshold)
    failed = known & ~passed
    table = np.array(
        [[(side & columns.graded).sum(), (side & ~columns.graded).sum()] for side in (passed, failed)], float
    )
    total = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / max(total, 1.0)
    if (expected < 1).any() or table[:, 0].min() == 0:
        return columns.weight, False
    square = float(((np.abs(table - expected) - 0.5).clip(0) ** 2 / expected).sum())
    if square < beta.normal_quantile(1 - UNEVEN / 2) ** 2:
        return columns.weight, False
    weight = columns.weight.copy()
    for side in (passed, failed):
        weight[side] *= columns.weight[side].sum() / columns.weight[side & columns.graded].sum()
    return weight, True
