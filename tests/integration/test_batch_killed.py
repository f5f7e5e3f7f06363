"""kill -9 and ctrl-C at any moment of a batch, then on: every custom_id exactly once."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rungwise_server import bootstrap
from rungwise_server.batches import JOB, WINDOW, BatchBody, batch_body, encode
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import Settings
from rungwise_server.files import Files
from rungwise_server.keeping import Kept
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import Caller

LINES = 160
KILLS = 4
TINY = Path(__file__).parents[1] / "unit" / "server" / "retrieval" / "embedders" / "data" / "tiny_model"

pytestmark = pytest.mark.slow


class Processes:
    """Runs the command line, one process after the other."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("batch_process.py")
        self._said = folder / "said"
        self._forker = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"

    async def run(self, *argv: str, sent: int = 0, file: Path = Path(), size: int = 0) -> int:
        """The exit code; negative: the signal that ended it. It is sent `sent` once `file` has `size` bytes."""
        assert self._forker.stdin
        asked = {"argv": argv, "said": str(self._said), "signal": sent, "file": str(file), "size": size}
        self._forker.stdin.write(json.dumps(asked) + "\n")
        self._forker.stdin.flush()
        return int(await asyncio.to_thread(self._read))

    @property
    def said(self) -> str:
        """What the last one wrote."""
        return self._said.read_text()

    def close(self) -> None:
        assert self._forker.stdin
        self._forker.stdin.close()
        self._forker.wait(30)

    def _read(self) -> str:
        assert self._forker.stdout
        return self._forker.stdout.readline().strip()


def grumpy(seen: Seen) -> Reply:
    """Echoes, a little late; one line it never takes, and now and then it has a bad moment."""
    said = echo(seen)
    if "line 7." in said.text:
        return Reply(status=400, error="never this one")
    if random.random() < 0.02:
        return Reply(status=503, error="a bad moment")
    return Reply(text=said.text, hang=random.uniform(0.01, 0.05))


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(grumpy) as upstream:
        yield upstream


