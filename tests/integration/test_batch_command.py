"""`rungwise batch` over a real house and a scripted upstream."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import Usage

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"
USAGE = Usage(input_tokens=10, output_tokens=5)


def costly(seen: Seen) -> Reply:
    return Reply(text=echo(seen).text, usage=USAGE)


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(costly) as upstream:
        yield upstream


@pytest.fixture
def folder(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        f"  priced: {{kind: openai_compatible, url: '{upstream.url}', model: m, price: {{input: 1000, output: 0}}}}\n"
        f"  unpriced: {{kind: openai_compatible, url: '{upstream.url}', model: echo}}\n"
        "sources:\n  docs: {path: docs, collection: company, readers: [everyone]}\n"
        "workloads:\n"
        "  default: {candidates: [priced, unpriced]}\n"
        "  papers: {candidates: [priced], collections: [company]}\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "plan.md").write_text("---\nreaders: [finance]\n---\n# Plan\n\nWe buy the wheel factory.\n")
    (tmp_path / "in.jsonl").write_text("".join(map(line, range(40))))
    return tmp_path


def line(number: int, model: str = "default", text: str = "") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text or f"say {number}"}]}
    return (
        json.dumps({"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"
    )


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def batch(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary, advice."""
    result = await run("batch", "in.jsonl", "-o", "out.jsonl", "--json", *arguments)
    return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr


def rows(name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(row) for row in Path(name).read_text().splitlines()] if Path(name).exists() else []


async def test_a_file_is_answered_and_summed_up(folder: Path) -> None:
    code, told, _ = await batch()
    assert code == 0
    assert (told["end"], told["answered"], told["failed"], told["left"]) == ("done", 40, 0, 0)
    assert (told["input_tokens"], told["output_tokens"]) == (400, 200)
    assert told["cost"] == pytest.approx(0.4)
    assert len({row["custom_id"] for row in rows()}) == len(rows()) == 40
    assert rows()[0]["rungwise"] == {"candidate": "priced", "input_tokens": 10, "output_tokens": 5, "cost": 0.01}


async def test_for_people(folder: Path) -> None:
    result = await run("batch", "in.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 0
    assert "40 of 40 lines done" in result.stdout
    assert "400 tokens in, 200 out, cost 0.4000" in result.stdout


async def test_the_first_lines_only_and_then_the_rest(folder: Path, upstream: FakeUpstream) -> None:
    code, told, _ = await batch("--limit", "10")
    assert (code, told["answered"], told["left"]) == (0, 10, 0)
    assert {row["custom_id"] for row in rows()} == {f"id-{n}" for n in range(10)}
    code, told, _ = await batch()
    assert (code, told["answered"], told["before"]) == (0, 40, 10)
    assert len(upstream.requests) == 40


async def test_a_budget_holds_over_runs_and_says_how_to_go_on(folder: Path) -> None:
    code, told, advice = await batch("--max-cost", "0.2")
    assert (code, told["end"]) == (1, "budget")
    assert 0.1 <= told["cost"] < 0.205
    assert f"{told['left']} lines are not done" in advice
    assert "higher one to go on" in advice
    done = told["answered"]
    code, told, _ = await batch("--max-cost", "0.2")
    assert told["answered"] <= 20
    assert told["cost"] < 0.205
    code, told, _ = await batch("--max-tokens", "100000")
    assert (code, told["answered"]) == (0, 40)
    assert len(rows()) == 40 > done


async def test_a_budget_of_money_wants_a_price(folder: Path) -> None:
    (folder / "in.jsonl").write_text("".join(line(n, "unpriced") for n in range(60)))
    code, told, advice = await batch("--max-cost", "1")
    assert (code, told["end"]) == (1, "unpriced")
    assert "`price` in rungwise.yaml" in advice


async def test_failures_are_told_and_tried_again_when_asked(folder: Path, upstream: FakeUpstream) -> None:
    upstream.script = lambda seen: Reply(status=400, error="no") if "say 3" in echo(seen).text else costly(seen)
    code, told, advice = await batch()
    assert (code, told["failed"], told["answered"]) == (1, 11, 29)
    assert "out.errors.jsonl says why" in advice
    assert len(rows("out.errors.jsonl")) == 11
    upstream.script = costly
    asked = len(upstream.requests)
    code, told, _ = await batch()
    assert (code, told["failed"]) == (1, 11)
    assert len(upstream.requests) == asked
    code, told, _ = await batch("--retry-failed")
    assert (code, told["failed"], told["answered"]) == (0, 0, 40)
    assert rows("out.errors.jsonl") == []
    assert len({row["custom_id"] for row in rows()}) == len(rows()) == 40


async def test_a_file_with_faults_is_refused_whole(folder: Path, upstream: FakeUpstream) -> None:
    (folder / "in.jsonl").write_text(line(1) + "{\n" + line(1))
    result = await run("batch", "in.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "in.jsonl:2: This line is not parseable" in result.stderr
    assert "in.jsonl:3: The custom_id 'id-1' is a duplicate of that of line 1" in result.stderr
    assert "Nothing was asked" in result.stderr
    assert not upstream.requests
    assert not (folder / "out.jsonl").exists()


async def test_another_input_is_refused_with_what_to_do(folder: Path) -> None:
    assert (await batch())[0] == 0
    (folder / "in.jsonl").write_text(line(1))
    code, _, said = await batch()
    assert code == 1
    assert "belongs to another input" in said
    assert "move out.jsonl" in said
    assert len(rows()) == 40


async def test_another_caller_is_refused(folder: Path) -> None:
    assert (await batch())[0] == 0
    code, _, said = await batch("--group", "finance")
    assert code == 1
    assert "begun as everyone" in said


@pytest.mark.parametrize(("group", "cited"), [("finance", True), ("sales", False)])
async def test_permissions_hold(folder: Path, upstream: FakeUpstream, group: str, cited: bool) -> None:
    assert (await run("ingest")).exit_code == 0
    (folder / "in.jsonl").write_text(line(1, "papers", "Which factory do we buy?"))
    assert (await batch("--group", group))[0] == 0
    assert ("wheel factory" in upstream.last.body.decode()) is cited


async def test_three_files_are_three(folder: Path) -> None:
    result = await run("batch", "in.jsonl", "-o", "in.jsonl")
    assert result.exit_code == 2
    assert len(rows("in.jsonl")) == 40
