"""An embedder without a model, and the contract suite of Embedder."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np
import pytest

from rungwise_server.protocols import Embedder
from rungwise_server.types import Vector


class HashEmbedder:
    """Bags of hashed words: texts that share words are near each other. Deterministic, on every machine the same."""

    def __init__(self, dimensions: int = 64, languages: frozenset[str] = frozenset()) -> None:
        self._dimensions = dimensions
        self._languages = languages

    @property
    def name(self) -> str:
        """Its dimensions are part of it."""
        return f"hash/{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def languages(self) -> frozenset[str]:
        """As given; empty means any."""
        return self._languages

    async def close(self) -> None:
        """Nothing is open."""

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        """Rows of unit length, in order; queries and passages alike."""
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        for number, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                digest = int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")
                vectors[number, digest % self._dimensions] += 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class EmbedderContract(ABC):
    """What every Embedder keeps. Derive a test class whose fixture `embedder` gives one that is ready."""

    @pytest.fixture
    @abstractmethod
    def embedder(self) -> Embedder:
        """The embedder under test."""

    async def test_shape_type_and_unit_length(self, embedder: Embedder) -> None:
        """One float32 row of unit length a text."""
        vectors = await embedder.embed(["the price of a refund", "hours", "Öffnungszeiten"], "passage")
        assert vectors.shape == (3, embedder.dimensions)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)

    async def test_no_texts(self, embedder: Embedder) -> None:
        """Nothing in, nothing out, and still of the right shape."""
        for kind in ("query", "passage"):
            assert (await embedder.embed([], kind)).shape == (0, embedder.dimensions)

    async def test_strange_texts(self, embedder: Embedder) -> None:
        """Empty, blank, endless and non-Latin texts have vectors too."""
        texts = [
            "",
            " \n\t",
            "word " * 3000,
            "梅雨がないのは北海道とどこか。",
            "💪🎉",
            "\x00\x07",
            "\ud800",
            "x" * 5000,
        ]
        for kind in ("query", "passage"):
            vectors = await embedder.embed(texts, kind)
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)

    async def test_order_and_company_do_not_matter(self, embedder: Embedder) -> None:
        """A text's vector stands in its own row and is the same alone as among others of other lengths."""
        texts = [f"{'clause ' * (n % 7)}number {n} of {n * n}" for n in range(40)]
        together = await embedder.embed(texts, "passage")
        for row in (0, 6, 17, 39):
            alone = await embedder.embed([texts[row]], "passage")
            assert float(alone[0] @ together[row]) > 0.9999

    async def test_a_query_asked_again(self, embedder: Embedder) -> None:
        """The same query has the same vector, whatever the caller did to the one it was given."""
        first = await embedder.embed(["when do you open?"], "query")
        kept = first.copy()
        first[:] = 0
        np.testing.assert_allclose(await embedder.embed(["when do you open?"], "query"), kept, atol=1e-5)

    async def test_likeness(self, embedder: Embedder) -> None:
        """A question is nearer to the passage that shares its words than to one that shares nothing."""
        question = await embedder.embed(["how long does a refund take"], "query")
        passages = await embedder.embed(["a refund does take five days", "moss grows on the north side"], "passage")
        near, far = (passages @ question[0]).tolist()
        assert near > far

    async def test_it_says_what_it_is(self, embedder: Embedder) -> None:
        """A name, and two-letter languages."""
        assert embedder.name
        assert all(len(code) == 2 and code.islower() for code in embedder.languages)