@pytest.fixture
def config(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNGWISE_HOME", raising=False)
    file = tmp_path / "rungwise.yaml"
    file.write_text(
        f"embedder: {{kind: onnx, path: {TINY}}}\n"
        f"candidates:\n  fake: {{kind: openai_compatible, url: '{upstream.url}', model: echo}}\n"
        "workloads:\n  default: {candidates: [fake]}\n"
    )
    return file


@pytest.fixture
def processes(tmp_path: Path, config: Path) -> Iterator[Processes]:
    """In the folder of the configuration."""
    processes = Processes(tmp_path)
    yield processes
    processes.close()


def requests(count: int) -> str:
    lines = []
    for number in range(count):
        body = {"model": "default", "messages": [{"role": "user", "content": f"line {number}."}]}
        line = {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def check(answers: list[dict[str, Any]], failures: list[dict[str, Any]]) -> None:
    """Each custom_id once, each with the answer to its own question."""
    assert sorted(row["custom_id"] for row in (*answers, *failures)) == sorted(f"id-{n}" for n in range(LINES))
    for row in answers:
        said = row["response"]["body"]["choices"][0]["message"]["content"]
        assert said == f"line {row['custom_id'].removeprefix('id-')}."
        assert row["response"]["body"]["id"] == row["response"]["request_id"]
    assert [row["custom_id"] for row in failures] == ["id-7"]
    assert failures[0]["response"]["status_code"] == 400


async def logged(settings: Settings, surface: str) -> set[str]:
    database = await bootstrap.open_house_database(settings)
    log = bootstrap.open_log(settings, database)
    try:
        found = [row async for row in log.read(LogQuery(kind="inference"))]
    finally:
        await log.close()
        database.close()
    return {row.id for row in found if isinstance(row, Inference) and (row.surface, row.outcome) == (surface, "ok")}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
async def test_the_command_goes_on_after_any_end(
    tmp_path: Path, processes: Processes, config: Path, sent: signal.Signals
) -> None:
    loop, hit = asyncio.get_running_loop(), list[bool]()

    # The upstream lives in this loop; hypothesis calls from a thread.
    @settings(max_examples=3, deadline=None, database=None, phases=[Phase.generate])
    @given(st.lists(st.integers(0, 25_000), min_size=KILLS - 1, max_size=KILLS, unique=True))
    def ended_at(points: list[int]) -> None:
        asyncio.run_coroutine_threadsafe(_ended(tmp_path, processes, config, sent, points, hit), loop).result()

    await asyncio.to_thread(ended_at)
    assert sum(hit) > len(hit) // 3, "hardly any signal hit: the test proves nothing"


async def _ended(
    folder: Path, processes: Processes, config: Path, sent: signal.Signals, points: list[int], hit: list[bool]
) -> None:
    """A batch of its own, ended once its output has grown by each of `points`, in bytes, and then gone on with."""
    name = f"{len(hit)}"
    (folder / f"{name}.jsonl").write_text(requests(LINES))
    out, command = folder / f"{name}.out.jsonl", ("batch", f"{name}.jsonl", "-o", f"{name}.out.jsonl")
    for point in points:
        size = point + (out.stat().st_size if out.exists() else 0)
        code = await processes.run(*command, sent=sent, file=out, size=size)
        assert code in (-sent, 130, 1), processes.said
        hit.append(code != 1)
    assert await processes.run(*command) == 1, processes.said
    assert "failed" in processes.said
    answers, failures = (out.read_text(), (folder / f"{name}.out.errors.jsonl").read_text())
    check(rows(answers), rows(failures))
    ids = {row["response"]["request_id"] for row in rows(answers)}
    assert ids <= await logged(load_settings(config, {}), "batch.chat"), "an answer that cannot be rated"
    assert await processes.run(*command) == 1
    assert out.read_text() == answers, "there was nothing left to do"


async def test_a_worker_goes_on_with_the_batch_of_one_that_was_killed(
    tmp_path: Path, processes: Processes, config: Path
) -> None:
    configured = load_settings(config, {})
    database = await bootstrap.open_house_database(configured)
    kept, queue = bootstrap.open_kept(database), bootstrap.open_queue(database)
    files = Files(kept, bootstrap.open_blobs(configured), 1_000_000)

    async def content(id: str) -> str:
        return b"".join([piece async for piece in files.read(id)]).decode()

    async def pieces() -> AsyncIterator[bytes]:
        yield requests(LINES).encode()

    caller = Caller("ana", frozenset({"finance"}))
    file = await files.create(caller.owner, "in.jsonl", "batch", pieces())
    now = time.time()
    body = BatchBody("/v1/chat/completions", file.id, caller, "http://localhost/v1/sources/", now + WINDOW)
    await kept.add(Kept("batch_1", "batch", caller.owner, now, encode(body), state="validating"))
    await queue.put(JOB, "batch_1")

    out = configured.home.absolute() / "batches" / "batch_1" / "output.jsonl"
    luck, sizes = random.Random(3), list[int]()
    async with asyncio.timeout(60):
        while len(sizes) < KILLS and (not sizes or out.exists()):
            size = luck.randrange(25_000) + (out.stat().st_size if out.exists() else 0)
            code = await processes.run(
                "worker", "--until-idle", "--lease", "1", sent=signal.SIGKILL, file=out, size=size
            )
            if code == -signal.SIGKILL:
                sizes.append(size)
    assert len(sizes) > KILLS // 3, "hardly any kill hit: the test proves nothing"
    async with asyncio.timeout(60):
        while True:
            assert await processes.run("worker", "--until-idle", "--lease", "1") == 0, processes.said
            row = await kept.get("batch", "batch_1", None)
            assert row
            if row.state == "completed":
                break
            await asyncio.sleep(0.1)  # the lease of the one that was killed
    done = batch_body(row)
    assert (done.total, done.completed, done.failed) == (LINES, LINES - 1, 1)
    check(rows(await content(done.output_file_id)), rows(await content(done.error_file_id)))
    made, _ = await files.list(caller.owner, purpose="batch_output")
    assert {file.id for file in made} == {done.output_file_id, done.error_file_id}, "a file that nobody knows of"
    assert not (configured.home / "batches" / "batch_1").exists()
    database.close()
