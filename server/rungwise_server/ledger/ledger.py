"""The ledger: pages of workloads, and the rows of the log behind each line."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec.structs import replace

from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.ledger.book import Page, page_of
from rungwise_server.ledger.facts import Corpus, Facts
from rungwise_server.ledger.gather import Corpora, Gatherer, Language
from rungwise_server.ledger.sheet import Line, Rows
from rungwise_server.ledger.simulate import Volume
from rungwise_server.ledger.traffic import DAY
from rungwise_server.ledger.trusted import Standings, nobody
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Feedback, Grade, Inference, LogRecord

DAYS = 90
_SPAN = re.compile(r"(\d{1,5})([dwy])")
_LENGTH = {"d": 1, "w": 7, "y": 365}


async def _nothing() -> Mapping[str, Corpus]:
    return {}


class Ledger:
    """Makes pages from a log, eval sets and certificates. Methods raise Unavailable where the log cannot be read."""

    def __init__(
        self,
        log: InferenceLog,
        sets: EvalSets,
        facts: Facts,
        *,
        language: Language = lambda _: "",
        corpora: Corpora = _nothing,
        standings: Standings = nobody,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._facts = facts
        self._gather = Gatherer(log, sets, facts, language=language, corpora=corpora, standings=standings)
        self._clock = clock

    async def pages(self, workload: str = "", days: int = DAYS, volumes: Sequence[Volume] = ()) -> list[Page]:
        """The page of every workload that is configured or in the log, or of one; configured ones first.

        Args:
            workload: that one alone; empty means all.
            days: how far back, today included; days begin at midnight UTC.
            volumes: at which to replay the year.

        Raises:
            NotFound: there is no such workload, in the configuration or the log of these days.
        """
        until = self._clock()
        since = (until // DAY - days + 1) * DAY
        sums = await self._gather.totals(since, until)
        names = [*self._facts.workloads, *sorted(sums.keys() - self._facts.workloads.keys())]
        if workload and workload not in names:
            there = ", ".join(names) or "none"
            raise NotFound(f"There is no workload {workload!r}; there are: {there}.", param="workload")
        pages = []
        for name in (workload,) if workload else names:
            evidence = await self._gather.evidence(name, since, until, sums.get(name, ([], [], [])))
            pages.append(await asyncio.to_thread(page_of, evidence, self._facts, volumes))
        return pages

    async def rows(self, rows: Rows) -> AsyncIterator[LogRecord]:
        """The rows of the log behind a figure, oldest first."""
        ours = frozenset[str]()
        if rows.only_own or rows.only_housekeeping:
            plain = replace(rows.query, own=False) if rows.only_own else replace(rows.query, housekeeping=False)
            ours = frozenset([record.id async for record in self._log.read(plain)])
        latest: dict[tuple[str, str, str], Grade] = {}
        async for record in self._log.read(rows.query):
            if isinstance(record, Grade):
                latest[record.inference_id, record.rubric, record.grader] = record
            elif record.id not in ours and _wanted(record, rows):
                yield record
        for record in latest.values():
            if _wanted(record, rows):
                yield record


def _wanted(record: LogRecord, rows: Rows) -> bool:
    if isinstance(record, Inference):
        return rows.candidate in ("", record.candidate)
    if isinstance(record, Feedback):
        high_enough = rows.above is None or (record.value or 0.0) > rows.above
        return (not rows.kinds or record.kind in rows.kinds) and high_enough
    assert isinstance(record, Grade)
    if record.over or record.value is None or (rows.people and record.judge) or rows.rubric not in ("", record.rubric):
        return False
    return rows.above is None or record.value > rows.above


def lines_behind(pages: Sequence[Page], name: str) -> list[Line]:
    """The line of that name, then those that it is reckoned from, each once. Raises NotFound."""
    there: dict[str, Line] = {}
    for page in pages:
        there |= {line.name: line for line in page.lines}
    if name not in there:
        near = [known for known in there if known.endswith(f"/{name}")]
        if len(near) != 1:
            said = f"; several end so: {', '.join(near)}" if near else ""
            raise NotFound(f"There is no line {name!r}{said}. `rungwise ledger --json` names them all.", param="trace")
        name = near[0]
    found: dict[str, Line] = {}
    waiting = [name]
    while waiting:
        line = there[waiting.pop(0)]
        if line.name not in found:
            found[line.name] = line
            waiting += line.source.lines
    return list(found.values())


def parse_days(text: str) -> int:
    """`90d`, `12w` or `1y` in days, today included. Raises BadRequest."""
    found = _SPAN.fullmatch(text.strip())
    days = int(found[1]) * _LENGTH[found[2]] if found else 0
    if not 1 <= days <= 36_500:
        raise BadRequest(f"{text!r} is no span of days: write 90d, 12w or 1y.", param="since")
    return days
