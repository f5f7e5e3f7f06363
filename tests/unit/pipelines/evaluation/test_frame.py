"""What is taken from the log, with which chance."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rungwise_pipelines.evaluation.frame import Asked, read_frame
from rungwise_server.log.memory import MemoryLog
from rungwise_server.testing.log import ANA, a_feedback, an_inference
from rungwise_server.types import Caller, Citation, Message, Passage, Route

BO = Caller(user="bo")


def asking(id: str, text: str = "", **changes: Any) -> Any:
    """A logged question."""
    text = text or f"question {id}"
    raw = Raw(msgspec.json.format(msgspec.json.encode({"role": "user", "content": text})))
    return an_inference(id, **{"messages": (Message("user", text, raw),), "query": text, **changes})


async def framed(log: MemoryLog, **changes: Any) -> dict[str, Asked]:
    frame = await read_frame(log, "support", 0.5, **changes)
    return {one.id: one for one in frame.asked}


async def test_the_workloads_own_questions_alone() -> None:
    log = MemoryLog()
    await log.append(asking("a"))
    await log.append(asking("b", housekeeping=True))
    await log.append(asking("c", surface="eval"))
    await log.append(asking("d", surface="judge"))
    await log.append(asking("e", workload="other"))
    await log.append(asking("f", " ", query="", messages=()))
    await log.append(asking("g", at=5.0))
    assert list(await framed(log)) == ["a", "g"]
    assert list(await framed(log, since=6.0)) == ["a"]
    assert list(await framed(MemoryLog())) == []


async def test_what_is_known_of_a_question() -> None:
    log = MemoryLog()
    passages = tuple(
        Passage(f"p{n}", f"d{n}", "c", "text", frozenset({"everyone"}), similarity=n / 10) for n in range(4)
    )
    await log.append(
        asking(
            "a",
            passages=passages,
            citations=(Citation("p1", "", 0, 1), Citation("gone", "", 0, 1)),
            route=Route("frontier", "", "rules", {}, {"frontier": 0.4, "local": 0.9}),
            messages=(*asking("x").messages, Message("assistant", "?", Raw(b"{}")), *asking("y").messages),
            params={"temperature": Raw(b" 0.5 "), "stream": Raw(b"true"), "user": Raw(b'"u"')},
        )
    )
    await log.append(asking("b", outcome="failed", passages=(), route=None))
    await log.append(a_feedback("f1", "a", value=1.0))
    await log.append(a_feedback("f2", "a", kind="passage_vote", value=1.0, passage_id="p2"))
    await log.append(a_feedback("f3", "a", kind="passage_vote", value=-1.0, passage_id="p3"))
    await log.append(a_feedback("f4", "a", kind="passage_vote", value=1.0, passage_id="p3", caller=BO))
    await log.append(a_feedback("f5", "a", kind="correction", text="Old."))
    await log.append(a_feedback("f6", "a", kind="correction", text=" New. "))
    found = await framed(log)
    one = found["a"]
    assert (one.similarity, one.estimate, one.turns, one.chance) == (0.3, 0.4, 2, 1.0)
    assert (one.correction, one.gold) == ("New.", ("d2", "d1"))
    assert one.bad == ("somebody corrected the answer", "a passage was voted down")
    assert {name: bytes(value) for name, value in one.params.items()} == {"temperature": b"0.5"}
    assert (one.caller.user, one.caller.groups, one.caller.key_id) == ("ana", ANA.groups, "")
    assert bytes(one.messages[0].raw) == b'{"role":"user","content":"question x"}'
    two = found["b"]
    assert (two.similarity, two.estimate, two.bad, two.gold) == (0.0, None, ("it failed",), ())
    assert (await framed(log, retrieves=False))["b"].similarity is None


@pytest.mark.parametrize(
    ("said", "bad"),
    [
        ([a_feedback("1", "a", value=-1.0)], True),
        ([a_feedback("1", "a", value=-1.0), a_feedback("2", "a", value=1.0)], False),  # thought better of it
        ([a_feedback("1", "a", value=1.0), a_feedback("2", "a", value=-1.0, caller=BO)], True),
        ([a_feedback("1", "b", kind="preference", over="a")], True),
        ([a_feedback("1", "a", kind="preference", over="b")], False),
        ([a_feedback("1", "a", kind="comment", text="hm")], True),
    ],
)
async def test_bad_feedback(said: list[Any], bad: bool) -> None:
    log = MemoryLog()
    for record in (asking("a"), asking("b"), *said):
        await log.append(record)
    assert bool((await framed(log))["a"].bad) is bad


async def test_of_many_every_nth_and_all_that_were_spoken_of() -> None:
    log = MemoryLog()
    for number in range(1_000):
        await log.append(asking(f"i{number:03}"))
    for number in (3, 500, 999):
        await log.append(a_feedback(f"f{number}", f"i{number:03}"))
    taken: list[int] = []
    for draw in range(10):
        frame = await read_frame(log, "support", draw / 10, most=100)
        spoken = [one for one in frame.asked if one.chance == 1.0]
        assert [one.id for one in spoken] == ["i003", "i500", "i999"]
        others = [int(one.id[1:]) for one in frame.asked if one.chance != 1.0]
        assert {one.chance for one in frame.asked if one.chance != 1.0} == {0.1}
        assert 97 <= len(others) <= 100
        assert frame.logged == 1_000
        taken += others
    assert sorted(taken) == [number for number in range(1_000) if number not in (3, 500, 999)]
