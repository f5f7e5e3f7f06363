"""Rungwise as its users have it, for end-to-end tests: a folder of its own, commands, a server in a process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNGWISE = (sys.executable, "-m", "rungwise_pipelines")
_AMBIENT = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL", "RUNGWISE_CONFIG"}


class Place:
    """A folder with files, a `rungwise.yaml`, and RUNGWISE_HOME in it. `close` kills the servers that still run."""

    def __init__(self, folder: Path, config: str, files: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if name not in _AMBIENT},
            "RUNGWISE_HOME": str(folder / "home"),
        }
        self._serving: list[Serving] = []
        for name, text in {**(files or {}), "rungwise.yaml": config}.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *words: str, given: str = "", code: int = 0) -> str:
        """What a command prints, with `given` on its standard input; it must end with `code`."""
        done = subprocess.run(
            [*RUNGWISE, *words],
            cwd=self.folder,
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str, given: str = "", code: int = 0) -> Any:
        """What a command says to programs."""
        return json.loads(self.run(*words, "--json", given=given, code=code))

    def serve(self) -> "Serving":
        """A server on a free port, once it listens."""
        serving = Serving(self)
        self._serving.append(serving)
        return serving

    def close(self) -> None:
        """Kill the servers that still run."""
        for each in self._serving:
            if each.process.poll() is None:
                each.end(signal.SIGKILL)


class Serving:
    """A `rungwise serve` in a process of its own."""

    def __init__(self, place: Place) -> None:
        self.process = subprocess.Popen(
            [*RUNGWISE, "serve", "--port", "0", "--json"],
            cwd=place.folder,
            env=place.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self.process.send_signal(with_signal)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code
