"""Kernel ridge regression with all its leave-one-out predictions, on a kernel that is a weighted sum of likenesses.

Of many rows, blocks are fitted apart and averaged (Zhang, Duchi, Wainwright, "Divide and Conquer Kernel Ridge
Regression", 2013), so that time grows with the rows, not with their cube.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_pipelines.routing.outcomes import Floats, Rows
from rungwise_server.routing.basis import Basis
from rungwise_server.routing.features import HASHED, Features, Places
from rungwise_server.types import Vector

BLOCK = 3000
"""Rows that are fitted at once."""


class Blend(Struct, frozen=True):
    """How much each likeness counts: of words, of meanings, of shapes."""

    words: float
    meanings: float
    shapes: float


class View(Struct, frozen=True):
    """Rows, ready to be compared: `words` as places with their weights, `meanings` and `shapes` in coordinates whose
    inner products are the likeness (as far as the anchors show it: Williams and Seeger, 2001).
    """

    words: Sequence[tuple[Places, Vector]]
    meanings: Vector
    shapes: Vector

    def kernel(self, blend: Blend, words: Vector) -> Vector:
        """Likenesses of all pairs of rows, shape (n, n); `words` is their `word_kernel`, which takes longest."""
        found = blend.words * words
        found += blend.meanings * (self.meanings @ self.meanings.T)
        found += blend.shapes * (self.shapes @ self.shapes.T)
        return found

    def rows(self, chosen: Rows) -> "View":
        """Only these rows."""
        return View([self.words[row] for row in chosen], self.meanings[chosen], self.shapes[chosen])


class Anchored(Struct, frozen=True):
    """Turns likenesses to anchors into coordinates, and what is linear in those into what is linear in likenesses."""

    meanings: Vector
    shapes: Vector

    @classmethod
    def of(cls, basis: Basis) -> "Anchored":
        """From the likenesses of the anchors among themselves."""
        return cls(_root(basis.meaning(basis.meanings)), _root(basis.shape(basis.shapes)))

    def view(self, basis: Basis, features: Sequence[Features]) -> View:
        """The rows, as these anchors see them."""
        embeddings = np.stack([one.embedding for one in features])
        standard = np.stack([basis.standardised(one) for one in features])
        return View(
            [(one.words, basis.words(one.words)) for one in features],
            basis.meaning(embeddings) @ self.meanings,
            basis.shape(standard) @ self.shapes,
        )


def _root(likeness: Vector) -> Vector:
    """The inverse square root of a positive matrix, its near-empty directions left out."""
    values, vectors = np.linalg.eigh(likeness.astype(np.float64))
    kept = values > 1e-4 * values[-1]
    root: Vector = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    return root


def word_kernel(words: Sequence[tuple[Places, Vector]]) -> Vector:
    """Inner products of all pairs of sparse rows."""
    table = np.zeros((HASHED, len(words)), np.float32)
    for row, (places, values) in enumerate(words):
        table[places, row] = values
    alone = np.count_nonzero(table, axis=1) == 1  # what one row alone has is like nothing but itself
    own = (table[alone] ** 2).sum(axis=0)
    table = table[~alone]
    found: Vector = table.T @ table
    found.flat[:: len(words) + 1] += own
    return found


class Fit(Struct, frozen=True):
    """`dual` (n, targets) are the weights of the rows, `mean` (targets,) is added; `left_out` (n, targets) is what is
    predicted of each row by all others.
    """

    dual: Floats
    mean: Floats
    left_out: Floats


def fit(kernel: Vector, targets: Floats, noise: float) -> Fit:
    """Ridge regression of `targets` (n, k), less their means, with `noise` as the penalty."""
    regularised = kernel.astype(np.float32, copy=True)
    regularised.flat[:: len(kernel) + 1] += noise
    inverse = np.linalg.inv(regularised)
    mean = targets.mean(axis=0)
    dual = (inverse @ (targets - mean).astype(np.float32)).astype(np.float64)
    left_out = targets - dual / np.diag(inverse)[:, None]
    return Fit(dual, mean, left_out)


class Slopes(Struct, frozen=True):
    """A fit as what is linear in words (HASHED, targets) and in the coordinates of meanings and shapes."""

    words: Floats
    meanings: Floats
    shapes: Floats
    offset: Floats

    @classmethod
    def none(cls, view: View, targets: int) -> "Slopes":
        """All zeros."""
        meanings, shapes = view.meanings.shape[1], view.shapes.shape[1]
        return cls(
            np.zeros((HASHED, targets)), np.zeros((meanings, targets)), np.zeros((shapes, targets)), np.zeros(targets)
        )

    def add(self, view: View, blend: Blend, found: Fit, at: Rows) -> None:
        """Take in a fit of `view`'s rows to the targets `at`."""
        for (places, values), one in zip(view.words, found.dual, strict=True):
            self.words[np.ix_(places, at)] += blend.words * np.outer(values, one)
        self.meanings[:, at] += blend.meanings * (view.meanings.T @ found.dual)
        self.shapes[:, at] += blend.shapes * (view.shapes.T @ found.dual)
        self.offset[at] += found.mean

    def join(self, other: "Slopes", part: float) -> None:
        """Take in another fit, `part` of it."""
        self.words[...] += part * other.words
        self.meanings[...] += part * other.meanings
        self.shapes[...] += part * other.shapes
        self.offset[...] += part * other.offset

    def predict(self, view: View) -> Floats:
        """What is said of each row, shape (n, targets)."""
        words = np.stack([values @ self.words[places] for places, values in view.words])
        said: Floats = words + view.meanings @ self.meanings + view.shapes @ self.shapes + self.offset
        return said


def errors(kernel: Vector, targets: Floats, noises: Sequence[float]) -> Floats:
    """The mean squared error of leaving one out, shape (noises, targets): one decomposition serves all."""
    values, vectors = np.linalg.eigh(kernel.astype(np.float64))
    values = np.maximum(values, 0.0)
    centred = targets - targets.mean(axis=0)
    turned = vectors.T @ centred
    found = []
    for noise in noises:
        shrunk = 1.0 / (values + noise)
        dual = vectors @ (shrunk[:, None] * turned)
        diagonal = (vectors**2) @ shrunk
        found.append(((dual / diagonal[:, None]) ** 2).mean(axis=0))
    return np.array(found)


def blocks(count: int, draw: np.random.Generator) -> list[npt.NDArray[np.intp]]:
    """All row numbers, in blocks of at most BLOCK, drawn by chance."""
    return [np.sort(part) for part in np.array_split(draw.permutation(count), -(-count // BLOCK))]
