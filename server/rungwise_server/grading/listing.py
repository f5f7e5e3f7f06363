"""Grades read from the log for somebody, with the answers that they are about."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Grade, Inference, LogQuery
from rungwise_server.types import Caller

Listed = tuple[Grade, tuple[Inference, ...]]
"""A grade, and of the answers that it is about those that the log has."""


async def answers_to(log: InferenceLog, *grades: Grade) -> dict[str, Inference]:
    """The answers that grades are about, by id, whoever asked. Raises Unavailable."""
    ids = frozenset(id for grade in grades for id in (grade.inference_id, grade.over) if id)
    query = LogQuery(kind="inference", ids=ids, housekeeping=True, own=True)
    return {answer.id: answer async for answer in log.read(query) if isinstance(answer, Inference)}


async def listed(
    log: InferenceLog,
    query: LogQuery,
    caller: Caller,
    wanted: Callable[[Grade], bool],
    readable: Callable[[Inference], Awaitable[bool]],
    limit: int,
) -> list[Listed]:
    """At most `limit` grades that `query` finds and that are `wanted`, oldest first: those on answers that are
    `readable`, and the caller's own. Raises Unavailable.
    """
    found: list[Listed] = []
    while len(found) < limit:
        page: list[Grade] = []
        async for grade in log.read(query):
            query = replace(query, after=grade.position)
            if isinstance(grade, Grade) and wanted(grade):
                page.append(grade)
                if len(page) == limit:
                    break
        answers = await answers_to(log, *page)
        for grade in page:
            about = tuple(answers[id] for id in (grade.inference_id, grade.over) if id in answers)
            own = not grade.judge and grade.caller.owner == caller.owner
            if own or (about and all([await readable(answer) for answer in about])):
                found.append((grade, about))
        if len(page) < limit:
            break
    return found[:limit]
