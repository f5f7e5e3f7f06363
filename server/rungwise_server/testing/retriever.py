"""A retriever over a handful of passages, and the contract suite of `Retriever`."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from rungwise_server.protocols import Retriever
from rungwise_server.types import Caller, Passage

CALLERS = (
    Caller(),
    Caller("ana", frozenset({"finance"})),
    Caller("bo", frozenset({"staff"})),
    Caller("cy", frozenset({"staff", "finance"})),
)


def passage(text: str, *readers: str, number: int = 1, title: str = "") -> Passage:
    """A passage by itself; its id and document follow from `number`."""
    return Passage(
        f"00000000-0000-0000-0000-{number:012d}", f"doc-{number}.md", "default", text, frozenset(readers), title=title
    )


class FixedRetriever:
    """A `Retriever` that ranks `passages` by how many words of the query they have; `searched` keeps the queries."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.searched: list[tuple[str, Caller]] = []

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """Those that share a word with the query, best first."""
        self.searched.append((query, caller))
        words = set(query.lower().split())
        readable = [p for p in self.passages if p.readers & caller.principals]
        scored = [(len(words & set(p.text.lower().split())), p) for p in readable]
        return [p for score, p in sorted(scored, key=lambda s: (-s[0], s[1].id)) if score][:limit]


class RetrieverContract:
    """Subclass it and override `fill`, which makes a retriever over given passages."""

    @pytest.fixture
    def fill(self) -> Callable[[Sequence[Passage]], Awaitable[Retriever]]:
        """Makes the retriever under test."""
        raise NotImplementedError

    async def test_best_first_and_no_more_than_asked_for(
        self, fill: Callable[[Sequence[Passage]], Awaitable[Retriever]]
    ) -> None:
        """The passage that says it comes before the one that hardly does; `limit` holds."""
        texts = ["annual leave is 25 days", "the annual report", "leave the building by the door", "parking rules"]
        retriever = await fill([passage(text, "everyone", number=n) for n, text in enumerate(texts)])
        found = await retriever.retrieve("how many days of annual leave", Caller(), 2)
        assert len(found) == 2
        assert found[0].text == "annual leave is 25 days"

    @pytest.mark.parametrize("caller", CALLERS)
    async def test_nothing_that_the_caller_may_not_read(
        self, fill: Callable[[Sequence[Passage]], Awaitable[Retriever]], caller: Caller
    ) -> None:
        """Every mix of readers: exactly the readable ones are found."""
        mixes = [("everyone",), ("group:staff",), ("group:finance",), ("user:ana",), ("group:staff", "user:ana")]
        passages = [passage(f"salary table number {n}", *mix, number=n) for n, mix in enumerate(mixes)]
        retriever = await fill(passages)
        found = await retriever.retrieve("salary table", caller, 50)
        assert {p.id for p in found} == {p.id for p in passages if p.readers & caller.principals}

    async def test_nothing_there_nothing_found(self, fill: Callable[[Sequence[Passage]], Awaitable[Retriever]]) -> None:
        """An empty index is no error."""
        assert await (await fill([])).retrieve("anything", Caller(), 5) == []
