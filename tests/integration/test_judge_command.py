"""`rungwise judge` over a real house, with a scripted model as the judge."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_pipelines.judges.room import Room, open_room
from rungwise_server.config.file import load_settings
from rungwise_server.evals import Example, example_id
from rungwise_server.judging.judges.shown import read_shots
from rungwise_server.prompt import text_message
from rungwise_server.records import Choice, Grade, Inference, LogQuery
from rungwise_server.testing.judges import judging
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.types import Caller, Passage, new_id

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
ANA, BO = Caller(user="ana"), Caller(user="bo")
COUNT, GRADED = 24, 16


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(judging(lambda answer: "right" in answer)) as upstream:
        yield upstream


@pytest.fixture
async def home(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 answers, every third wrong; people graded 16, and the judge, which goes by `right`, errs in one of them."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "lenient.md").write_text("Be lenient.\n\nGrade: pass or fail")
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        f"  big: {{kind: openai_compatible, url: '{upstream.url}', model: m, price: {{input: 1000, output: 1000}}}}\n"
        f"  small: {{kind: openai_compatible, url: '{upstream.url}', model: s, asks: []}}\n"
        "workloads:\n  support: {candidates: [big]}\n"
        "judges:\n  strict: {kind: prompt, candidate: big}\n  ticket: {kind: regex, pattern: right}\n"
    )
    async with open_room(load_settings(None, {})) as room:
        await fill(room)
    return tmp_path


async def fill(room: Room) -> None:
    examples = []
    for n in range(COUNT):
        good, id = n % 3 != 0, f"chatcmpl-{n:02}"
        text = f"This is right: {n}." if good != (n == 9) else f"It is {n}."
        passage = Passage("p", "d", "c", "x", frozenset({"everyone" if n % 4 else "group:finance"}))
        messages = (text_message("user", f"What is number {n}?"),)
        await room.log.append(
            an_inference(
                id, messages=messages, caller=ANA, candidate="big", choices=(Choice(text),), passages=(passage,)
            )
        )
        examples.append(Example(example_id(messages, ANA, {}), messages, ANA, "log", reference=str(n), source=id))
        if n < GRADED:
            grade = Grade(new_id("gr"), time.time(), id, "correct", BO, float(good), reason=f"because {n}")
            await room.log.append(grade)
    await room.sets.freeze(await add(room, examples))


async def add(room: Room, examples: list[Example]) -> Any:
    drafted = await room.sets.draft("support", "support")
    await room.sets.add(drafted, examples)
    return drafted


async def judge(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["judge", *arguments])


async def told(*arguments: str) -> Any:
    result = await judge(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def test_from_nothing_to_a_certificate(home: Path, upstream: FakeUpstream) -> None:
    (row,) = [one for one in await told("list") if one["judge"] == "strict"]
    assert (row["kind"], row["rubric"], row["certificate"]) == ("prompt", "correct", "none")
    certificate = await told("certify", "strict", "--eval", "support")
    assert len(upstream.requests) == COUNT
    assert certificate["counts"] == {"items": COUNT, "human": GRADED, "judge": COUNT, "both": GRADED}
    assert certificate["agreement"] == 15 / 16
    assert certificate["verdict"] in ("trust", "correct")
    assert certificate["judge_hash"] == row["hash"]
    assert set(certificate["grade_next"]["ids"]) == {f"chatcmpl-{n}" for n in range(GRADED, COUNT)}
    assert certificate["biases"]["own"] is None or certificate["biases"]["own"]["count"] == GRADED
    (row,) = [one for one in await told("list") if one["judge"] == "strict"]
    assert (row["certificate"], row["usable"], row["eval_set"]) == ("valid", True, "support@v1")
    # What it said is in the log, and not asked for again.
    again = await told("certify", "strict", "--eval", "support@v1")
    assert again["agreement"] == certificate["agreement"]
    assert len(upstream.requests) == COUNT
    (home / "prompts" / "judge-correct.md").write_text("Be kind.")
    (row,) = [one for one in await told("list") if one["judge"] == "strict"]
    assert (row["certificate"], row["usable"]) == ("expired", False)
    assert "have changed" in row["why"]


async def test_its_calls_and_grades_are_in_the_log(home: Path) -> None:
    await told("grade", "strict", "--eval", "support")
    async with open_room(load_settings(None, {})) as room:
        records = [record async for record in room.log.read(LogQuery(own=True))]
    calls = [r for r in records if isinstance(r, Inference) and r.surface == "judge"]
    assert len(calls) == COUNT
    assert all(call.cost and call.caller == ANA for call in calls)
    grades = [r for r in records if isinstance(r, Grade) and r.judge]
    assert {grade.inference_id for grade in grades} == {f"chatcmpl-{n:02}" for n in range(COUNT)}
    assert all(grade.judge.startswith("strict@") and grade.example for grade in grades)


async def test_for_people(home: Path) -> None:
    result = await judge("certify", "strict", "--eval", "support", "--html", "page.html")
    assert result.exit_code == 0, result.output
    assert "rungwise eval grade support --set support@v1 --rubric correct" in result.stdout
    assert "Kept as cert-" in result.stdout
    assert "What is number 16?" in result.stdout
    assert "To ask: 24 calls" in result.stderr
    assert "<svg" in (home / "page.html").read_text()
    result = await judge("grade", "strict", "--eval", "support")
    assert "24 of 24 answers graded, 0 of them now" in result.stdout
    lines = (await judge("list")).stdout.splitlines()
    assert len([line for line in lines if line.startswith("strict ")]) == 1
    assert [line.split()[-2:] for line in lines if line.startswith("f1 ")] == [["never", "certified"]]
    wrong = await judge("list", "--workload", "nobody")
    assert wrong.exit_code == 1
    assert "There are: support" in wrong.stderr


async def test_a_program_needs_no_model(home: Path, upstream: FakeUpstream) -> None:
    certificate = await told("certify", "ticket", "--eval", "support")
    assert certificate["agreement"] == 15 / 16
    assert (await told("certify", "contains", "--eval", "support"))["verdict"] == "do not use"
    assert not upstream.requests


async def test_the_ledger_believes_a_judge_by_its_certificate(home: Path) -> None:
    """Grades of people and of a judge: without a certificate the judge does not count, with one it is named."""
    await told("grade", "ticket", "--eval", "support")
    before = await quality_in_the_ledger()
    assert (before["how"], before["people"], before["certificate"]) == ("people", GRADED, "")
    assert "never certified on support" in before["note"]
    certificate = await told("certify", "ticket", "--eval", "support")
    after = await quality_in_the_ledger()
    assert (after["how"], after["people"], after["certificate"]) == ("corrected", GRADED, certificate["certificate"])
    assert after["judge"].startswith("ticket@")
    assert after["verdict"] == certificate["verdict"]


async def quality_in_the_ledger() -> Any:
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "support", "--json"])
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)[0]["quality"]


async def test_what_to_grade_next(home: Path) -> None:
    queue = await told("queue", "ticket", "--eval", "support", "--limit", "3")
    assert len(queue) == 3
    await told("grade", "ticket", "--eval", "support")
    queue = await told("queue", "ticket", "--eval", "support")
    assert {one["inference_id"] for one in queue} == {f"chatcmpl-{n}" for n in range(GRADED, COUNT)}
    assert "narrows the interval" in queue[0]["why"]


async def test_money_is_not_spent_beyond_a_limit(home: Path, upstream: FakeUpstream) -> None:
    result = await judge("certify", "strict", "--eval", "support", "--max-cost", "0.01")
    assert result.exit_code == 1
    assert "Not begun" in result.stderr
    assert not upstream.requests


async def test_a_model_that_is_down(home: Path, upstream: FakeUpstream) -> None:
    upstream.script = Reply(status=503, error="down for repair")
    result = await judge("grade", "strict", "--eval", "support")
    assert result.exit_code == 1
    assert "down for repair" in result.stderr
    assert len(upstream.requests) < COUNT


async def test_a_model_that_fails_now_and_then(home: Path, upstream: FakeUpstream) -> None:
    sound = judging(lambda answer: "right" in answer)
    upstream.script = lambda seen: Reply(status=500, error="oops") if b"number 7?" in seen.body else sound(seen)
    result = await judge("grade", "strict", "--eval", "support", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    upstream.script = sound
    assert (await told("grade", "strict", "--eval", "support"))["asked"] == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("certify", "nobody", "--eval", "support"), "There is no judge 'nobody'. There are: strict"),
        (("certify", "strict", "--eval", "none"), "There is no eval set 'none'"),
        (("certify", "strict", "--eval", "support", "--system", "x"), "these have: big"),
        (("align", "ticket", "--eval", "support"), "says pass or fail by itself"),
        (("align", "groundedness", "--eval", "support"), "People graded 0 answers"),
    ],
)
async def test_mistakes_are_told(home: Path, arguments: tuple[str, ...], why: str) -> None:
    result = await judge(*arguments)
    assert result.exit_code == 1
    assert why in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("certify",),
        ("certify", "strict"),
        ("certify", "--eval", "support"),
        ("certify", "strict", "--eval", "support", "--grades", "x.jsonl"),
        ("align", "strict", "--eval", "support", "--examples", "many"),
        ("align", "strict", "--eval", "support", "--candidates", "nobody"),
    ],
)
async def test_wrong_usage(home: Path, arguments: tuple[str, ...]) -> None:
    assert (await judge(*arguments)).exit_code == 2


async def test_align_finds_the_better_wording(home: Path, upstream: FakeUpstream) -> None:
    sound = judging(lambda answer: "right" in answer)

    def script(seen: Seen) -> Reply:
        if b"Be lenient" in seen.body:
            return sound(seen)
        return Reply(text='{"reason": "all is well", "grade": "pass"}')

    upstream.script = script
    found = await told("align", "strict", "--eval", "support", "--rubrics", "judge-correct,lenient", "-o", "out")
    assert found["graded"] == GRADED
    assert found["variants"][found["best"]]["prompt"] == "lenient"
    assert found["looks"] >= found["nested"]["estimate"] - 1e-9
    assert found["nested"]["low"] < found["nested"]["estimate"] < found["nested"]["high"]
    assert found["against_in_use"]["low"] > 0
    assert len(upstream.requests) == 2 * GRADED
    assert yaml.safe_load((home / "out" / "rungwise.yaml").read_text()) == {
        "judges": {"strict": {"kind": "prompt", "candidate": "big", "prompt": "lenient"}}
    }
    result = await judge("align", "strict", "--eval", "support", "--rubrics", "lenient")
    assert len(upstream.requests) == 2 * GRADED
    assert "+    prompt: lenient" in result.stdout
    assert "points better than it is" in result.stdout
    assert "It is better than what is in use" in result.stdout


async def test_align_shows_no_answer_its_own_grade(home: Path, upstream: FakeUpstream) -> None:
    """With examples the model is right: it copies the grade of an example that has the same words."""
    shown: list[list[str]] = []
    sound = judging(lambda answer: "right" in answer)

    def script(seen: Seen) -> Reply:
        messages = seen.json["messages"]
        shown.append([m["content"] for m in messages if m["role"] == "user"])
        return sound(seen) if len(messages) > 2 else Reply(text='{"reason": "", "grade": "pass"}')

    upstream.script = script
    found = await told("align", "strict", "--eval", "support", "--examples", "0,2,4", "-o", "out")
    assert found["variants"][found["best"]]["examples"] == 2
    for turns in shown:
        *examples, asked = turns
        question = asked.partition("user: ")[2].partition("\n")[0]
        assert all(f"user: {question}\n" not in example for example in examples)
    shots = read_shots(home / "out" / "prompts" / "strict.examples.jsonl", 2)
    # Passes and fails, and none with passages of finance's.
    assert sorted(shot.value for shot in shots) == [0, 1]
    assert all(shot.open for shot in shots)
    # In use, those examples say nothing of how well it judges.
    (home / "prompts" / "strict.examples.jsonl").write_bytes((home / "out/prompts/strict.examples.jsonl").read_bytes())
    config = home / "rungwise.yaml"
    config.write_text(config.read_text().replace("candidate: big}", "candidate: big, examples: 2}"))
    certificate = await told("certify", "strict", "--eval", "support")
    assert certificate["counts"]["items"] == COUNT - 2
    assert any("shown their questions as examples: 2 answers" in note for note in certificate["notes"])


async def test_align_chooses_a_programs_threshold(home: Path, upstream: FakeUpstream) -> None:
    async with open_room(load_settings(None, {})) as room:
        for n in range(COUNT):
            await room.log.append(Grade(new_id("gr"), time.time(), f"chatcmpl-{n:02}", "correct", BO, float(n % 2)))
    found = await told("align", "f1", "--eval", "support")
    assert len(found["variants"]) > 1
    assert found["variants"][0]["threshold"] == 0.5
    assert found["nested"]["low"] <= found["nested"]["estimate"] <= found["nested"]["high"]
    assert not upstream.requests
