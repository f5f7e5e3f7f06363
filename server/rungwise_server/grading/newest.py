"""The newest answers of a log that is read from its beginning."""

from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Inference, LogQuery


async def newest(log: InferenceLog, workload: str, count: int) -> list[Inference]:
    """The last `count` good answers of a workload's traffic, oldest first. Raises Unavailable.

    Where the log ends is found by asking whether anything stands behind a position, doubling and halving; what is read
    whole are a few times `count` records from there back, more only where they hold too few good answers.
    """

    async def behind(position: int) -> int:
        """The next answer's position; 0 where there is none."""
        query = LogQuery(kind="inference", after=position, workload=workload, limit=1)
        return next(iter([record.position async for record in log.read(query)]), 0)

    low, step = 0, 4 * count
    while at := await behind(low + step):
        low, step = at, 2 * step
    high = low + step  # nothing stands behind it
    while high - low > count:
        middle = (low + high) // 2
        if at := await behind(middle):
            low = at
        else:
            high = middle
    reach = 4 * count
    while True:
        start = max(0, high - reach)
        query = LogQuery(kind="inference", after=start, workload=workload)
        found = [a async for a in log.read(query) if isinstance(a, Inference) and a.outcome == "ok"]
        if len(found) >= count or not start:
            return found[-count:]
        reach *= 4
