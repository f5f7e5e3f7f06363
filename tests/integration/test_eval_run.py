"""`rungwise eval run` on a whole house: asked once whatever happens, graded, bounded, reported; killed, and gone on."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rungwise_pipelines.evaluation.job import Order, Prepared, carry_out, find_run, prepare
from rungwise_pipelines.evaluation.page import page_of
from rungwise_pipelines.evaluation.report import report_of
from rungwise_pipelines.evaluation.run import Outcome
from rungwise_pipelines.evaluation.words import lines_of, rows_of
from rungwise_server import bootstrap
from rungwise_server.bootstrap import House
from rungwise_server.config.file import load_settings
from rungwise_server.errors import BadRequest, Conflict, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalRun, Example, example_id
from rungwise_server.prompt import text_message
from rungwise_server.records import Grade, Inference, LogQuery
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.testing.upstream_wire import last_user
from rungwise_server.types import Caller

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
KILLS = 3
MANY = 60


def script(seen: Seen) -> Reply:
    """The good model knows each number's double; the poor one of the odd ones. One question is never taken."""
    number = int(last_user(seen.json).split()[-1])
    if number == 13:
        return Reply(status=400, error="never this one")
    good = seen.json["model"] == "good" or number % 2
    return Reply(text=f"It is {2 * number}." if good else "It is many.", hang=0.005)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(script) as upstream:
        yield upstream


@pytest.fixture
def config(tmp_path: Path, upstream: FakeUpstream) -> Path:
    file = tmp_path / "rungwise.yaml"
    shared = f"kind: openai_compatible, url: '{upstream.url}'"
    file.write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        f"  good: {{{shared}, model: good, price: {{input: 1, output: 1000}}}}\n"
        f"  poor: {{{shared}, model: poor, price: {{input: 1, output: 1}}}}\n"
        f"  frail: {{{shared}, model: frail, fallback: [poor]}}\n"
        f"  owned: {{{shared}, model: owned, hosting: {{hourly: 2}}}}\n"
        "workloads:\n  sums: {candidates: [good, poor]}\n  other: {candidates: [poor]}\n"
        "judges:\n  strict: {kind: contains}\n"
    )
    return file


@pytest.fixture
async def house(config: Path, tmp_path: Path) -> AsyncIterator[House]:
    opened = await bootstrap.open_house(load_settings(config, {"RUNGWISE_HOME": str(tmp_path / "home")}), {})
    try:
        yield opened
    finally:
        await opened.close()


def an_example(number: int, **changes: Any) -> Example:
    messages, caller = (text_message("user", f"What is twice {number}"),), Caller("ana")
    fields = {"origin": "file", "reference": str(2 * number), "answerable": True, "topic": f"by {number % 2}"}
    return Example(example_id(messages, caller, {}), messages, caller, **{**fields, **changes})


async def fill(house: House, *examples: Example, workload: str = "sums") -> None:
    sets = EvalSets(house.kept)
    await sets.add(await sets.draft(workload, workload), examples)


async def run(house: House, **order: Any) -> tuple[Prepared, EvalRun, Outcome]:
    prepared = await prepare(house, Order(**{"workload": "sums", **order}))
    ran, outcome = await carry_out(house, prepared)
    return prepared, ran, outcome


async def logged(house: House, kind: Any) -> list[Any]:
    await house.log.flush()
    return [row async for row in house.log.read(LogQuery(kind=kind, own=True))]


async def test_a_draft_that_was_trained_on_is_not_run(house: House, upstream: FakeUpstream) -> None:
    await fill(house, an_example(1), an_example(2))
    trained = house.settings.home / "datasets" / "d" / "train.jsonl"
    trained.parent.mkdir(parents=True)
    trained.write_text(json.dumps({"messages": [{"role": "user", "content": "what is twice 2?"}]}) + "\n")
    with pytest.raises(Conflict, match=rf"{an_example(2).id} .*train\.jsonl:1"):
        await run(house)
    assert not upstream.requests
    assert not (await EvalSets(house.kept).get("sums")).frozen_at


async def test_each_cell_is_asked_once(house: House, upstream: FakeUpstream) -> None:
    await fill(house, *(an_example(n) for n in range(12)))
    prepared, ran, outcome = await run(house)
    assert prepared.froze
    assert (prepared.set.id, len(ran.cells), outcome.asked, outcome.reused) == ("sums@v1", 24, 24, 0)
    assert len(upstream.requests) == 24
    rows: list[Inference] = await logged(house, "inference")
    assert {row.surface for row in rows} == {"eval"}
    assert {cell.inference_id for cell in ran.cells} == {row.id for row in rows}
    grades: list[Grade] = await logged(house, "grade")
    assert len(grades) == 24
    assert {(grade.judge, grade.example) for grade in grades} == {(ran.judges[0], c.example) for c in ran.cells}
    assert all(cell.metrics["strict"] == cell.metrics["right"] for cell in ran.cells)
    assert sum(cell.metrics["right"] for cell in ran.cells) == 12 + 6
    assert outcome.spent == pytest.approx(sum(row.cost or 0.0 for row in rows))

    again, same, nothing = await run(house)
    assert (again.froze, nothing.asked, nothing.reused) == (False, 0, 24)
    assert same.id == ran.id, "a run that says the same is the same"
    assert again.estimate.cost == 0
    assert len(upstream.requests) == 24
    assert len(await logged(house, "grade")) == 24

    await fill(house, an_example(20))
    wider, _, more = await run(house)
    assert (wider.set.id, more.asked, more.reused) == ("sums@v2", 2, 24)


