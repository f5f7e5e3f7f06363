"""`rungwise batch --ray` on a cluster of this machine alone: the same lines out as without it."""

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rungwise_pipelines.batch.generate import ERROR, ORDER, READ, TEXT, WRITTEN, Generation, row_of
from rungwise_pipelines.batch.local import Task, run_batch
from rungwise_pipelines.batch.orders import Reader
from rungwise_pipelines.batch.progress import Progress
from rungwise_pipelines.batch.run import Budget
from rungwise_pipelines.batch.spread import Cluster, Spread
from rungwise_pipelines.progress import Silent
from rungwise_server.bootstrap import open_house_database, open_log
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import Settings
from rungwise_server.errors import SetupError
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import Caller, Usage

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


class OverHttp:
    """A Processing whose words come from a URL, by a processor of Ray Data that needs no GPU."""

    model = "m"

    def __init__(self, url: str) -> None:
        self.url = url

    def reader(self) -> Reader:
        return lambda turns: json.dumps(list(turns))

    def build(self) -> Callable[[Any], Any]:
        from ray.data.llm import HttpRequestProcessorConfig, build_processor

        # Functions of a function: Ray's workers, which cannot import tests, get them by value.
        def asked(row: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]] = row_of) -> dict[str, Any]:
            order = read(row)
            return {"payload": {"model": "m", "messages": json.loads(order["prompt"]), **order["sampling_params"]}}

        names = ORDER, TEXT, READ, WRITTEN, ERROR

        def said(row: dict[str, Any]) -> dict[str, Any]:
            body = row["http_response"]
            if not body.get("choices"):  # Arrow gives each row all fields that any row has
                return dict(zip(names, (row[names[0]], "", 0, 0, body["error"]["message"]), strict=True))
            text, usage = body["choices"][0]["message"]["content"], body["usage"]
            values = row[names[0]], text, usage["prompt_tokens"], usage["completion_tokens"], ""
            return dict(zip(names, values, strict=True))

        config = HttpRequestProcessorConfig(url=f"{self.url}/chat/completions", batch_size=32)
        processor: Callable[[Any], Any] = build_processor(config, preprocess=asked, postprocess=said)
        return processor


def cited(seen: Seen) -> Reply:
    asked = seen.json["messages"][-1]["content"]
    if "say 13" in asked:
        return Reply(status=400, error="no thirteen")
    return Reply(text=f"{seen.json.get('temperature', 'none')} of {len(asked.split())} [1]", usage=Usage(10, 5))


def told(path: Path) -> dict[str, Any]:
    """By custom_id: text, citations and usage."""
    found = {}
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        body = row["response"]["body"]
        if "output" in body:
            (content,) = body["output"][-1]["content"]
            said = content["text"], content["annotations"]
        else:
            said = body["choices"][0]["message"]["content"], body["choices"][0]["message"].get("annotations")
        found[row["custom_id"]] = (*said, body["usage"]["total_tokens"], row["rungwise"])
    return found


async def logged(settings: Settings) -> dict[str, Inference]:
    database = await open_house_database(settings, {})
    log = open_log(settings, database)
    rows = [row async for row in log.read(LogQuery(kind="inference"))]
    await log.close()
    database.close()
    return {row.id: row for row in rows if isinstance(row, Inference)}


async def test_a_processor_of_ray_data_generates_for_a_candidate(tmp_path: Path, upstream: FakeUpstream) -> None:
    upstream.script = cited
    (tmp_path / "rungwise.yaml").write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        "collections: {docs: {}}\n"
        "candidates:\n"
        f"  away: {{kind: openai_compatible, url: '{upstream.url}', model: m, params: {{temperature: 0.5}}}}\n"
        f"  here: {{kind: openai_compatible, url: '{upstream.url}', model: m}}\n"
        "workloads:\n"
        "  default:\n"
        "    collections: [docs]\n"
        "    candidates: [away, here]\n"
        "    route: {rules: [{when: {min_chars: 500}, use: here}]}\n",
        encoding="utf-8",
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "say.md").write_text("# Say\n\nWhat to say is said here.\n", encoding="utf-8")
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "rungwise_pipelines", "ingest", "--path", "docs", "--collection", "docs", "--readers", "everyone"),
        cwd=tmp_path,
        env={**os.environ, "RUNGWISE_HOME": str(tmp_path / "home")},
    )
    assert await made.wait() == 0
    lines = [ask(number) for number in range(100)]
    for number in range(0, 100, 4):
        lines[number] = lines[number].replace("say ", "say " * 200)
    body = {"model": "default", "input": "say it", "temperature": 0.9, "max_output_tokens": 5}
    lines[5] = json.dumps({"custom_id": "id-5", "method": "POST", "url": "/v1/responses", "body": body}) + "\n"
    lines[6] = ask(6).replace('"messages"', '"logprobs": true, "messages"')
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = load_settings(tmp_path / "rungwise.yaml", {"RUNGWISE_HOME": str(tmp_path / "home")})

    @asynccontextmanager
    async def cluster() -> AsyncIterator[Cluster]:
        yield Cluster(settings, Spread(workers=1), Generation("away", OverHttp(upstream.url)))

    def task(name: str, tokens: int | None = None) -> Task:
        output, errors = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.errors.jsonl"
        budget = Budget(tokens=tokens)
        return Task(input=tmp_path / "in.jsonl", output=output, errors=errors, caller=Caller(), budget=budget)

    with pytest.raises(SetupError, match="A budget cannot be kept"):
        await run_batch(task("none", 1000), cluster, Progress(Silent()))

    alone = await batch(tmp_path, "alone.jsonl")
    assert (alone["answered"], alone["failed"]) == (99, 1)
    before = await logged(settings)
    spread = await run_batch(task("spread"), cluster, Progress(Silent()))
    assert (spread.end, spread.tally.answered, spread.tally.failed) == ("done", 98, 2)

    of_url, of_ray = (told(tmp_path / f"{name}.jsonl") for name in ("alone", "spread"))
    del of_url["id-6"]
    assert of_ray == of_url
    assert of_ray["id-5"][0].startswith("0.9 of ")
    assert of_ray["id-7"][0].startswith("0.5 of ")
    assert of_ray["id-8"][3]["candidate"] == "here"
    assert all(answer[1] for answer in of_ray.values()), "each cites"

    failures = map(json.loads, (tmp_path / "spread.errors.jsonl").read_text(encoding="utf-8").splitlines())
    failed = {row["custom_id"]: row["response"]["body"]["error"] for row in failures}
    assert failed["id-6"]["param"] == "logprobs"
    assert "no thirteen" in failed["id-13"]["message"]

    rows = {id: row for id, row in (await logged(settings)).items() if id not in before}
    assert len(rows) == 100, "one for each line"
    written = map(json.loads, (tmp_path / "spread.jsonl").read_text(encoding="utf-8").splitlines())
    for result in written:
        row = rows[result["response"]["request_id"]]
        assert (row.outcome, row.candidate) == ("ok", of_ray[result["custom_id"]][3]["candidate"])
        assert row.route is not None
        assert row.surface.startswith("batch.")
        assert [passage.text for passage in row.passages]
        assert row.prompt.startswith("grounded@")
