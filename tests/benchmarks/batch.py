"""How near a batch comes to what its upstream can do, what ordering by prefix brings, and that memory stays flat.

    make bench-batch
    python tests/benchmarks/batch.py queue      # an upstream of so many servers, the others wait in line
    python tests/benchmarks/batch.py vllm       # a real vLLM on the CPU; needs `make setup-vllm`
    python tests/benchmarks/batch.py memory     # the peak of the process over ever more lines

`queue`: the rate of the whole command, its start included, over servers / mean time. `vllm`: the same over the best of
several fixed concurrencies by a bare client, the same lines in the same order, each time from an empty prefix cache
that is too small for all prefixes at once (`by round`: over the best of the same round, for machines whose load
changes); then the same batch in the file's order, which is shuffled. `without start`: of the lines alone.
`memory`: real files and the real runner, and answers out of nothing.
"""

import argparse
import asyncio
import contextlib
import heapq
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rungwise_pipelines.batch.ask import Answered, Asker
from rungwise_pipelines.batch.lines import Limits, Line
from rungwise_pipelines.batch.local import BatchReport, Here, Task, run_batch
from rungwise_pipelines.batch.plan import read_plan
from rungwise_pipelines.batch.progress import Progress
from rungwise_pipelines.batch.run import End, Sink, Tally
from rungwise_pipelines.batch.surfaces import batch_surfaces
from rungwise_pipelines.progress import Silent
from rungwise_server.bootstrap import open_house
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import Settings
from rungwise_server.http.client import HttpClient
from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen
from rungwise_server.testing.vllm import tiny_vllm
from rungwise_server.types import Caller, Usage

ROOT = Path(__file__).parents[2]
VLLM = ROOT / ".venv-vllm" / "bin"
CHAT = "/v1/chat/completions"


def write_lines(path: Path, bodies: Iterator[dict[str, object]]) -> None:
    """A batch file of chat requests."""
    with path.open("w", encoding="utf-8") as file:
        for number, body in enumerate(bodies):
            line = {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body}
            file.write(json.dumps(line) + "\n")


def asks(text: str, system: str = "", **params: object) -> dict[str, object]:
    """A chat request."""
    messages = [{"role": "system", "content": system}] if system else []
    return {"model": "default", "messages": [*messages, {"role": "user", "content": text}], **params}


def settings_for(folder: Path, url: str, model: str) -> Settings:
    """A house with one candidate and no documents."""
    config = folder / "rungwise.yaml"
    config.write_text(
        f"candidates:\n  model: {{kind: openai_compatible, url: '{url}', model: {model}, timeout: 600}}\n"
        "workloads:\n  default: {candidates: [model]}\n"
    )
    return load_settings(config, {"RUNGWISE_HOME": str(folder / "home")})


class Timed(Here):
    """Knows how long the lines took, without what comes before and after them."""

    seconds = 0.0

    async def run(
        self, lines: Iterator[Line], count: int, task: Task, files: Sink, tally: Tally, told: Callable[[], None]
    ) -> End:
        """See Crew."""
        began = time.monotonic()
        try:
            return await super().run(lines, count, task, files, tally, told)
        finally:
            self.seconds = time.monotonic() - began


async def whole(settings: Settings, folder: Path, *, together: bool = True) -> tuple[BatchReport, float]:
    """A batch as the command does it, and the seconds of its lines alone."""
    caller = Caller()
    timed: list[Timed] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Here]:
        house = await open_house(settings, {}, role="benchmark")
        try:
            timed.append(
                Timed(Asker(house.engine, batch_surfaces(house), caller, "http://localhost/", house.log.flush))
            )
            yield timed[0]
        finally:
            await house.close()

    output = folder / f"out-{time.time_ns()}.jsonl"
    errors = output.with_suffix(".errors")
    task = Task(input=folder / "in.jsonl", output=output, errors=errors, caller=caller, together=together)
    report = await run_batch(task, opened, Progress(Silent()))
    assert report.end == "done"
    assert not report.tally.failed, errors.read_text()[:500]
    return report, timed[0].seconds


