"""A reranker that counts words, and the contract suite of Reranker."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from rungwise_server.protocols import Reranker


class WordReranker:
    """The share of the query's words that a text has. `asked` is what it was given."""

    def __init__(self, name: str = "words") -> None:
        self.name = name
        self.asked: list[tuple[str, list[str], int]] = []

    async def score(self, query: str, texts: Sequence[str], chunks: int = 0) -> list[float]:
        """See Reranker."""
        self.asked.append((query, list(texts), chunks))
        words = set(query.lower().split())
        return [len(words & set(text.lower().split())) / max(1, len(words)) for text in texts]


class RerankerContract(ABC):
    """What every Reranker keeps. Derive a test class whose fixture `reranker` gives one that is ready."""

    @pytest.fixture
    @abstractmethod
    def reranker(self) -> Reranker:
        """The reranker under test."""

    async def test_one_score_a_text_in_order(self, reranker: Reranker) -> None:
        """What answers the query scores above what does not, wherever it stands."""
        texts = ["moss grows on the north side", "a refund takes five days", "opening hours are nine to five"]
        for shift in range(3):
            turned = texts[shift:] + texts[:shift]
            scores = await reranker.score("how long a refund takes", turned)
            assert len(scores) == 3
            assert turned[scores.index(max(scores))] == texts[1]
            assert all(0 <= score <= 1 for score in scores)

    async def test_strange_texts(self, reranker: Reranker) -> None:
        """Blank, endless and non-Latin texts have scores too, and so has one alone."""
        texts = ["", " \n", "word " * 3000, "梅雨がないのは北海道とどこか。", "💪🎉", "x" * 5000]
        assert len(await reranker.score("refund", texts, 2)) == len(texts)
        assert len(await reranker.score("梅雨", texts[3:4])) == 1

    async def test_it_says_what_it_is(self, reranker: Reranker) -> None:
        """A name."""
        assert reranker.name
