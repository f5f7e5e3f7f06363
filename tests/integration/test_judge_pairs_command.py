"""`rungwise judge` with judges of pairs over a real house: scripted models whose bias is known."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_pipelines.judges.room import Room, open_room
from rungwise_server.config.file import load_settings
from rungwise_server.evals import Cell, EvalRun, Example, example_id
from rungwise_server.grading.desk import Desk
from rungwise_server.grading.summary import summary_of
from rungwise_server.prompt import text_message
from rungwise_server.records import Choice, Grade, Inference, LogQuery
from rungwise_server.testing.judges import answers_seen, preferring
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.types import Caller, new_id

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
ANA, BO = Caller(user="ana"), Caller(user="bo")
PAIRS, GRADED = 60, 40
SEDUCED = 0.3
"""The share of pairs of which the biased judge takes what it is shown first: over both orders that is .15 more than
half of the wins.
"""


def better(first: str, second: str) -> str:
    """What people say: the right one is better."""
    return "tie" if ("right" in first) == ("right" in second) else "first" if "right" in first else "second"


def seduced(first: str, second: str) -> str:
    """What people say, but of some pairs, drawn by chance, whatever is shown first."""
    number = first.rsplit(maxsplit=1)[-1]
    return "first" if random.Random(f"seed {number}").random() < SEDUCED else better(first, second)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(preferring(better)) as upstream:
        yield upstream


@pytest.fixture
async def home(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    """60 questions with answers of `big`, which judges, and `small`: big is right in two of three, small else. People
    graded 40 pairs, half of them in either order. An older candidate's answers were asked for in an earlier run.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        f"  big: {{kind: openai_compatible, url: '{upstream.url}', model: m, price: {{input: 1000, output: 1000}}}}\n"
        f"  small: {{kind: openai_compatible, url: '{upstream.url}', model: s}}\n"
        "workloads:\n  support: {candidates: [big, small]}\n"
        "judges:\n  duel: {kind: pair, candidate: big}\n  ticket: {kind: regex, pattern: right}\n"
    )
    async with open_room(load_settings(None, {})) as room:
        await fill(room)
    return tmp_path


async def fill(room: Room) -> None:
    examples, cells = [], []
    for n in range(PAIRS):
        messages = (text_message("user", f"What is number {n}?"),)
        example = Example(example_id(messages, ANA, {}), messages, ANA, "hand")
        examples.append(example)
        for candidate in ("big", "old", "small"):
            id = f"chatcmpl-{candidate}-{n:02}"
            good = (n % 3 != 0) == (candidate == "big")
            text = f"This is {'right' if good else 'wrong'}, says {candidate}: {n}"
            record = an_inference(id, messages=messages, caller=ANA, candidate=candidate, choices=(Choice(text),))
            await room.log.append(record)
            cells.append(Cell(example.id, candidate, id, "ok"))
    drafted = await room.sets.draft("support", "support")
    await room.sets.add(drafted, examples)
    of = await room.sets.freeze(drafted)
    for at, candidates in ((1.0, ("big", "old")), (2.0, ("big", "small"))):
        mine = tuple(cell for cell in cells if cell.candidate in candidates)
        await room.sets.add_run(EvalRun(new_id("run"), of.id, of.hash, "support", at, candidates, mine))
    for n in range(GRADED):
        pair = [f"chatcmpl-big-{n:02}", f"chatcmpl-small-{n:02}"]
        big = float(n % 3 != 0)
        first, over = pair if n % 2 else pair[::-1]
        value = big if n % 2 else 1 - big
        grade = Grade(new_id("gr"), time.time(), first, "correct", BO, value, scale="pair", over=over)
        await room.log.append(grade)


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments])


