"""The grid: from a file, from the command line, and by default; every fault by its line."""

from pathlib import Path

import pytest

from rungwise_pipelines.sweep.grid import Grid, default_grid, expand, grid_of, read_grid
from rungwise_server.config.file import parse_settings
from rungwise_server.config.settings import Settings
from rungwise_server.errors import BadRequest, ConfigError
from rungwise_server.prompt import Prompt

TEXT = """\
collections: {docs: , wiki: }
candidates:
  strong: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: s}
  weak: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: w}
  picker: {kind: extractive}
workloads:
  support: {collections: [docs], candidates: [strong, picker]}
  bare: {candidates: [strong, weak]}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "terse.md").write_text("Be brief.")
    return parse_settings(TEXT, {}, label="rungwise.yaml", base=tmp_path)


def test_the_default_asks_what_is_worth_knowing_first(settings: Settings) -> None:
    names = [s.name for s in expand(default_grid(settings, settings.workloads["support"]), settings, "support")]
    assert names == [
        "strong, 6 passages (today)",
        "strong, 3 passages",
        "strong, 12 passages",
        "strong, no retrieval",
        "picker, 3 passages",
        "picker, 6 passages",
        "picker, 12 passages",
    ]
    bare = expand(default_grid(settings, settings.workloads["bare"]), settings, "bare")
    assert [s.name for s in bare] == ["strong (today)", "weak"]


def test_today_is_always_there_and_nothing_is_twice(settings: Settings) -> None:
    found = expand(Grid(passages=(6, 3, 3), prompts=("grounded", "terse")), settings, "support")
    assert [s.name for s in found] == [
        "6 passages, grounded (today)",
        "6 passages, terse",
        "3 passages, grounded",
        "3 passages, terse",
    ]
    assert found[0].workload == settings.workloads["support"]
    assert found[0].prompt is None
    assert [s.name for s in expand(Grid(), settings, "support")] == ["as configured"]


def test_a_candidate_answers_alone_and_the_others_stay_able_to(settings: Settings) -> None:
    found = expand(Grid(candidates=("weak",)), settings, "support")[1].workload
    assert found.candidates == ("weak", "strong", "picker")
    assert not found.route.rules


def test_written_prompts_are_another_value_of_their_axis(settings: Settings) -> None:
    found = expand(Grid(candidates=("strong", "picker")), settings, "support", [Prompt("support-2", "Better.")])
    assert [s.name for s in found] == ["strong, grounded (today)", "strong, support-2", "picker"]


def test_a_file_of_all_axes(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(
        "candidates: [weak]\npassages: [3]\ncollections: [[docs, wiki], wiki, none]\nprompts: [terse]\n"
        "routes:\n  short:\n    rules: [{when: {max_chars: 50}, use: weak}]\n"
    )
    grid = read_grid(file, settings)
    assert grid.collections == (("docs", "wiki"), ("wiki",), ())
    found = expand(grid, settings, "support")
    assert [s.name for s in found][1:] == [
        f"{who}, {what}, terse"
        for who in ("weak", "short")
        for what in ("docs + wiki, 3 passages", "wiki, 3 passages", "no retrieval")
    ]
    assert found[-1].workload.candidates == ("strong", "picker", "weak")
    assert grid_of(["candidate=weak", "passages=3", "collections=docs+wiki,wiki,none", "prompt=terse"], settings) == (
        grid.model_copy(update={"routes": {}})
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("passages: [3, 0]\n", "grid.yaml:1: passages[1]: must be greater than or equal to 1"),
        ("pasages: [3]\n", "grid.yaml:1: pasages: no such key; did you mean 'passages'?"),
        ("# a\ncandidates:\n  - weak\n  - stron\n", "grid.yaml:4: candidates[1]: there is no candidate 'stron'; did"),
        ("collections:\n- dcs\n", "grid.yaml:2: collections[0]: there is no collection 'dcs'; did you mean 'docs'?"),
        ("prompts: [tersee]\n", "grid.yaml:1: prompts[0]: no prompt 'tersee'"),
        ("routes:\n  a:\n    rules:\n    - use: nobody\n", "grid.yaml:4: routes.a.rules[0].use: there is no candidate"),
        ("- 3\n", "grid.yaml:1: the file must be a mapping of axes"),
        ("a: [\n", "this is not YAML"),
        ("", "the file must be a mapping of axes"),
    ],
)
def test_faults_are_told_by_line(settings: Settings, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_grid(file, settings)
    assert told in caught.value.message


@pytest.mark.parametrize(("axis", "told"), [("passages", "NAME=VALUE"), ("passages=x", "integer"), ("a=b", "no such")])
def test_axes_are_checked(settings: Settings, axis: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        grid_of([axis], settings)


def test_a_missing_file_is_told(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_grid(tmp_path / "none.yaml", settings)
