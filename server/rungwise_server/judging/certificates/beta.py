"""Quantiles of the beta distribution and of Student's t, over whole arrays, with numpy alone.

The distribution function is the continued fraction of DLMF 8.17.22, evaluated by Lentz's method; its inverse is
Newton's method kept inside a bracket. Tests hold both against values of known precision.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])
_TINY = 1e-300
_PRECISION = 1e-11


def cdf(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """P(X <= x) of X ~ Beta(a, b): the regularised incomplete beta function. All broadcast; a and b above 0."""
    x_, a_, b_ = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (x, a, b)))
    front = _lgamma(a_ + b_) - _lgamma(a_) - _lgamma(b_)
    return _cdf(np.clip(x_, 0.0, 1.0), a_, b_, front)


def quantile(p: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """The x with cdf(x, a, b) = p. All broadcast; 0 <= p <= 1; a and b above 0."""
    p_, a_, b_ = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (p, a, b)))
    front = _lgamma(a_ + b_) - _lgamma(a_) - _lgamma(b_)
    low, high = np.zeros_like(p_), np.ones_like(p_)
    middle = a_ / (a_ + b_)
    with np.errstate(divide="ignore", over="ignore"):
        power = np.exp((np.log(p_) + np.log(a_) - front) / a_)  # the distribution near 0 is a power
    x = np.where((power > 0) & (power < middle), power, middle)
    for _ in range(200):
        off = _cdf(x, a_, b_, front) - p_
        low, high = np.where(off < 0, x, low), np.where(off < 0, high, x)
        with np.errstate(all="ignore"):
            density = np.exp(front + (a_ - 1) * np.log(x) + (b_ - 1) * np.log1p(-x))
            step = x - off / density
        middle = (low + high) / 2
        new = np.where(np.isfinite(step) & (step > low) & (step < high), step, middle)
        moved = np.abs(new - x)
        x = new
        if np.all((moved <= _PRECISION * x) | (x < _TINY)):
            break
    return np.where(p_ <= 0, 0.0, np.where(p_ >= 1, 1.0, x))


def normal_quantile(p: float) -> float:
    """The quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


def t_quantile(p: float, freedom: float) -> float:
    """The quantile of Student's t for p above a half; `freedom` in degrees, above 0."""
    x = float(quantile(2 * p - 1, 0.5, freedom / 2))
    return math.sqrt(freedom * x / (1 - x)) if x < 1 else math.inf


def _cdf(x: Floats, a: Floats, b: Floats, front: Floats) -> Floats:
    """`front` is log Gamma(a+b) - log Gamma(a) - log Gamma(b). The tail that converges faster is the one summed."""
    swap = x > (a + 1) / (a + b + 2)
    u, c, d = np.where(swap, 1 - x, x), np.where(swap, b, a), np.where(swap, a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = front + np.where(u > 0, c * np.log(u) + d * np.log1p(-u), -np.inf)
    tail = np.where(u > 0, np.exp(power) / c / _fraction(u, c, d), 0.0)
    return np.where(swap, 1 - tail, tail)


def _fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    """1 + d1/(1 + d2/(1 + ...)) by Lentz's method."""
    value = np.ones_like(x)
    upper, lower = np.ones_like(x), np.zeros_like(x)
    for k in range(1, 2000):
        m = k // 2
        if k % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 + term * lower
        lower = 1 / np.where(np.abs(lower) < _TINY, _TINY, lower)
        upper = 1 + term / upper
        upper = np.where(np.abs(upper) < _TINY, _TINY, upper)
        change = upper * lower
        value = value * change
        if np.all(np.abs(change - 1) < 1e-14):
            break
    return value
