"""A log that shows what passes into it."""

from collections.abc import AsyncIterator, Sequence

from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Inference, LogQuery, LogRecord, Total


class Noted:
    """A log that shows a run what passes into it: its own answers, and what everything cost."""

    def __init__(self, log: InferenceLog) -> None:
        self._log = log
        self.answers: dict[str, Inference] = {}
        self.spent = 0.0

    async def append(self, record: LogRecord) -> None:
        """See InferenceLog."""
        if isinstance(record, Inference):
            self.spent += record.cost or 0.0
            if record.surface == "eval":
                self.answers[record.id] = record
        await self._log.append(record)

    def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """See InferenceLog."""
        return self._log.read(query)

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """See InferenceLog."""
        return await self._log.totals(query)
