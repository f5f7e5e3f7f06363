"""`rungwise sweep` with no language model at all: sentences picked from a document, measured by programs."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app

DOCUMENT = """\
---
title: Handbook
readers: [everyone]
---
# Leave

Everybody has thirty days of paid holiday in a year.

# Parking

Overnight parking costs four pounds.

# Post

Parcels leave at noon.
"""
EXAMPLES = [
    {"question": "How many days of paid holiday?", "reference": "thirty days", "gold": ["handbook.md"]},
    {"question": "What does overnight parking cost?", "reference": "four pounds", "gold": ["handbook.md"]},
    {"question": "When do parcels leave?", "reference": "noon", "gold": ["handbook.md"]},
]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a document, ingested, and an eval set that is still a draft; and the working directory."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "docs").mkdir()
    (folder / "docs" / "handbook.md").write_text(DOCUMENT)
    (folder / "examples.jsonl").write_text("".join(json.dumps(example) + "\n" for example in EXAMPLES))
    (folder / "rungwise.yaml").write_text(
        "sources:\n  docs: {path: docs, collection: company, readers: [everyone]}\n"
        "workloads:\n  help:\n    collections: [company]\n    candidates: [extractive] # for now\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
            patch.delenv(name, raising=False)
        for arguments in (["ingest"], ["eval", "add", "help", "examples.jsonl"]):
            result = run(*arguments)
            assert result.exit_code == 0, result.output
        yield folder


def test_it_says_what_it_found(house: Path) -> None:
    result = run("sweep", "help", "--axis", "passages=1,6", "--html", "sweep.html", "--diff", "sweep.diff")
    assert result.exit_code == 0, result.output
    assert "help@v1 is frozen now" in result.stderr
    assert "help@v1: 2 settings, 3 examples." in result.stderr
    assert result.stdout.splitlines()[0].split()[:3] == ["setting", "quality", "interval"]
    assert "6 passages (today)" in result.stdout
    assert "6 answers in" in result.stdout
    page = (house / "sweep.html").read_text()
    assert "<svg" in page
    assert "http" not in page, "it loads nothing"


def test_programs_get_all_of_it(house: Path) -> None:
    result = run("sweep", "help", "--axis", "passages=1,6", "--metric", "recall", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["workload"], told["set_id"], told["metric"], told["cost"]) == ("help", "help@v1", "recall", 0.0)
    assert [setting["name"] for setting in told["settings"]] == ["6 passages (today)", "1 passage"]
    assert all(setting["quality"]["estimate"] == 1.0 for setting in told["settings"])
    assert told["best"] == told["cheapest"] == "6 passages (today)"
    assert told["change"] == ""


def test_the_change_is_one_that_patch_takes(house: Path) -> None:
    text = (house / "rungwise.yaml").read_text()
    (house / "other.yaml").write_text(text.replace("collections: [company]", "collections: [empty]"))
    result = run("--config", "other.yaml", "sweep", "help", "--axis", "collections=company", "--diff", "other.diff")
    assert result.exit_code == 0, result.output
    assert "company: " not in result.stderr
    assert "-    collections: [empty]\n+    collections: [company]" in result.stdout
    subprocess.run(["patch", "-p1", "-i", "other.diff"], check=True, capture_output=True)
    assert (house / "other.yaml").read_text() == text, "comments and all"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "There is no workload 'nothing'. There are: help."),
        (["help", "--set", "none"], "There is no eval set 'none'"),
        (["help", "--metric", "beauty"], "There is no metric or judge 'beauty'. Metrics: right, "),
        (["help", "--axis", "passages=0"], "--axis: passages[0]: must be greater than"),
        (["help", "--optimise-prompt", "2"], "No candidate of the grid writes"),
        (["help", "--optimise-prompt", "2", "--optimise-with", "extractive"], "is no candidate that writes"),
    ],
)
def test_what_cannot_be_is_told(house: Path, arguments: list[str], told: str) -> None:
    result = run("sweep", *arguments)
    assert result.exit_code == 1
    assert told in result.stderr


def test_a_grid_that_is_wrong_is_told_by_line(house: Path) -> None:
    (house / "grid.yaml").write_text("passages: [3]\ncandidates:\n- extractiv\n")
    result = run("sweep", "help", "--grid", "grid.yaml")
    assert result.exit_code == 1
    assert "grid.yaml:3: candidates[0]: there is no candidate 'extractiv'; did you mean 'extractive'?" in result.stderr
