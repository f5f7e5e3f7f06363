"""The retriever that a sweep's settings share keeps the promises of every retriever, and asks once."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from rungwise_pipelines.sweep.engines import Remembering
from rungwise_server.protocols import Retriever
from rungwise_server.testing.retriever import FixedRetriever, RetrieverContract, passage
from rungwise_server.types import Caller, Passage


class TestRemembering(RetrieverContract):
    @pytest.fixture
    def fill(self) -> Callable[[Sequence[Passage]], Awaitable[Retriever]]:
        async def fill(passages: Sequence[Passage]) -> Retriever:
            return Remembering(FixedRetriever(passages))

        return fill

    async def test_what_one_may_read_is_no_other_s(self) -> None:
        fixed = FixedRetriever(
            [passage("the plan", "group:finance"), passage("the plan of the day", "everyone", number=2)]
        )
        retriever = Remembering(fixed)
        ana = Caller("ana", frozenset({"finance"}))
        assert len(await retriever.retrieve("the plan", ana, 5)) == 2
        assert [p.text for p in await retriever.retrieve("the plan", Caller(), 5)] == ["the plan of the day"]
        assert len(await retriever.retrieve("the plan", ana, 5)) == 2
        assert len(fixed.searched) == 2
        assert len(await retriever.retrieve("the plan", ana, 1)) == 1
