"""JavaScript clients: each script runs its cases against the server and tells their outcomes line by line."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NODE = Path(__file__).with_name("node")
LOCK = json.loads((NODE / "package-lock.json").read_text(encoding="utf-8"))
SCRIPTS = {"openai.mjs": "openai", "ai-sdk.mjs": "ai", "anthropic.mjs": "@anthropic-ai/sdk"}
NAMES = {"openai": "openai-node", "ai": "Vercel AI SDK", "@anthropic-ai/sdk": "Anthropic's SDK for JavaScript"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed"),
    pytest.mark.skipif(
        not (NODE / "node_modules").is_dir(), reason="`make setup-clients` has not installed the clients"
    ),
]


def _cases(script: str) -> list[str]:
    """The names of a script's cases, as they stand in it."""
    text = (NODE / script).read_text(encoding="utf-8")
    named = re.findall(r'^  "([^"]+)": async', text, re.MULTILINE)
    made = re.findall(r"^ *cases\[`\$\{surface\}(: [^`]+)`\]", text, re.MULTILINE)
    added = re.findall(r'^cases\["([^"]+)"\]', text, re.MULTILINE)
    return [*named, *(surface + name for surface in ("responses", "chat") for name in made), *added]


@functools.cache
def _outcomes(script: str, base: str, key: str, environ: frozenset[tuple[str, str]]) -> dict[str, str | None]:
    done = subprocess.run(
        ["node", script], cwd=NODE, env=dict(environ), capture_output=True, text=True, timeout=240, check=False
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return {line["case"]: line.get("error") for line in lines}


def _params() -> list[Any]:
    return [
        pytest.param(
            script,
            case,
            marks=pytest.mark.conformance(
                f"{NAMES[package]} {LOCK['packages'][f'node_modules/{package}']['version']}", case.partition(":")[0]
            ),
            id=f"{script.removesuffix('.mjs')}-{case}",
        )
        for script, package in SCRIPTS.items()
        for case in _cases(script)
    ]


@pytest.mark.parametrize(("script", "case"), _params())
def test_javascript(served: Any, script: str, case: str) -> None:
    outcomes = _outcomes(script, served.base, served.ana, frozenset(served.environ().items()))
    assert case in outcomes, f"{script} ended before this case"
    assert outcomes[case] is None, outcomes[case]