async def told(*arguments: str) -> Any:
    result = await run("judge", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_a_known_position_bias_stands_on_the_certificate(home: Path, upstream: FakeUpstream) -> None:
    upstream.script = preferring(seduced)
    certificate = await told("certify", "duel", "--eval", "support")
    position = certificate["biases"]["position"]
    assert 0 < position["low"] < SEDUCED / 2 < position["high"]
    assert position["count"] == PAIRS
    consistency = certificate["biases"]["consistency"]
    assert consistency["low"] < 1 - SEDUCED < consistency["high"]
    assert any("favours the answer shown first" in reason for reason in certificate["reasons"])
    # What the place does is not put down to length, or to who wrote the answer shown there.
    for name in ("length", "own"):
        assert certificate["biases"][name]["low"] <= 0 <= certificate["biases"][name]["high"]
    assert certificate["judge_bias"]["low"] <= 0 <= certificate["judge_bias"]["high"]
    assert len(upstream.requests) == 2 * PAIRS


async def test_a_judge_that_goes_by_the_answers_has_none(home: Path, upstream: FakeUpstream) -> None:
    certificate = await told("certify", "duel", "--eval", "support")
    assert certificate["counts"] == {"items": PAIRS, "human": GRADED, "judge": PAIRS, "both": GRADED}
    assert certificate["agreement"] == 1
    assert certificate["verdict"] in ("trust", "correct")
    assert certificate["biases"]["consistency"]["estimate"] == 1
    for name in ("position", "length", "own"):
        interval = certificate["biases"][name]
        assert interval["estimate"] == 0
        assert interval["low"] <= 0 <= interval["high"]
    assert not any("favours" in reason or "answers more than" in reason for reason in certificate["reasons"])
    assert certificate["quality"]["low"] < 2 / 3 < certificate["quality"]["high"]
    assert certificate["system"] == "big vs small"


async def test_a_judge_that_likes_long_answers_or_its_own(home: Path, upstream: FakeUpstream) -> None:
    """`small`, the longer name, makes the longer answer; the second judge goes by who wrote it."""
    upstream.script = preferring(lambda first, second: "first" if len(first) > len(second) else "second")
    biases = (await told("certify", "duel", "--eval", "support"))["biases"]
    assert biases["length"]["low"] > 0
    assert biases["own"]["high"] < 0
    config = home / "rungwise.yaml"
    config.write_text(config.read_text().replace("duel: {kind: pair,", "duel: {kind: pair, prompt: judge-complete,"))
    upstream.script = preferring(lambda first, _: "first" if "big" in first else "second")
    biases = (await told("certify", "duel", "--eval", "support"))["biases"]
    assert biases["own"]["low"] > 0
    assert biases["length"]["high"] < 0


async def test_its_grades_are_in_the_log_in_both_orders_and_given_once(home: Path, upstream: FakeUpstream) -> None:
    upstream.script = preferring(seduced)
    said = await told("grade", "duel", "--eval", "support")
    assert (said["asked"], said["failed"]) == (PAIRS, 0)
    (row,) = said["pairs"]
    assert (row["first"], row["second"], row["pairs"]) == ("big", "small", PAIRS)
    assert row["wins"] + row["ties"] + row["losses"] == PAIRS
    async with open_room(load_settings(None, {})) as room:
        records = [record async for record in room.log.read(LogQuery(own=True))]
    grades = [r for r in records if isinstance(r, Grade) and r.judge]
    assert len({grade.id for grade in grades}) == len(grades) == 2 * PAIRS
    assert {grade.scale for grade in grades} == {"pair"}
    assert all(grade.judge.startswith("duel@") and grade.example and grade.caller == ANA for grade in grades)
    by = {(grade.inference_id, grade.over): grade.value for grade in grades}
    for one in said["grades"]:
        first, second = one["inference_id"], one["over"]
        assert by[first, second] == one["value"]
        assert by[second, first] == 1 - one["swapped"]
    calls = [r for r in records if isinstance(r, Inference) and r.surface == "judge"]
    assert len(calls) == 2 * PAIRS
    again = await told("grade", "duel", "--eval", "support")
    assert (again["asked"], again["pairs"]) == (0, said["pairs"])
    assert len(upstream.requests) == 2 * PAIRS


async def test_an_order_that_failed_is_asked_again(home: Path, upstream: FakeUpstream) -> None:
    sound = preferring(better)

    def script(seen: Seen) -> Reply:
        first, _ = answers_seen(seen)
        return Reply(status=500, error="oops") if first == "This is right, says small: 9" else sound(seen)

    upstream.script = script
    result = await run("judge", "grade", "duel", "--eval", "support", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    assert "oops" in result.stderr
    upstream.script = sound
    before = len(upstream.requests)
    assert (await told("grade", "duel", "--eval", "support"))["asked"] == 1
    assert len(upstream.requests) == before + 2


async def test_for_people(home: Path, upstream: FakeUpstream) -> None:
    result = await run("judge", "certify", "duel", "--eval", "support")
    assert result.exit_code == 0, result.output
    assert f"To ask: {2 * PAIRS} calls" in result.stderr
    for line in ("same in both orders", "for the answer shown first", "for its own answers", "Kept as cert-"):
        assert line in result.stdout
    result = await run("judge", "grade", "duel", "--eval", "support")
    assert f"{PAIRS} of {PAIRS} pairs compared, 0 of them now" in result.stdout
    (row,) = [one for one in await told("list") if one["judge"] == "duel"]
    assert (row["kind"], row["rubric"], row["certificate"], row["usable"]) == ("pair", "correct", "valid", True)
    # The built-in one is the same judge by another name.
    (row,) = [one for one in await told("list") if one["judge"] == "prefer"]
    assert (row["kind"], row["certificate"]) == ("pair", "valid")


async def test_what_to_grade_next(home: Path) -> None:
    await told("grade", "duel", "--eval", "support")
    queue = await told("queue", "duel", "--eval", "support", "--limit", "50")
    pairs = {(f"chatcmpl-big-{n}", f"chatcmpl-small-{n}") for n in range(GRADED, PAIRS)}
    assert {(one["inference_id"], one["over"]) for one in queue} == pairs
    shown = await run("judge", "queue", "duel", "--eval", "support")
    assert "rungwise eval grade support --set support@v1 --rubric correct --scale pair" in shown.stdout


async def test_people_are_shown_the_mean_of_both_orders(home: Path, upstream: FakeUpstream) -> None:
    upstream.script = preferring(lambda *_: "first")
    await told("grade", "duel", "--eval", "support")
    async with open_room(load_settings(None, {})) as room:
        desk = Desk(room.log, room.sets)
        pile = await desk.pile("support", await room.sets.get("support"), "pair")
        standings = summary_of(pile.things, await desk.grades(pile, "correct"), "correct", "pair").standings
    (judge,) = [one.judge for one in standings if one.candidates == ("big", "small")]
    assert judge is not None
    assert judge.alone is not None
    assert (judge.graded, judge.alone.estimate) == (PAIRS, 0.5)


async def test_money_is_not_spent_beyond_a_limit(home: Path, upstream: FakeUpstream) -> None:
    for verb in ("certify", "grade"):
        result = await run("judge", verb, "duel", "--eval", "support", "--max-cost", "0.01")
        assert result.exit_code == 1
        assert "Not begun" in result.stderr
    assert not upstream.requests


@pytest.mark.parametrize(
    "arguments",
    [
        ("judge", "align", "duel", "--eval", "support"),
        ("eval", "run", "support", "--judges", "duel"),
        ("sweep", "support", "--metric", "duel"),
    ],
)
async def test_where_answers_are_graded_by_themselves_it_is_refused(home: Path, arguments: tuple[str, ...]) -> None:
    result = await run(*arguments)
    assert result.exit_code == 1, result.output
    assert "The judge 'duel' is of `kind: pair`" in result.stderr
    assert "rungwise judge grade duel --eval SET" in result.stderr


async def test_two_candidates_are_needed(home: Path) -> None:
    async with open_room(load_settings(None, {})) as room:
        drafted = await room.sets.draft("other", "support")
        messages = (text_message("user", "What is new?"),)
        await room.sets.add(drafted, [Example(example_id(messages, ANA, {}), messages, ANA, "hand")])
        await room.sets.freeze(drafted)
    result = await run("judge", "grade", "duel", "--eval", "other")
    assert result.exit_code == 1
    assert "rungwise eval run support --set other@v1 --candidates A,B" in result.stderr
