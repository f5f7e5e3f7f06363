"""The log in memory: for tests, for trying things out, and for jobs that keep nothing."""

import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from rungwise_server.records import OWN_SURFACES, Feedback, Inference, LogQuery, LogRecord, Total


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

    async def totals(self, query: LogQuery) -> Sequence[Total]:
        """Sums by day; see InferenceLog."""
        groups: dict[tuple[str, str, str, bool, bool], list[Inference]] = {}
        if query.kind not in (None, "inference"):
            return []
        async for record in self.read(replace(query, kind="inference", limit=0)):
            assert isinstance(record, Inference)
            day = datetime.fromtimestamp(record.at, UTC).date().isoformat()
            own = record.surface in OWN_SURFACES
            key = (day, record.workload, record.candidate, own, record.housekeeping)
            groups.setdefault(key, []).append(record)
        return [_total(*key, group) for key, group in sorted(groups.items())]

    def _matches(self, record: LogRecord, query: LogQuery) -> bool:
        if isinstance(record, Inference):
            kind, workload = "inference", record.workload
            about = (
                query.inference_ids is None
                and (query.housekeeping or not record.housekeeping)
                and (query.own or record.surface not in OWN_SURFACES)
            )
        else:
            kind = "feedback" if isinstance(record, Feedback) else "grade"
            workload = self._workloads.get(record.inference_id, "")
            about = query.inference_ids is None or record.inference_id in query.inference_ids
        return (
            about
            and query.kind in (None, kind)
            and (query.ids is None or record.id in query.ids)
            and query.workload in ("", workload)
            and query.user in ("", record.caller.user)
            and (not query.since or record.at >= query.since)
            and (not query.until or record.at < query.until)
        )


def _total(
    day: str, workload: str, candidate: str, own: bool, housekeeping: bool, answers: Sequence[Inference]
) -> Total:
    used = [answer.usage for answer in answers if answer.usage is not None]
    paid = [answer.cost for answer in answers if answer.cost is not None]
    return Total(
        day,
        workload,
        candidate,
        requests=len(answers),
        ok=sum(answer.outcome == "ok" for answer in answers),
        priced=len(paid),
        input_tokens=sum(usage.input_tokens for usage in used),
        output_tokens=sum(usage.output_tokens for usage in used),
        cost=math.fsum(paid),
        total_ms=math.fsum(answer.total_ms for answer in answers),
        own=own,
        housekeeping=housekeeping,
    )
