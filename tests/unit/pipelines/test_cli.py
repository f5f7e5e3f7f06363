import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rungwise_pipelines.cli import app
from rungwise_server.config.file import OUTSIDE, load_settings, section_at
from rungwise_server.config.settings import Section, Settings
from rungwise_server.config.yaml_tree import KeyPath, read_yaml

HEAVY = (
    *("fastapi", "starlette", "uvicorn", "pydantic", "sqlalchemy", "numpy", "onnxruntime", "qdrant_edge"),
    *("qdrant_client", "litellm", "llama_index", "pypdfium2", "docx", "lxml", "tokenizers", "watchfiles"),
)
VERBS = ("init", "serve", "doctor", "ingest", "search", "ask", "feedback", "keys")


@pytest.fixture
def rungwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner in an empty folder of its own, with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUNGWISE_HOME", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_help_is_quick_for_it_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from rungwise_pipelines.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for verb in VERBS:
        assert verb in done.stdout


def test_version(rungwise: CliRunner) -> None:
    assert rungwise.invoke(app, ["--version"]).stdout.startswith("rungwise ")


@pytest.mark.parametrize("arguments", [["nope"], ["serve", "--prt", "1"], ["search"], ["keys", "create"]])
def test_wrong_usage_ends_with_2(rungwise: CliRunner, arguments: list[str]) -> None:
    assert rungwise.invoke(app, arguments).exit_code == 2


def test_an_error_of_the_house_is_its_message_and_1(rungwise: CliRunner) -> None:
    Path("rungwise.yaml").write_text("servr: {}\n")
    done = rungwise.invoke(app, ["keys", "list"])
    assert done.exit_code == 1
    assert done.stderr == "rungwise.yaml:1: servr: no such key; did you mean 'server'?\n"
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["--config", "x.yaml", "keys", "list"], ["keys", "list", "--config", "x.yaml"]])
def test_the_configuration_stands_before_or_after_the_verb(rungwise: CliRunner, arguments: list[str]) -> None:
    assert "x.yaml is not there" in rungwise.invoke(app, arguments).stderr


def test_init_writes_a_file_that_loads(rungwise: CliRunner) -> None:
    done = rungwise.invoke(app, ["init"])
    assert done.exit_code == 0
    assert load_settings(None, {}).server.port == 8080


def test_init_leaves_what_is_there(rungwise: CliRunner) -> None:
    Path("rungwise.yaml").write_text("# mine\n")
    done = rungwise.invoke(app, ["init"])
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert Path("rungwise.yaml").read_text() == "# mine\n"
    assert rungwise.invoke(app, ["init", "--force"]).exit_code == 0
    assert Path("rungwise.yaml").read_text() != "# mine\n"


def test_init_where_nothing_can_be_written(rungwise: CliRunner) -> None:
    done = rungwise.invoke(app, ["init", "no/such/folder/rungwise.yaml"])
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


def test_the_templates_examples_are_valid(rungwise: CliRunner) -> None:
    rungwise.invoke(app, ["init"])
    text = re.sub(r"(?m)^(\s*)# (\s*(- )?\w+:( |$))", r"\1\2", Path("rungwise.yaml").read_text())
    tree = read_yaml(text)
    assert tree.faults == []
    settings = Settings.model_validate(tree.data)
    assert settings.workloads["support"].route.rules[0].use == "extractive"
    assert settings.candidates["frontier"].price is not None


def test_the_template_shows_every_key(rungwise: CliRunner) -> None:
    rungwise.invoke(app, ["init"])
    text = Path("rungwise.yaml").read_text()

    def keys(section: type[Section], path: KeyPath) -> set[str]:
        found = {name for name in section.model_fields if not (section is Settings and name in OUTSIDE)}
        for name in section.model_fields:
            for deeper in ((*path, name), (*path, name, "NAME"), (*path, name, 0)):
                inner = section_at(deeper)
                if inner is not None and inner is not section:
                    found |= keys(inner, deeper)
        return found

    shown = {word.strip(":,{}[]") for word in text.split()}
    assert keys(Settings, ()) - shown == {"cached"}
