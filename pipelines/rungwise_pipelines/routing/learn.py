"""Learns an Estimator from outcomes: what to look at, and how much to believe it, is decided inside the data given."""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from rungwise_pipelines.routing.calibrate import curve_of
from rungwise_pipelines.routing.outcomes import Floats, Outcomes
from rungwise_pipelines.routing.ridge import Anchored, Blend, Slopes, View, blocks, errors, fit, word_kernel
from rungwise_server.errors import BadRequest
from rungwise_server.routing.basis import Basis, rarity_of
from rungwise_server.routing.estimate import Curves, Estimator, Weights
from rungwise_server.routing.features import Features

ANCHORS = 256
FEWEST = 20
"""Requests that anything is learned from."""

_BLENDS = (Blend(2, 1, 1), Blend(4, 1, 1), Blend(1, 1, 1), Blend(1, 1, 3))
_NOISES = (5.0, 10.0, 20.0, 40.0, 100.0, 300.0)
_TRIED = 1500  # rows that blends and noises are compared on
_PARTS = 6
_SHARED = 0.5  # of how much better or worse a row went than usual, what is expected of candidates not tried on it
_KNOWN = 0.05  # the quantile of the rows' own likeness to the nearest anchor, from which a request counts as known
_STRANGE = 0.5  # of that: what is less like the anchors is strange


class Learned(Struct, frozen=True):
    """An estimator, and `left_out`: the probabilities that each row would have got without its own outcome, shape
    (n, candidates).
    """

    estimator: Estimator
    left_out: Floats
    blend: Blend
    noises: tuple[float, ...]
    calibrated: tuple[str, ...]


def learn(outcomes: Outcomes, seed: int = 0) -> Learned:
    """Learn from `outcomes`; the same outcomes and seed give the same estimator.

    Raises:
        BadRequest: there are fewer than FEWEST of them, or a candidate has none.
    """
    _check(outcomes)
    draw = np.random.default_rng(seed)
    basis = basis_of(outcomes.features, draw)
    anchored = Anchored.of(basis)
    view = anchored.view(basis, outcomes.features)
    means = np.nanmean(outcomes.scores, axis=0)
    deviations = _filled(outcomes.scores - means)
    mixing = _directions(deviations)
    targets = deviations @ mixing.T
    blend, noises = _chosen(view, targets, draw)
    slopes, left_out = _fitted(view, targets, blend, noises, draw)
    weights = Weights(
        slopes.words.astype(np.float32),
        (anchored.meanings @ slopes.meanings).astype(np.float32),
        (anchored.shapes @ slopes.shapes).astype(np.float32),
        slopes.offset.astype(np.float32),
        mixing.astype(np.float32),
        means.astype(np.float32),
    )
    scores = means + left_out @ mixing
    found = [curve_of(scores[:, i], outcomes.scores[:, i], seed) for i in range(len(outcomes.candidates))]
    curves = Curves(
        np.stack([c.curve.scores for c in found]).astype(np.float32),
        np.stack([c.curve.probabilities for c in found]).astype(np.float32),
    )
    estimator = Estimator(outcomes.candidates, basis, weights, curves, _familiar(basis, outcomes.features))
    likely = np.stack([c.left_out for c in found], axis=1)
    return Learned(estimator, likely, blend, noises, tuple(c.method for c in found))


def basis_of(features: Sequence[Features], draw: np.random.Generator) -> Basis:
    """What these requests look like on the whole, with some of them as anchors."""
    raw = np.stack([np.concatenate([one.surface, one.evidence]) for one in features])
    spread = raw.std(axis=0)
    scale = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0).astype(np.float32)
    anchors = np.sort(draw.permutation(len(features))[:ANCHORS])
    bare = Basis(
        rarity_of([one.words for one in features]),
        raw.mean(axis=0).astype(np.float32),
        scale,
        np.stack([features[row].embedding for row in anchors]),
        np.zeros((0, raw.shape[1]), np.float32),
    )
    return msgspec.structs.replace(bare, shapes=np.stack([bare.standardised(features[row]) for row in anchors]))


def _check(outcomes: Outcomes) -> None:
    if len(outcomes) < FEWEST:
        raise BadRequest(f"There are {len(outcomes)} examples; a router is learned from {FEWEST} or more.")
    tried = np.isfinite(outcomes.scores).sum(axis=0)
    if (tried < FEWEST).any():
        few = outcomes.candidates[int(tried.argmin())]
        raise BadRequest(
            f"{few!r} has {int(tried.min())} outcomes, and each candidate needs {FEWEST} or more: grade more of its "
            "answers."
        )


def _filled(deviations: Floats) -> Floats:
    """Where a candidate was not tried, a part of how much better or worse than usual the others did on that row."""
    known = np.isfinite(deviations)
    row = np.where(known, deviations, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    filled: Floats = np.where(known, deviations, _SHARED * row[:, None])
    return filled


def _directions(deviations: Floats) -> Floats:
    """Orthonormal rows: what all candidates share, then where they differ most. Shape (parts, candidates)."""
    count = deviations.shape[1]
    shared = np.full((1, count), count**-0.5)
    rest = deviations - deviations.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(rest.T @ rest)
    apart = vectors.T[::-1][: min(count, _PARTS) - 1]
    found: Floats = np.concatenate([shared, apart])
    return found


def _chosen(view: View, targets: Floats, draw: np.random.Generator) -> tuple[Blend, tuple[float, ...]]:
    """The blend, and for each target the noise, that leave-one-out predictions err least with, on some of the rows."""
    rows = np.sort(draw.permutation(len(targets))[:_TRIED])
    sample, wanted = view.rows(rows), targets[rows]
    words = word_kernel(sample.words)
    found = [errors(sample.kernel(blend, words), wanted, _NOISES) for blend in _BLENDS]
    # A direction counts by how much of it can be explained at all, not by how much noise it has.
    worth = [float((error.min(axis=0) / wanted.var(axis=0).clip(1e-9)).sum()) for error in found]
    best = int(np.argmin(worth))
    return _BLENDS[best], tuple(_NOISES[i] for i in found[best].argmin(axis=0))


def _fitted(
    view: View, targets: Floats, blend: Blend, noises: Sequence[float], draw: np.random.Generator
) -> tuple[Slopes, Floats]:
    """The mean of the blocks' fits, and what is predicted of each row without it."""
    parts = blocks(len(targets), draw)
    total, left_out = Slopes.none(view, targets.shape[1]), np.zeros_like(targets)
    for rows in parts:
        block = view.rows(rows)
        kernel = block.kernel(blend, word_kernel(block.words))
        slopes, own = Slopes.none(view, targets.shape[1]), np.zeros((len(rows), targets.shape[1]))
        for noise in sorted(set(noises)):
            at = np.array([i for i, mine in enumerate(noises) if mine == noise])
            found = fit(kernel, targets[np.ix_(rows, at)], noise)
            slopes.add(block, blend, found, at)
            own[:, at] = found.left_out
        predicted = slopes.predict(view)
        predicted[rows] = own
        left_out += predicted / len(parts)
        total.join(slopes, 1.0 / len(parts))
    return total, left_out


def _familiar(basis: Basis, features: Sequence[Features]) -> tuple[float, float]:
    """From and up to which likeness to the nearest anchor a request is partly known."""
    near = basis.meaning(np.stack([one.embedding for one in features]))
    nearest = np.where(near > 0.9999, 0.0, near).max(axis=1)  # not an anchor's likeness to itself
    known = float(np.quantile(nearest, _KNOWN))
    return _STRANGE * known, known