class Servers:
    """The script of an upstream with so many servers: a request is answered once one was free for it."""

    def __init__(self, servers: int, seconds: float) -> None:
        self.seconds = seconds
        self.free = [0.0] * servers
        self.luck = random.Random(1)

    def __call__(self, seen: Seen) -> Reply:
        """Wait for the first server that is free, and be served."""
        now = time.monotonic()
        ends = max(now, heapq.heappop(self.free)) + self.luck.gammavariate(4, self.seconds / 4)
        heapq.heappush(self.free, ends)
        return Reply(text="ok", usage=Usage(10, 1), hang=max(ends - now, 1e-6))


@contextmanager
def child(*arguments: str) -> Iterator[str]:
    """This file in another process; the first line that it prints."""
    with subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def upstream(servers: int, seconds: float) -> None:
    """Be such an upstream, for ever."""
    async with FakeUpstream(Servers(servers, seconds), keep=1) as fake:
        print(fake.url, flush=True)
        await asyncio.Event().wait()


def queue(servers: int, seconds: float, lines: int) -> dict[str, float]:
    """A batch against an upstream that is known exactly."""
    with tempfile.TemporaryDirectory() as temporary, child("upstream", f"{servers}", f"{seconds}") as url:
        folder = Path(temporary)
        write_lines(folder / "in.jsonl", (asks(f"question {n}") for n in range(lines)))
        report, run = asyncio.run(whole(settings_for(folder, url, "echo"), folder))
    rate, limit = lines / report.seconds, servers / seconds
    alone = lines / run / limit
    return {
        "servers": servers,
        "lines": lines,
        "rate": rate,
        "limit": limit,
        "ratio": rate / limit,
        "without start": alone,
    }


@contextmanager
def vllm(folder: Path, blocks: int) -> Iterator[str]:
    """The base URL of a vLLM with a tiny model, and a cache of so many blocks of 32 tokens."""
    options = (
        "--max-model-len 2048 --max-num-seqs 32 --enable-prefix-caching "
        f"--num-gpu-blocks-override {blocks} --block-size 32"
    ).split()
    maker = ROOT / "tests" / "integration" / "vllm_tiny.py"
    with tiny_vllm(VLLM, maker, folder, options, {"VLLM_SERVER_DEV_MODE": "1"}) as origin:
        yield origin


def counters(origin: str) -> tuple[float, float]:
    """Tokens asked for in the prefix cache, and found there."""
    with urllib.request.urlopen(f"{origin}/metrics", timeout=10) as response:
        text = response.read().decode()
    found = [re.search(rf"^vllm:prefix_cache_{name}_total{{.*}} (\S+)$", text, re.M) for name in ("queries", "hits")]
    return tuple(float(each[1]) if each else 0.0 for each in found)  # type: ignore[return-value]


def forget(origin: str) -> None:
    """Empty the prefix cache."""
    with urllib.request.urlopen(urllib.request.Request(f"{origin}/reset_prefix_cache", method="POST"), timeout=30):
        pass


async def bare(origin: str, bodies: list[bytes], at_once: int) -> float:
    """Lines a second, by a client that does nothing else."""
    client = HttpClient()
    headers = {"content-type": "application/json"}
    endpoint = client.endpoint(f"{origin}{CHAT}", headers=headers, timeout=600)
    waiting = iter(bodies)

    async def one() -> None:
        for body in waiting:
            response = await endpoint.request(body)
            said = await response.body(1 << 20)
            assert response.status == 200, said

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = time.perf_counter() - began
    await client.close()
    return len(bodies) / seconds


async def bodies_in_order(path: Path) -> list[bytes]:
    """As a batch asks them."""
    async with read_plan(path, Limits()) as plan:
        return [line.body.replace(b'"default"', b'"tiny"', 1) for line in plan.rest()]


