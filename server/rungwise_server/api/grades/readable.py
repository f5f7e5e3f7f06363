"""Whether a grader may still read what an answer was given.

The log says who could read a passage when it was retrieved; since then its document may have been kept from some.
"""

import asyncio
from collections.abc import Iterable

from rungwise_server.grading.things import may_read
from rungwise_server.protocols import PassageIndex
from rungwise_server.records import Inference
from rungwise_server.types import Caller, Passage


class Readable:
    """What one caller may read now. Each passage and each source is looked up once."""

    def __init__(self, index: PassageIndex, caller: Caller) -> None:
        self._index = index
        self._caller = caller
        self._hidden: dict[str, bool] = {}
        self._documents: dict[tuple[str, str], tuple[set[str], set[str]]] = {}

    async def answer(self, answer: Inference) -> bool:
        """Whether all that an answer shows was readable when it was given, and is. A passage whose document has gone
        is as readable as it was; of one that was rewritten its document decides.

        Raises:
            Unavailable: the index cannot be reached.
        """
        if not may_read(self._caller, answer):
            return False
        new = [passage for passage in answer.passages if passage.id not in self._hidden]
        found = await asyncio.gather(*(self._index.get(passage.id, self._caller.principals) for passage in new))
        for passage, now in zip(new, found, strict=True):
            self._hidden[passage.id] = now is None and await self._kept_from(passage)
        return not self.hides(answer.passages)

    def hides(self, passages: Iterable[Passage]) -> bool:
        """Whether one of the passages is known to be hidden from the caller by now."""
        return any(self._hidden.get(passage.id, False) for passage in passages)

    async def _kept_from(self, passage: Passage) -> bool:
        """Whether the document of a passage that the caller cannot get is there, for others."""
        place = passage.collection, passage.source
        if place not in self._documents:
            self._documents[place] = (
                await self._index.documents(*place),
                await self._index.documents(*place, self._caller.principals),
            )
        there, mine = self._documents[place]
        return passage.document_id in there - mine
