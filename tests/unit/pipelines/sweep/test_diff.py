"""A chosen setting as a change of the configuration file."""

import subprocess
from pathlib import Path

import pytest

from rungwise_pipelines.sweep.diff import change_of
from rungwise_pipelines.sweep.grid import Grid, Setting, expand
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import Settings
from rungwise_server.prompt import Prompt

CANDIDATES = """\
candidates:
  strong: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: s, price: {input: 2, output: 10}}
  weak: # cheap
    kind: openai_compatible
    url: http://127.0.0.1:1/v1
    model: w
"""
FILES = {
    "block": CANDIDATES
    + """\
# Who asks.
workloads:
  support:
    # Ours.
    collections: [docs]
    candidates:
      - strong
      - weak
      # - extractive

    # How much.
    passages: 6 # six
  other:
    candidates: [weak]
""",
    "flow": CANDIDATES + "workloads: {support: {collections: [docs], candidates: [strong, weak]}}\n",
    "flow-in-block": CANDIDATES
    + "workloads:\n  support: {collections: [docs], candidates: [strong, weak], passages: 6}",
    "rules": CANDIDATES
    + """\
workloads:
  support:
    collections: [docs]
    candidates: [strong, weak]
    route:
      rules:
        - when: {max_chars: 100}
          use: weak
    # the end
log: {url: "sqlite:///x.db"}
""",
}


def _settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "rungwise.yaml"
    file.write_text(text)
    return load_settings(file, {})


def _named(settings: Settings, grid: Grid, wanted: str) -> Setting:
    settings_by_name = {setting.name: setting for setting in expand(grid, settings, "support")}
    return settings_by_name[wanted]


def _patched(tmp_path: Path, change: str) -> Settings:
    """What the file says once `patch` has applied the change: a diff is a diff only if that tool takes it."""
    done = subprocess.run(["patch", "-p1"], cwd=tmp_path, input=change, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + change
    return load_settings(tmp_path / "rungwise.yaml", {})


@pytest.mark.parametrize("form", FILES)
def test_a_diff_makes_the_setting_the_configuration(tmp_path: Path, form: str) -> None:
    settings = _settings(tmp_path, FILES[form])
    grid = Grid(candidates=("strong", "weak"), passages=(3, 6))
    setting = _named(settings, grid, "weak, 3 passages")
    change = change_of(setting, settings, "support", tmp_path / "rungwise.yaml", {})
    lost = {line[1:] for line in change.splitlines() if line.startswith("-") and line[1:].lstrip().startswith("#")}
    assert not lost, "comments stay"
    after = _patched(tmp_path, change)
    assert after.workloads["support"] == setting.workload
    assert after.candidates == settings.candidates


def test_what_is_configured_is_no_change(tmp_path: Path) -> None:
    settings = _settings(tmp_path, FILES["block"])
    today, *_ = expand(Grid(passages=(3, 6)), settings, "support")
    assert change_of(today, settings, "support", tmp_path / "rungwise.yaml", {}) == ""


@pytest.mark.parametrize("text", ["", "workloads:\n  # support:\n  #   candidates: [a]\n", "server: {port: 0}"])
def test_an_implied_workload_is_written_down(tmp_path: Path, text: str) -> None:
    settings = _settings(tmp_path, text)
    setting = expand(Grid(passages=(3,)), settings, "default")[1]
    change = change_of(setting, settings, "default", tmp_path / "rungwise.yaml", {})
    assert _patched(tmp_path, change).workloads["default"] == setting.workload


def test_without_a_file_there_is_yaml_to_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {})
    setting = expand(Grid(passages=(3,)), settings, "default")[1]
    change = change_of(setting, settings, "default", None, {})
    assert change.startswith("# To be added to rungwise.yaml:\n")
    (tmp_path / "rungwise.yaml").write_text(change)
    assert load_settings(None, {}).workloads["default"] == setting.workload


def test_a_file_that_cannot_be_changed_in_place_is_told_by_hand(tmp_path: Path) -> None:
    text = CANDIDATES + "x: &x\n"  # refused by the reader: an unknown key, so no text that holds it can be confirmed
    settings = _settings(tmp_path, FILES["block"])
    (tmp_path / "rungwise.yaml").write_text(text)
    setting = _named(settings, Grid(passages=(3, 6)), "3 passages")
    change = change_of(setting, settings, "support", tmp_path / "rungwise.yaml", {})
    assert change.startswith("# To be written into rungwise.yaml by hand:\n")
    assert "passages: 3" in change


def test_a_written_prompt_comes_as_a_file(tmp_path: Path) -> None:
    settings = _settings(tmp_path, FILES["block"].replace("# cheap\n", "# cheap\n    prompt: grounded\n"))
    written = Prompt("support-2", "Answer.\n\nBriefly.")
    setting = expand(Grid(), settings, "support", [written])[-1]
    assert setting.prompt == written
    after = _patched(tmp_path, change_of(setting, settings, "support", tmp_path / "rungwise.yaml", {}))
    assert after.workloads["support"].prompt == "support-2"
    assert after.candidates["weak"].prompt == "support-2"
    assert (tmp_path / "prompts" / "support-2.md").read_text().strip() == written.text
