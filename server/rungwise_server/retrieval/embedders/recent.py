"""The vectors of recent queries, so that whoever needs one again (a router, a second search) has it for nothing."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from rungwise_server.types import Vector


class Recent:
    """Vectors by their text, of the `size` queries used last. A vector says nothing about who asked."""

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def find(self, texts: Sequence[str]) -> Vector | None:
        """The vectors of all `texts` (at least one), in order, or None."""
        if any(text not in self._vectors for text in texts):
            return None
        for text in texts:
            self._vectors.move_to_end(text)
        return np.stack([self._vectors[text] for text in texts])

    def keep(self, texts: Sequence[str], vectors: Vector) -> None:
        """Remember them."""
        for text, vector in zip(texts, vectors, strict=True):
            self._vectors[text] = vector.copy()
            self._vectors.move_to_end(text)
        while len(self._vectors) > self._size:
            self._vectors.popitem(last=False)
