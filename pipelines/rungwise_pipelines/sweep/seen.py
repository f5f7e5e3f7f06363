"""What passed into the log while a sweep runs: answers and reasons at hand before the database has them."""

from collections.abc import AsyncIterator, Sequence

from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Grade, Inference, LogQuery, LogRecord, Total


class Seen:
    """An InferenceLog that remembers evaluation's answers, and the reasons of grades."""

    def __init__(self, log: InferenceLog) -> None:
        self._log = log
        self.answers: dict[str, Inference] = {}
        self.reasons: dict[str, str] = {}

    async def append(self, record: LogRecord) -> None:
        """See InferenceLog."""
        if isinstance(record, Inference) and record.surface == "eval":
            self.answers[record.id] = record
        elif isinstance(record, Grade):
            self.reasons[record.id] = record.reason
        await self._log.append(record)

    def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """See InferenceLog."""
        return self._log.read(query)

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """See InferenceLog."""
        return await self._log.totals(query)