async def against_vllm(lines: int, groups: int, blocks: int, rounds: int) -> dict[str, object]:
    """Batches and bare clients over the same lines."""
    luck = random.Random(1)
    words = "the quick brown fox jumps over the lazy dog".split()
    systems = [" ".join(luck.choices(words, k=250)) for _ in range(groups)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        chosen = [n % groups for n in range(lines)]
        luck.shuffle(chosen)
        made = (
            asks(f"fox {n}", systems[group], max_tokens=16, temperature=0, ignore_eos=True)
            for n, group in enumerate(chosen)
        )
        write_lines(folder / "in.jsonl", made)
        ordered = await bodies_in_order(folder / "in.jsonl")
        with vllm(folder, blocks) as origin:
            settings = settings_for(folder, f"{origin}/v1", "tiny")
            await bare(origin, ordered[:50], 16)
            best: dict[int, float] = {}
            batches: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
            ratios: list[float] = []
            for _ in range(rounds):
                now = []
                for at_once in (32, 64, 96):
                    forget(origin)
                    now.append(await bare(origin, ordered, at_once))
                    best[at_once] = max(best.get(at_once, 0.0), now[-1])
                for together, runs in batches.items():
                    forget(origin)
                    asked, hit = counters(origin)
                    report, run = await whole(settings, folder, together=together)
                    asked_after, hit_after = counters(origin)
                    runs.append((lines / report.seconds, lines / run, (hit_after - hit) / max(asked_after - asked, 1)))
                ratios.append(batches[True][-1][0] / max(now))
    limit = max(best.values())
    (rate, run_rate, hits), (shuffled, _, hits_shuffled) = (max(batches[together]) for together in (True, False))
    return {
        "lines": lines,
        "bare, by concurrency": {at_once: round(each, 1) for at_once, each in best.items()},
        "rate": rate,
        "ratio": rate / limit,
        "without start": run_rate / limit,
        "ratio, by round": [round(each, 3) for each in ratios],
        "prefix hits": hits,
        "rate in the file's order": shuffled,
        "prefix hits in the file's order": hits_shuffled,
        "gain": rate / shuffled,
    }


class Nothing(Asker):
    """Answers out of nothing."""

    def __init__(self) -> None:
        super().__init__(None, {}, Caller(), "")  # type: ignore[arg-type]

    async def __call__(self, line: Line) -> Answered:
        """The same for all."""
        await asyncio.sleep(0)
        return Answered("chatcmpl-1", b'{"choices":[]}', usage=Usage(1, 1), cost=0.1)


async def peak(lines: int) -> None:
    """Do that many lines, go over them once more, and print the peak of this process's memory in MB."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "in.jsonl"
        write_lines(file, (asks(f"question {n}", "You are kind. " * 10) for n in range(lines)))
        task = Task(input=file, output=folder / "out", errors=folder / "errors", caller=Caller())

        @asynccontextmanager
        async def opened() -> AsyncIterator[Here]:
            yield Here(Nothing())

        first = await run_batch(task, opened, Progress(Silent()))
        again = await run_batch(task, opened, Progress(Silent()))
        assert (first.tally.answered, again.before, again.left) == (lines, lines, 0)
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"lines": lines, "peak MB": mb, "seconds": first.seconds, "again": again.seconds}), flush=True)


def main() -> None:
    """Measure, and print a line of JSON for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("queue")
    command.add_argument("--servers", type=int, nargs="+", default=[8, 32, 64])
    command.add_argument("--seconds", type=float, default=0.5, help="mean time of an answer")
    command.add_argument("--rounds", type=int, default=120, help="answers of each server")
    command = commands.add_parser("vllm")
    command.add_argument("--lines", type=int, default=2400)
    command.add_argument("--groups", type=int, default=400, help="different beginnings of prompts")
    command.add_argument("--blocks", type=int, default=1100, help="blocks of 32 tokens in vLLM's cache")
    command.add_argument("--rounds", type=int, default=2, help="the best of so many")
    command = commands.add_parser("memory")
    command.add_argument("--lines", type=int, nargs="+", default=[1_000, 100_000])
    command = commands.add_parser("upstream")
    command.add_argument("servers", type=int)
    command.add_argument("seconds", type=float)
    command = commands.add_parser("peak")
    command.add_argument("lines", type=int)
    given = parser.parse_args()
    match given.command:
        case "queue":
            for servers in given.servers:
                print(json.dumps(queue(servers, given.seconds, servers * given.rounds)), flush=True)
        case "vllm":
            if not (VLLM / "vllm").exists():
                raise SystemExit("there is no .venv-vllm: `make setup-vllm` makes it (Linux, x86-64)")
            print(json.dumps(asyncio.run(against_vllm(given.lines, given.groups, given.blocks, given.rounds))))
        case "memory":
            for lines in given.lines:
                with child("peak", str(lines)) as said:
                    print(said, flush=True)
        case "upstream":
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(upstream(given.servers, given.seconds))
        case "peak":
            asyncio.run(peak(given.lines))


if __name__ == "__main__":
    main()
