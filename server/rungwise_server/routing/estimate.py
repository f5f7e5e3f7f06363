"""P(good enough) of every candidate, from the features of a request: what a learned router knows, ready to be asked.

A candidate's score is a ridge regression (kernel ridge; Saunders et al., 1998) on words and on likeness to anchors, in
a few directions that the candidates share. A monotone curve per candidate makes a probability of its score. What was
learned says little of a request unlike all that it was learned from: there the estimate goes back to how good the
candidate is on the whole, and to the one thing that holds nearly everywhere, that what is longer is harder, and
hardest for the weakest.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from rungwise_server.routing.basis import LENGTH, Basis
from rungwise_server.routing.features import Features
from rungwise_server.types import Vector


class Weights(Struct, frozen=True):
    """What was learned, for `parts` shared directions of the candidates' scores.

    `words` has shape (HASHED, parts), `meanings` and `shapes` (anchors, parts), `offset` (parts,). A candidate's score
    is its mean, out of `means`, and the parts in the proportions of its column of `mixing`, shape (parts, candidates).
    """

    words: Vector
    meanings: Vector
    shapes: Vector
    offset: Vector
    mixing: Vector
    means: Vector


class Curves(Struct, frozen=True):
    """For each candidate, ascending scores and the probability at each, both of shape (candidates, knots)."""

    scores: Vector
    probabilities: Vector

    def of(self, candidate: int, scores: Vector) -> Vector:
        """The probabilities at `scores` of the candidate of that number."""
        likely: Vector = np.interp(scores, self.scores[candidate], self.probabilities[candidate]).astype(np.float32)
        return likely


class Estimates(Struct, frozen=True):
    """What is thought of one request: P(good enough) by candidate, and how far it is like what was learned from, from
    0 (nothing like it) to 1.
    """

    probabilities: Mapping[str, float]
    familiarity: float


class Estimator(Struct, frozen=True):
    """A learned router's knowledge. `familiar` are the likenesses to the nearest anchor at which a request counts as
    strange, and as known.
    """

    candidates: tuple[str, ...]
    basis: Basis
    weights: Weights
    curves: Curves
    familiar: tuple[float, float]

    def estimate(self, one: Features) -> Estimates:
        """Takes about a tenth of a millisecond."""
        near = self.basis.meaning(one.embedding)
        learned = self.scores(one, near)
        known = self.familiarity(near)
        elsewhere = self.strange(float(one.surface[LENGTH]))
        values = [
            known * float(self.curves.of(i, learned[i])) + (1.0 - known) * float(elsewhere[i])
            for i in range(len(self.candidates))
        ]
        return Estimates(dict(zip(self.candidates, values, strict=True)), known)

    def scores(self, one: Features, near: Vector) -> Vector:
        """Uncalibrated scores, shape (candidates,), of a request that is `near` the anchors in meaning."""
        basis, weights = self.basis, self.weights
        parts = (
            basis.words(one.words) @ weights.words[one.words]
            + near @ weights.meanings
            + basis.shape(basis.standardised(one)) @ weights.shapes
            + weights.offset
        )
        scores: Vector = weights.means + parts @ weights.mixing
        return scores

    def familiarity(self, near: Vector) -> float:
        """How far a request is like what was learned from, by its likenesses to the anchors."""
        strange, known = self.familiar
        return float(np.clip((near.max(initial=0.0) - strange) / max(known - strange, 1e-6), 0.0, 1.0))

    def strange(self, length: float) -> Vector:
        """The estimates for a request unlike all that was learned from, by the logarithm of its length."""
        return by_length(np.clip(self.weights.means, 0.0, 1.0), length - float(self.basis.centre[LENGTH]))


def by_length(means: Vector, longer: float) -> Vector:
    """Estimates from nothing but the candidates' means and how much longer a request is than usual (a logarithm).

    The longer, the lower, and the further apart: of two candidates the better one gains with every character.
    """
    missing = 1.0 - means
    steep = 0.5 * min(1.0, float((means / np.maximum(missing, 1e-6)).min(initial=1.0)))
    lowered: Vector = means - steep * missing * np.tanh(longer / 2.0)
    return lowered
