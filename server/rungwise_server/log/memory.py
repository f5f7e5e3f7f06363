"""The log in memory: for tests, for trying things out, and for jobs that keep nothing."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from rungwise_server.types import Feedback, Inference, LogQuery, LogRecord


class MemoryLog:
    """An InferenceLog that is gone with its process. For one event loop."""

    def __init__(self) -> None:
        self._records: list[LogRecord] = []
        self._ids: set[tuple[type, str]] = set()
        self._workloads: dict[str, str] = {}

    async def append(self, record: LogRecord) -> None:
        """Take a record; see InferenceLog."""
        key = type(record), record.id
        if key in self._ids:
            return
        self._ids.add(key)
        self._records.append(replace(record, position=len(self._records) + 1))
        if isinstance(record, Inference):
            self._workloads[record.id] = record.workload

    async def read(self, query: LogQuery) -> AsyncIterator[LogRecord]:
        """Records by position; see InferenceLog."""
        left = query.limit
        for record in self._records[max(query.after, 0) :]:
            if self._matches(record, query):
                yield record
                left -= 1
                if left == 0:
                    return

    def _matches(self, record: LogRecord, query: LogQuery) -> bool:
        if isinstance(record, Feedback):
            kind, workload = "feedback", self._workloads.get(record.inference_id)
            about = query.inference_ids is None or record.inference_id in query.inference_ids
        else:
            kind, workload = "inference", record.workload
            about = query.inference_ids is None and (query.housekeeping or not record.housekeeping)
        return (
            about
            and query.kind in (None, kind)
            and (query.ids is None or record.id in query.ids)
            and query.workload in ("", workload)
            and query.user in ("", record.caller.user)
            and (not query.since or record.at >= query.since)
            and (not query.until or record.at < query.until)
        )
