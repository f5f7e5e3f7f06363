"""`rungwise batch --ray` on a cluster of this machine alone: the same lines out as without it."""

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import Usage

TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `scale` (Ray) is not installed"),
]


def costly(seen: Seen) -> Reply:
    return Reply(text=echo(seen).text, usage=Usage(input_tokens=10, output_tokens=5))


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(costly) as upstream:
        yield upstream


@pytest.fixture
def folder(tmp_path: Path, upstream: FakeUpstream) -> Path:
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "candidates:\n"
        f"  model: {{kind: openai_compatible, url: '{upstream.url}', model: m, price: {{input: 1000, output: 0}}}}\n"
        "workloads: {default: {candidates: [model]}}\n",
        encoding="utf-8",
    )
    lines = [ask(number) for number in range(200)]
    lines[7] = ask(7, model="no-such-model")
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def ask(number: int, model: str = "default") -> str:
    body = {"model": model, "messages": [{"role": "user", "content": f"say {number}"}]}
    asked = {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked) + "\n"


async def batch(folder: Path, output: str, *options: str) -> dict[str, Any]:
    ours = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL", "RUNGWISE_CONFIG")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rungwise_pipelines", "batch", "in.jsonl", "-o", output, "--json", *options),
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if k not in ours}, "RUNGWISE_HOME": str(folder / "home")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 200)
    assert out, err.decode()
    told: dict[str, Any] = json.loads(out)
    return told


def results(path: Path) -> dict[str, Any]:
    """By custom_id: what a line came to, without what differs from run to run."""
    found = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        body = row["response"]["body"]
        said = body["choices"][0]["message"]["content"] if "choices" in body else body["error"]
        assert row["custom_id"] not in found
        found[row["custom_id"]] = (row["response"]["status_code"], said, row.get("rungwise"))
    return found


async def test_the_same_lines_come_out(folder: Path, upstream: FakeUpstream) -> None:
    alone = await batch(folder, "alone.jsonl")
    assert (alone["end"], alone["answered"], alone["failed"]) == ("done", 199, 1)
    # A budget first, so that the second run has a first one to go on from.
    begun = await batch(folder, "spread.jsonl", "--ray", "--max-cost", "1.2")
    assert begun["end"] == "budget"
    assert 0 < begun["cost"] <= 1.2
    spread = await batch(folder, "spread.jsonl", "--ray")
    assert (spread["end"], spread["answered"], spread["failed"]) == ("done", 199, 1)
    assert spread["before"] == begun["answered"] + begun["failed"]
    for name in ("{}.jsonl", "{}.errors.jsonl"):
        assert results(folder / name.format("spread")) == results(folder / name.format("alone"))
    assert len(upstream.requests) == 2 * 199


async def test_an_unreachable_cluster_is_named(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rungwise_pipelines", "batch", "in.jsonl", "-o", "out.jsonl", "--ray", "--ray-address", "127.0.0.1:1"),
        cwd=folder,
        env={**os.environ, "RUNGWISE_HOME": str(folder / "home")},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 1
    assert "no Ray cluster answers at '127.0.0.1:1'" in err.decode()
