"""The container files, as far as they can be held without an engine: linted, valid, and at one with the repository."""

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from rungwise_server.config.file import load_settings

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"


def tool(name: str) -> str:
    """The tool of this environment; the test is skipped where it was left out."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (it is in the dev group)")
    return found


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return document


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_would_say_something(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp\n")
    done = subprocess.run([tool("hadolint"), str(bad)], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_compose_file_meets_the_specification() -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    sources = [
        source
        for line in DOCKERFILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert sources
    rules = [line for line in (ROOT / ".dockerignore").read_text().split() if not line.startswith("#")]
    for source in sources:
        assert (ROOT / source).exists(), source
        ignored = False
        for rule in rules:
            pattern = rule.removeprefix("!")
            if any(fnmatch.fnmatch(part, pattern) for part in (source, source.split("/")[0])):
                ignored = not rule.startswith("!")
        assert not ignored, f"{source} is ignored"


def test_images_are_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    images += [service["image"] for service in compose()["services"].values()]
    for image in images:
        assert re.search(r":v?\d+\.\d+", image), image


def test_the_server_is_not_root_and_reaches_its_neighbours() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE.read_text(), re.MULTILINE)
    services = compose()["services"]
    assert all(address.startswith("${RUNGWISE_ADDRESS:-127.0.0.1}") for address in services["server"]["ports"])
    for name in services["server"]["depends_on"]:
        assert "healthcheck" in services[name]
        assert "ports" not in services[name], f"{name} is published"
        assert set(services[name]["networks"]) & set(services["server"]["networks"])
    assert compose()["networks"]["inside"]["internal"] is True


def test_every_variable_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    told = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / "deploy" / "compose.env.example").read_text(), re.MULTILINE))
    assert wanted - told <= {"RUNGWISE_ADDRESS", "RUNGWISE_PORT", "VLLM_MAX_MODEL_LEN"}


def test_configuration_of_the_containers() -> None:
    """It loads, names services that exist, and asks for variables that the server is given."""
    services = compose()["services"]
    given = services["server"]["environment"]
    settings = load_settings(ROOT / "deploy" / "rungwise.docker.yaml", {"VLLM_URL": "http://vllm:8000/v1"})
    assert settings.index.kind == "qdrant"
    assert settings.index.url == "http://qdrant:6333"
    assert settings.index.api_key_env in given
    assert settings.log.url_env in given
    assert settings.sources["documents"].path in {volume.split(":")[-2] for volume in services["server"]["volumes"][2:]}
    assert settings.workloads["default"].candidates == ("vllm", "extractive")
    assert {"gpu", "cpu"} == {profile for service in services.values() for profile in service.get("profiles", ())}
    for name in ("vllm-gpu", "vllm-cpu"):
        assert services[name]["networks"]["inside"]["aliases"] == ["vllm"]
        assert services[name]["environment"]["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
        assert "--enable-lora" in services[name]["command"]
