"""The newest answers are found at the end of a log, however much stands between them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.database import open_database
from rungwise_server.grading.newest import newest
from rungwise_server.log.memory import MemoryLog
from rungwise_server.log.sql import SqlLog
from rungwise_server.testing.log import a_grade, an_inference

KINDS = st.sampled_from(["ok", "ok", "failed", "eval", "other", "title", "grade"])


def record(number: int, kind: str) -> object:
    return {
        "ok": an_inference(f"i{number}"),
        "failed": an_inference(f"i{number}", outcome="failed"),
        "eval": an_inference(f"i{number}", surface="eval"),
        "other": an_inference(f"i{number}", workload="intent"),
        "title": an_inference(f"i{number}", housekeeping=True),
        "grade": a_grade(f"g{number}"),
    }[kind]


@settings(max_examples=60, deadline=None)
@given(st.lists(KINDS, max_size=120), st.integers(1, 12), st.integers(0, 60))
async def test_they_are_the_last_good_ones_of_the_traffic(kinds: list[str], count: int, others: int) -> None:
    log = MemoryLog()
    for number, kind in enumerate([*kinds, *["other"] * others]):
        await log.append(record(number, kind))  # type: ignore[arg-type]
    wanted = [f"i{number}" for number, kind in enumerate(kinds) if kind == "ok"][-count:]
    assert [answer.id for answer in await newest(log, "support", count)] == wanted


@pytest.mark.parametrize("size", [0, 1, 700])
async def test_in_a_database(tmp_path: Path, size: int) -> None:
    log = SqlLog(open_database(f"sqlite:///{tmp_path}/rungwise.db"), tmp_path / "spool")
    try:
        for number in range(size):
            await log.append(an_inference(f"i{number}"))
        assert [a.id for a in await newest(log, "support", 5)] == [f"i{n}" for n in range(max(0, size - 5), size)]
    finally:
        await log.close()
