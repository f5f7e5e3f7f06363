"""Whether a workload's questions are still those that a judge was certified on.

The eval set's questions are clustered; a question falls to the nearest centre, or, where it is further from it than 9
in 10 were, into a part of its own: what is new is far from all that was known. The shares of these parts are held
against the shares at the time of the certificate by the population stability index: the sum of (now - then) × ln(now /
then), over the parts. By custom .1 is little and .25 a change.

Few questions scatter: 60 against 60 of the very same traffic give .25 now and then with 9 parts. The index of unchanged
traffic is distributed as (1 / n + 1 / m) × chi-squared with one degree of freedom less than there are parts (Yurdakul,
2018, "Statistical properties of population stability index"). So traffic counts as changed where the index is above .25
and above what 99 in 100 samples of unchanged traffic stay below.
"""

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_server.types import Vector

CHANGED = 0.25
"""An index from which on traffic counts as changed."""
ENOUGH = 50
"""Fewer questions tell nothing."""

_FAR = 0.1
_Z99 = 2.3263478740408408
_PSEUDO = 0.5

Floats = npt.NDArray[np.float64]


class Traffic(Struct, frozen=True):
    """Which questions a workload had, told by their places in an embedder's space."""

    embedder: str
    centres: bytes
    """float16, one row a centre."""
    far: float
    """A cosine with the nearest centre below which a question is far from all."""
    shares: tuple[float, ...]
    """Of the questions nearest to each centre, and at last of those that are far."""
    count: float
    """How many questions the shares are known from; of weighted ones, how many they are worth."""
    of: str
    """`traffic`, or `eval set` where there was too little traffic."""


class Drift(Struct, frozen=True):
    """How far traffic has moved: `index` over `questions`, and the `limit` from which on that is a change."""

    index: float
    limit: float
    questions: int

    @property
    def changed(self) -> bool:
        """Whether it is no longer the same traffic."""
        return self.index > self.limit


def centres_of(vectors: Vector, topic: npt.NDArray[np.intp]) -> Vector:
    """The centre of each topic, of unit length. `topic` numbers the rows' topics from 0 on, none left out."""
    sums = np.zeros((int(topic.max()) + 1, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, topic, vectors)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def traffic_of(embedder: str, centres: Vector, vectors: Vector) -> Traffic:
    """The traffic of recent questions, at least one."""
    stored = np.asarray(centres, dtype=np.float16)
    part, near = _nearest(vectors, stored.astype(np.float32))
    return _traffic(embedder, stored, part, near, np.ones(len(vectors)), "traffic")


def traffic_of_set(
    embedder: str, centres: Vector, vectors: Vector, topic: npt.NDArray[np.intp], weight: Floats
) -> Traffic:
    """The traffic that the examples of a set stand for, where there is too little real one.

    Its own centre is nearer to a question than to another like it: each half's distances are to the centres of the
    other half.
    """
    stored = np.asarray(centres, dtype=np.float16)
    part, near = _nearest(vectors, stored.astype(np.float32))
    halves = np.arange(len(vectors)) % 2
    if len(vectors) >= 4:
        for half in (0, 1):
            other = np.unique(topic[halves != half], return_inverse=True)[1].astype(np.intp)
            near[halves == half] = _nearest(vectors[halves == half], centres_of(vectors[halves != half], other))[1]
    return _traffic(embedder, stored, part, near, weight, "eval set")


def drift_of(then: Traffic, vectors: Vector) -> Drift | None:
    """How far recent questions are from the traffic `then`; None where there are too few to tell."""
    if len(vectors) < ENOUGH:
        return None
    centres = np.frombuffer(then.centres, dtype=np.float16).reshape(len(then.shares) - 1, -1).astype(np.float32)
    part, near = _nearest(vectors, centres)
    now = _shares(np.where(near < then.far, len(centres), part), np.ones(len(vectors)), len(then.shares))
    index = _psi(np.array(then.shares), then.count, now, len(vectors))
    chance = (1 / then.count + 1 / len(vectors)) * _chi_squared_99(len(then.shares) - 1)
    return Drift(index, max(CHANGED, chance), len(vectors))


def _traffic(
    embedder: str, stored: npt.NDArray[np.float16], part: npt.NDArray[np.intp], near: Floats, weight: Floats, of: str
) -> Traffic:
    order = np.argsort(near)
    reached = np.cumsum(weight[order]) / weight.sum()
    far = float(near[order][min(int(np.searchsorted(reached, _FAR)), len(near) - 1)])
    shares = _shares(np.where(near < far, len(stored), part), weight, len(stored) + 1)
    count = float(weight.sum() ** 2 / (weight**2).sum())
    return Traffic(embedder, stored.tobytes(), far, tuple(float(share) for share in shares), count, of)


def _nearest(vectors: Vector, centres: Vector) -> tuple[npt.NDArray[np.intp], Floats]:
    cosines = vectors @ centres.T
    return cosines.argmax(axis=1), cosines.max(axis=1).astype(np.float64)


def _shares(part: npt.NDArray[np.intp], weight: Floats, parts: int) -> Floats:
    return np.asarray(np.bincount(part, weight, minlength=parts) / weight.sum(), dtype=np.float64)


def _psi(then: Floats, before: float, now: Floats, after: float) -> float:
    """The index, with half a question more in each part: an empty one is no infinite change. That fewer questions are
    far from all than were is no change either: how near a set's own questions are to its centres is an estimate.
    """
    parts = len(then)
    p = (then * before + _PSEUDO) / (before + _PSEUDO * parts)
    q = (now * after + _PSEUDO) / (after + _PSEUDO * parts)
    terms = (q - p) * np.log(q / p)
    if q[-1] < p[-1]:
        terms[-1] = 0.0
    return float(terms.sum())


def _chi_squared_99(freedom: int) -> float:
    """The 99 % quantile (Wilson and Hilferty, 1931)."""
    ninth = 2 / (9 * freedom)
    return float(freedom * (1 - ninth + _Z99 * math.sqrt(ninth)) ** 3)
