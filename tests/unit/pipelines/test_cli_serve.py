"""`rungwise serve` as a process: what it prints holds."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import httpx
import pytest

RUNGWISE = [sys.executable, "-m", "rungwise_pipelines"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    hidden = ("PYTHONUNBUFFERED", "RUNGWISE_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL")
    return {k: v for k, v in os.environ.items() if k not in hidden} | {"RUNGWISE_HOME": str(tmp_path / "home")}


@pytest.fixture
def server(tmp_path: Path, environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and all that it printed when it was ready."""
    command = [*RUNGWISE, "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("Ctrl-C"):
                break
        try:
            yield process, printed
        finally:
            process.kill()


def test_what_it_prints_works(server: tuple[subprocess.Popen[str], str]) -> None:
    _, printed = server
    found = re.search(r"Rungwise answers at (http://127\.0\.0\.1:\d+)", printed)
    assert found, printed
    assert httpx.get(f"{found[1]}/readyz").json()["ready"] is True
    assert httpx.get(f"{found[1]}/").status_code == 200
    assert "`rungwise ingest --path FOLDER --collection default --readers everyone`" in printed

    head, _, snippet = printed.partition("in Python")
    program = textwrap.dedent(" " * len(head.splitlines()[-1] + "in Python") + snippet.partition("\n\n")[0])
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_and_closes_the_house(
    server: tuple[subprocess.Popen[str], str], environ: dict[str, str], number: signal.Signals
) -> None:
    process, _ = server
    socket = Path(environ["RUNGWISE_HOME"]) / "index.sock"
    assert socket.exists()
    process.send_signal(number)
    rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert not socket.exists()


def test_an_open_host_without_a_key_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    command = [*RUNGWISE, "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "rungwise keys create" in done.stderr
    assert "Traceback" not in done.stderr