async def test_what_fails_is_named_and_the_rest_goes_on(house: House, upstream: FakeUpstream) -> None:
    await fill(house, *(an_example(n) for n in (1, 2, 13)))
    _, ran, outcome = await run(house)
    assert {(f.question, f.who) for f in outcome.failures} == {
        ("What is twice 13", "good"),
        ("What is twice 13", "poor"),
    }
    assert all("never this one" in failure.why for failure in outcome.failures)
    assert sorted(cell.outcome for cell in ran.cells) == ["failed"] * 2 + ["ok"] * 4
    _, ran, outcome = await run(house)
    assert len(upstream.requests) == 6 + 2, "only what failed was asked again"
    assert all(cell.inference_id.endswith("-2") for cell in ran.cells if cell.outcome == "failed")
    found = report_of(ran, *(await find_run(EvalSets(house.kept), "sums"))[1:])
    assert {(one.candidate, one.question) for one in found.failed} == {(f.who, f.question) for f in outcome.failures}
    assert [one.answered for one in found.parts[0].standings] == [2, 2]


async def test_money_has_an_end(house: House, upstream: FakeUpstream) -> None:
    await fill(house, *(an_example(n) for n in range(12)))
    prepared = await prepare(house, Order(workload="sums", candidates=("good",)))
    assert prepared.estimate.cost > 0
    each = prepared.estimate.candidates[0].each
    assert [row.cost for row in prepared.estimate.candidates] == [pytest.approx(12 * each)]
    _, ran, outcome = await run(house, candidates=("good",), max_cost=1.001 * each, concurrency=1)
    assert outcome.end == "budget"
    assert len(ran.cells) == 1, "what the second costs is not known yet"
    assert outcome.left == 11
    assert outcome.spent <= 1.001 * each
    assert not outcome.failures
    real = outcome.spent
    _, ran, outcome = await run(house, candidates=("good",), max_cost=1.0 * each + 5 * real, concurrency=1)
    assert (outcome.end, len(ran.cells)) == ("done", 12), "after some, it is known"
    assert len(upstream.requests) == 12


async def test_own_hardware_needs_no_price(house: House) -> None:
    await fill(house, an_example(1))
    prepared = await prepare(house, Order(workload="sums", candidates=("owned", "frail")))
    assert prepared.estimate.unpriced == ("frail",)
    _, ran, outcome = await run(house, candidates=("owned",), max_cost=1.0)
    assert (outcome.end, [cell.outcome for cell in ran.cells]) == ("done", ["ok"])


async def test_the_route_is_a_candidate(house: House) -> None:
    await fill(house, an_example(2))
    _, ran, _ = await run(house, candidates=("route",))
    rows: list[Inference] = await logged(house, "inference")
    assert [row.candidate for row in rows] == ["good"]
    assert ran.cells[0].candidate == "route"


async def test_what_another_candidate_answered_is_no_answer(house: House, upstream: FakeUpstream) -> None:
    def down(seen: Seen) -> Reply:
        return Reply(status=401, error="no such key") if seen.json["model"] == "frail" else script(seen)

    upstream.script = down
    await fill(house, an_example(2))
    _, ran, outcome = await run(house, candidates=("frail",))
    assert "poor answered in its place" in outcome.failures[0].why
    assert [(cell.candidate, cell.outcome) for cell in ran.cells] == [("frail", "replaced")]
    upstream.script = script
    _, ran, _ = await run(house, candidates=("frail",))
    assert [(cell.outcome, cell.inference_id[-2:]) for cell in ran.cells] == [("ok", "-2")]


async def test_a_report_says_who_is_better(house: House) -> None:
    await fill(house, *(an_example(n) for n in range(1, 13)), *(an_example(n, origin="docs") for n in range(20, 23)))
    _, ran, _ = await run(house)
    _, of, examples = await find_run(EvalSets(house.kept), "sums")
    found = report_of(ran, of, examples, "right")
    real, synthetic = found.parts
    assert (real.origin, real.examples, synthetic.origin, synthetic.examples) == ("real", 12, "synthetic", 3)
    [pair] = real.pairs["right"]
    assert (pair.wins, pair.losses, pair.ties, pair.test) == (6, 0, 6, "mcnemar")
    assert pair.told_apart
    assert "good is better than poor by 50.0" in " ".join(lines_of(real))
    assert "cannot be told apart" in " ".join(lines_of(synthetic))
    assert "a model wrote them" in " ".join(lines_of(synthetic))
    assert [row[0] for row in rows_of(real)][:2] == ["right", "strict"]
    assert [(topic.topic, topic.examples) for topic in real.topics] == [("by 0", 6), ("by 1", 6)]
    assert {one.values["poor"] for one in real.worst} == {0.0}
    page = page_of(found)
    assert "<svg" in page
    assert real.worst[0].inferences["poor"] in page


