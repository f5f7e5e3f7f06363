"""Is one setting better than another? Evidence that may be looked at after every example, by betting.

A game on the mean of paired differences d between -1 and 1: a gambler who starts with one coin stakes a share s of it
on each d, and holds the product of (1 + s d). Where the mean is not above zero no stake gains on average, so a fortune
of 1/alpha is an event of probability alpha at most, however often one looks and whenever one stops (Ville, 1939). The
fortune here is the average over a grid of stakes, which needs no order of the examples. Nothing is assumed but that the
differences are bounded: it holds for five examples, for grades of 0 and 1 and for those between.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STAKES = (np.arange(32) + 0.5) / 32


def fortune(differences: Floats, weight: Floats, above: float = 0.0) -> float:
    """The logarithm of what betting on "the mean of `differences` is above `above`" has made of one coin.

    `differences` and `weight` have shape (n,); differences go from -1 to 1, weights are positive, and with unequal ones
    it is the weighted mean that is bet on. Without examples nothing is won: 0.
    """
    if not differences.size:
        return 0.0
    return _mixed(np.log1p(_won(differences, weight, above)).sum(axis=1))


def at_least(differences: Floats, weight: Floats, alpha: float) -> float:
    """What the mean is not below, with an error of `alpha`, at any time. -1 where nothing is known."""
    need = -float(np.log(alpha))
    low, high = -1.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if fortune(differences, weight, middle) >= need else (low, middle)
    return low


def at_most(differences: Floats, weight: Floats, alpha: float) -> float:
    """What the mean is not above, with an error of `alpha`, at any time. 1 where nothing is known."""
    return -at_least(-differences, weight, alpha)


def needed(differences: Floats, weight: Floats, alpha: float, most: int = 10_000) -> int | None:
    """About how many examples such as these it takes until their mean is shown to be above zero; None where nothing
    points that way, and for more than `most`.
    """
    if not differences.size:
        return None
    rate = float(np.log1p(_won(differences, weight, 0.0)).mean(axis=1).max())
    if rate <= 0:
        return None
    count = 1.0
    for _ in range(50):  # not knowing the stake beforehand costs about half a logarithm of the number of examples
        count = (-float(np.log(alpha)) + 0.5 * float(np.log(max(count, 1.0)))) / rate
    return int(np.ceil(count)) if count <= most else None


def _won(differences: Floats, weight: Floats, above: float) -> Floats:
    """Shape (stakes, n). A difference minus `above` is at least -(1 + above): no stake loses more than it is."""
    gain = weight / weight.max() * (differences - above) / max(1 + above, 1e-9)
    won: Floats = np.multiply.outer(_STAKES, np.maximum(gain, -1.0))
    return won


def _mixed(held: Floats) -> float:
    top = float(held.max())
    return top + float(np.log(np.mean(np.exp(held - top))))
