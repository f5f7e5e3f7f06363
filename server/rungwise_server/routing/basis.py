"""What features are measured against: how common each word is, what texts usually look like, and some typical requests.

It is found from requests alone, without anybody's outcome. Two requests are alike by three measures: their meaning and
their shape, each against the same typical requests (anchors), and their words. An estimate is linear in all of them, so
that it takes the time of a few small products, however many outcomes it was learned from.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from rungwise_server.routing.features import EVIDENCE, HASHED, SURFACE, Features, Places
from rungwise_server.types import Vector

LENGTH = SURFACE.index("characters")
SHAPES = len(SURFACE) + len(EVIDENCE)
_NEAR = 4.0  # of meanings: at a cosine of .7, requests are .3 alike
_WIDE = 3.0  # of shapes: such that requests a standard deviation apart in every number are .5 alike
_FAR = 4.0  # standard deviations; what is further is no more telling


class Basis(Struct, frozen=True):
    """`rarity` of words has shape (HASHED,). `centre` and `scale` have shape (SHAPES,), with
    a scale of 0 for a number that was the same in all requests, and says nothing. `meanings` are the anchors'
    embeddings, `shapes` their shapes, already standardised.
    """

    rarity: Vector
    centre: Vector
    scale: Vector
    meanings: Vector
    shapes: Vector

    def words(self, places: Places) -> Vector:
        """The weight of each word that is hashed to `places`: a vector of unit length."""
        rare = self.rarity[places]
        length = float(np.sqrt(rare @ rare))
        unit: Vector = rare / length if length else rare
        return unit

    def meaning(self, embeddings: Vector) -> Vector:
        """How near rows of unit length are to each anchor in meaning, 0 to 1: shape (..., anchors)."""
        near: Vector = np.exp(_NEAR * (embeddings @ self.meanings.T - 1.0))
        return near

    def shape(self, standard: Vector) -> Vector:
        """How alike rows of `standardised` are to each anchor, 0 to 1: shape (..., anchors)."""
        apart = (standard**2).sum(-1)[..., None] + (self.shapes**2).sum(-1) - 2.0 * standard @ self.shapes.T
        alike: Vector = np.exp(-np.maximum(apart, 0.0) / (_WIDE * max(1, int(np.count_nonzero(self.scale)))))
        return alike

    def standardised(self, one: Features) -> Vector:
        """Surface and evidence as numbers of standard deviations, shape (SHAPES,)."""
        raw = np.concatenate([one.surface, one.evidence])
        standard: Vector = np.clip((raw - self.centre) * self.scale, -_FAR, _FAR)
        return standard


def rarity_of(found: Sequence[Places]) -> Vector:
    """How rare each place is among `found`: 1 + log((1 + n) / (1 + how many have it)), shape (HASHED,)."""
    having = np.bincount(np.concatenate([*found, np.zeros(0, np.int64)]), minlength=HASHED)
    rare: Vector = (1 + np.log((1 + len(found)) / (1 + having))).astype(np.float32)
    return rare