@pytest.mark.parametrize(
    ("order", "error", "says"),
    [
        ({"workload": "gone"}, NotFound, "sums, other"),
        ({"candidates": ("gone",)}, NotFound, "good, poor, frail, owned, extractive, route"),
        ({"judges": ("gone",)}, NotFound, "strict"),
        ({"rubric": "gone"}, NotFound, "correct"),
        ({"set": "gone"}, NotFound, "sums@v1"),
        ({"set": "sums@v7"}, NotFound, "sums@v1"),
        ({"workload": "other", "set": "sums"}, BadRequest, "of the workload 'sums'"),
    ],
)
async def test_what_is_not_there(house: House, order: dict[str, Any], error: type[Exception], says: str) -> None:
    await fill(house, an_example(1))
    with pytest.raises(error, match=says):
        await prepare(house, Order(**{"workload": "sums", **order}))


async def command(config: Path, *args: str, killed: Callable[[], bool] | None = None) -> tuple[int, str, str]:
    """Exit code and what it wrote; killed once `killed` says so."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rungwise_pipelines", "eval", *args, "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "RUNGWISE_HOME": str(config.parent / "home")},
    )
    while killed is not None and process.returncode is None:
        if killed():
            process.send_signal(signal.SIGKILL)
            break
        await asyncio.sleep(0.002)
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.slow
async def test_killed_at_any_moment_it_goes_on(house: House, config: Path, upstream: FakeUpstream) -> None:
    upstream.script = lambda seen: msgspec.structs.replace(script(seen), hang=0.05)
    await fill(house, *(an_example(n) for n in range(20, 20 + MANY)))
    await house.close()
    cells = 2 * MANY
    for kill in range(1, KILLS + 1):
        at = len(upstream.requests) + cells // (KILLS + 2) - kill
        code, _, err = await command(
            config,
            *("run", "sums", "--yes", "--concurrency", "2"),
            killed=lambda at=at: len(upstream.requests) >= at,  # type: ignore[misc]
        )
        assert code == -signal.SIGKILL, err
    code, out, err = await command(config, "run", "sums", "--yes", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["asked"] + told["reused"] == cells
    assert told["reused"] > cells // 3, "what was answered before a kill was asked again"
    asked = len(upstream.requests)
    assert cells <= asked <= cells + 16 * KILLS, "more was asked again than was under way or 50 ms old"
    code, out, err = await command(config, "run", "sums", "--yes", "--json")
    assert (code, len(upstream.requests)) == (0, asked)
    again = json.loads(out)
    assert (again["asked"], again["run"]) == (0, told["run"])
    code, out, _ = await command(config, "compare", "sums", "poor", "--metric", "right", "--json")
    assert code == 0
    [pair] = json.loads(out)["parts"][0]["pairs"]["right"]
    assert (pair["wins"], pair["losses"], pair["ties"]) == (MANY // 2, 0, MANY // 2)


@pytest.mark.slow
async def test_two_at_once_pay_once(house: House, config: Path, upstream: FakeUpstream) -> None:
    upstream.script = lambda seen: msgspec.structs.replace(script(seen), hang=0.3)
    await fill(house, *(an_example(n) for n in range(4)))
    await house.close()
    order = ("run", "sums", "--candidates", "poor", "--json")
    first, second = await asyncio.gather(command(config, *order), command(config, *order))
    assert sorted((first[0], second[0])) == [0, 1]
    assert "are being run by process" in (first if first[0] else second)[2]
    assert len(upstream.requests) == 4


@pytest.mark.slow
async def test_what_is_dear_is_not_begun_unasked(house: House, config: Path, upstream: FakeUpstream) -> None:
    await fill(house, *(an_example(n) for n in range(20)))
    await house.close()
    code, _, err = await command(config, "run", "sums")
    assert code == 1
    assert "agree with --yes" in err
    assert "about USD" in err
    assert not upstream.requests
    code, _, err = await command(config, "run", "sums", "--candidates", "frail", "--max-cost", "1")
    assert code == 1
    assert "the price of frail is not known" in err
    code, _, err = await command(config, "run", "sums", "--candidates", "frail")
    assert code == 1
    assert "give frail a `price`" in err, "what is not priced cannot be bounded"
    assert "--max-cost" not in err
    code, _, err = await command(config, "run", "sums", "--candidates", "good", "--max-cost", "0.000001")
    assert code == 1
    assert "Missing: 20 answers" in err
    assert "grades" not in err.split("Missing")[1]
    assert "Give it a larger one" in err
