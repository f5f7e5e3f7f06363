"""`rungwise judge certify`, run as a person and as a program runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rungwise_pipelines.cli import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["judge", "certify", *map(str, arguments)])


@pytest.fixture
def grades(tmp_path: Path) -> Path:
    """Two systems: of 60 answers each, people graded 20; the judge is right but for every tenth."""
    file = tmp_path / "grades.jsonl"
    lines = [
        {"id": i, "system": system, "human": good if i < 20 else None, "judge": good if i % 10 else 1 - good}
        for system, bad in (("one", 3), ("two", 2))
        for i in range(60)
        for good in (int(i % bad != 0),)
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


def test_for_programs(grades: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "judge.md"
    prompt.write_text("Is it right?", encoding="utf-8")
    done = run("--grades", grades, "--json", "--judge", prompt)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["quality"]["low"] < told["quality"]["estimate"] < told["quality"]["high"]
    assert 0 < told["kappa"] < 1
    assert told["true_positive_rate"] < 1
    assert told["judge_hash"].startswith("sha256:")
    assert [one["system"] for one in told["systems"]] == ["one", "two"]
    assert [rank["system"] for rank in told["ranking"]] == ["one", "two"]
    alone = json.loads(run("--grades", grades, "--json", "--system", "two").stdout)
    assert alone["quality"] == told["systems"][1]["quality"]
    assert len(alone["grade_next"]["ids"]) == 20
    assert alone["ranking"] == []


def test_for_people(grades: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run("--grades", grades, "--html", page)
    assert done.exit_code == 0, done.output
    assert "one: correct this judge" in done.stdout
    assert "Systems by quality" in done.stdout
    assert page.read_text(encoding="utf-8").count("<svg") == 3


def test_a_higher_level_is_a_wider_interval(grades: Path) -> None:
    wide, narrow = (
        json.loads(run("--grades", grades, "--json", "--level", level).stdout)["quality"] for level in (0.99, 0.8)
    )
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_what_is_wrong_is_told(grades: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"id": 1, "human": 1}\n', encoding="utf-8")
    for arguments, said in (
        (("--grades", tmp_path / "none"), "cannot be read"),
        (("--grades", bare), "nothing to certify"),
        (("--grades", grades, "--system", "three"), "one, two"),
        (("--grades", grades, "--html", tmp_path / "no" / "page.html"), "cannot be written"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1
        assert said in done.stderr
