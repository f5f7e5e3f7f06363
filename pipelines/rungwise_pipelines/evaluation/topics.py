"""Topics: what questions are about, found from their embeddings and named in a few of their own words."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rungwise_server.retrieval.stopwords import STOPWORDS
from rungwise_server.text.sentences import UNSPACED
from rungwise_server.types import Vector

_ROUNDS = 25
_WORD = re.compile(rf"[^\W\d_{UNSPACED}][^\W_{UNSPACED}]+")
_STOPPED = frozenset().union(*STOPWORDS.values())
_TERMS = 3
_SHOWN = 60

Numbers = npt.NDArray[np.intp]


def cluster(vectors: Vector, topics: int, draw: np.random.Generator) -> Numbers:
    """The topic of each row, from 0 on; at most `topics`, each with a question at least.

    Spherical k-means (Dhillon and Modha, 2001): rows of unit length, nearest by cosine; begun far apart (k-means++).
    """
    centres = _begun(vectors, min(topics, len(vectors)), draw)
    nearest: Numbers = np.zeros(len(vectors), dtype=np.intp)
    for _ in range(_ROUNDS):
        before = nearest
        nearest = (vectors @ centres.T).argmax(axis=1)
        if np.array_equal(before, nearest):
            break
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    found: Numbers = np.unique(nearest, return_inverse=True)[1].astype(np.intp)
    return found


def names(texts: Sequence[str], vectors: Vector, topic: Numbers) -> list[str]:
    """A name for each topic: the words that are most its own (by frequency in it, against that in all; words of some
    language's grammar left out), else the question nearest to its centre.
    """
    words = [{word for word in _WORD.findall(text.lower()) if word not in _STOPPED} for text in texts]
    everywhere = Counter(word for found in words for word in found)
    named = []
    for number in range(int(topic.max(initial=-1)) + 1):
        rows = np.flatnonzero(topic == number)
        inside = Counter(word for row in rows for word in words[row])
        typical = sorted(
            (word for word, count in inside.items() if count >= max(2, 0.15 * len(rows))),
            key=lambda word: (-inside[word] * math.log(1 + len(texts) / everywhere[word]), word),
        )
        if len(typical) < 2:
            centre = vectors[rows].mean(axis=0)
            nearest = texts[rows[int((vectors[rows] @ centre).argmax())]]
            typical = [" ".join(nearest.split())[:_SHOWN]]
        named.append(", ".join(typical[:_TERMS]))
    return named


def _begun(vectors: Vector, topics: int, draw: np.random.Generator) -> Vector:
    """Rows that lie far apart: each drawn in proportion to its squared distance to the nearest one before."""
    chosen = [int(draw.integers(len(vectors)))]
    near = vectors @ vectors[chosen[0]]
    while len(chosen) < topics:
        distances = np.maximum(2 - 2 * near.astype(np.float64), 0)
        total = distances.sum()
        if total <= 1e-9:
            break
        chosen.append(int(draw.choice(len(vectors), p=distances / total)))
        near = np.maximum(near, vectors @ vectors[chosen[-1]])
    return vectors[chosen]
