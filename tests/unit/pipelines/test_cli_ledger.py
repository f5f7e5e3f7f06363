"""`rungwise ledger`, run as a person and as a program runs it, over a log on disk."""

import asyncio
import json
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app
from rungwise_server import bootstrap
from rungwise_server.config.file import load_settings
from rungwise_server.database import source_document, source_state
from rungwise_server.testing.log import a_feedback, an_inference

CONFIG = """
candidates:
  frontier: {kind: openai_compatible, url: "http://127.0.0.1:9/v1", model: m, price: {input: 10, output: 50}}
  own: {kind: openai_compatible, url: "http://127.0.0.1:9/v1", model: m, hosting: {hourly: 2}, parameters: 14}
  tuned: {kind: openai_compatible, url: "http://127.0.0.1:9/v1", model: "ft:gpt:me", trained: ""}
collections: {handbook: {}}
workloads:
  support: {description: Questions, collections: [handbook], candidates: [frontier, own]}
  intent: {candidates: [tuned]}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A house with ten days of log, a source of two documents, and a configuration that is found by itself."""
    (tmp_path / "rungwise.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNGWISE_HOME", str(tmp_path / "home"))

    async def fill() -> None:
        database = await bootstrap.open_house_database(load_settings(None, {"RUNGWISE_HOME": str(tmp_path / "home")}))
        log = bootstrap.open_log(load_settings(None, {"RUNGWISE_HOME": str(tmp_path / "home")}), database)
        for day in range(10, 0, -1):
            for number in range(5):
                await log.append(an_inference(f"i-{day}-{number}", at=time.time() - day * 86_400, cost=0.02))
        await log.append(a_feedback("fc", "i-3-0", kind="correction", value=None, text="So."))
        await log.close()
        with database.write() as connection:
            state = {"source": "s", "collection": "handbook", "collection_id": "x", "cursor": None, "updated_at": 1.0}
            connection.execute(sa.insert(source_state).values(state))
            for id, passages in (("a", 3), ("b", 4), ("failed", 0)):
                row = {"source": "s", "document_id": id, "version": "", "content_hash": "", "readers": "[]"}
                more = {"passages": passages, "failed_reason": "" if passages else "no", "indexed_at": 1.0}
                connection.execute(sa.insert(source_document).values(row | more))
        database.close()

    asyncio.run(fill())
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ledger", *arguments])


def test_for_people(home: Path) -> None:
    done = run("--html", "page.html", "--simulate", "10x", "--sums")
    assert done.exit_code == 0, done.output
    assert "support: Questions" in done.stdout
    assert "Rung: RAG" in done.stdout
    assert "Rung: Finetuned" in done.stdout, "a name that begins with ft: is a finetuned model's"
    assert "finetuned/payback" in done.stdout
    assert (home / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_it_fits_a_terminal(home: Path) -> None:
    done = run("support", "--simulate", "10x,1000000/day")
    assert done.exit_code == 0, done.output
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 90
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("  - ")) <= 80


def test_for_programs(home: Path) -> None:
    done = run("support", "--json", "--since", "30d")
    assert done.exit_code == 0, done.output
    (page,) = json.loads(done.stdout)
    assert page["traffic"]["requests"] == 50
    assert page["traffic"]["money"] == pytest.approx(1.0)
    finetuned, continued, _ = page["rungs"]
    assert finetuned["needs"][0]["at_hand"] == 1
    assert (continued["needs"][0]["unit"], continued["needs"][0]["at_hand"]) == ("tokens", 7 * 150)
    size = next(line for line in finetuned["lines"] if line["name"] == "support/finetuned/size")
    assert (size["value"], size["source"]["told"]) == (14, "candidates.own.parameters")


def test_a_trace_ends_in_rows_of_the_log(home: Path) -> None:
    done = run("--trace", "support/finetuned/at-hand")
    assert done.exit_code == 0, done.output
    assert "rungwise feedback export --workload support --kind correction" in done.stdout
    assert "fc" in done.stdout
    told = json.loads(run("support", "--trace", "asked", "--json").stdout)
    assert [line["name"] for line in told["lines"]] == ["support/asked"]
    (rows,) = told["rows"]
    assert len(rows["ids"]) == 50


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("nobody",), "There is no workload 'nobody'"),
        (("--trace", "nothing"), "There is no line 'nothing'"),
        (("--since", "ever"), "write 90d"),
        (("--simulate", "much"), "write 2x"),
        (("--html", "no/such/folder.html"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said(home: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr
