"""A sweep over models that answer over HTTP: what is asked and paid, stopped and gone on with, rewritten and kept."""

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from rungwise_pipelines.evaluation.noted import Noted
from rungwise_pipelines.evaluation.run import Bounds
from rungwise_pipelines.progress import Silent
from rungwise_pipelines.sweep.grid import Grid, Setting, expand
from rungwise_pipelines.sweep.result import Sweep
from rungwise_pipelines.sweep.rewriting import rewriting_of
from rungwise_pipelines.sweep.run import Task, keep, prepare, run
from rungwise_pipelines.sweep.seen import Seen
from rungwise_pipelines.sweep.sheet import Tools
from rungwise_server.bootstrap import House, open_house, open_judges
from rungwise_server.config.file import load_settings
from rungwise_server.errors import BadRequest
from rungwise_server.eval_sets import OWNER, EvalSets
from rungwise_server.evals import Example, example_id
from rungwise_server.keeping import KeptQuery
from rungwise_server.records import Inference, LogQuery
from rungwise_server.testing.scratch import scratch
from rungwise_server.testing.upstream import FakeUpstream
from rungwise_server.testing.upstream_wire import Reply, last_user
from rungwise_server.types import Caller, Message, Usage

SIZE = 60
QUALITY = {"strong": 0.95, "fair": 0.9, "bad": 0.2}
PRICES = {"strong": 10.0, "fair": 1.0, "bad": 20.0}
USAGE = Usage(input_tokens=20, output_tokens=250)
"""As many as are reckoned with before anything is known: an answer costs a thousandth of its model's price."""


def _luck(*parts: str) -> float:
    return int(hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8], 16) / 2**32


class Provider:
    """Models of known quality. Odd questions ask for a unit, which `fair` gives only where its prompt says so."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.proposals = 0

    def __call__(self, seen: object) -> Reply:
        body = seen.json  # type: ignore[attr-defined]
        model, question = body["model"], last_user(body)
        if "You improve the instructions" in question:
            self.proposals += 1
            rule = "Always name the unit." if self.proposals > 1 else "Be friendly."
            return Reply(text=f"<prompt>Answer. {rule}</prompt>", usage=USAGE)
        self.asked[model, question] += 1
        number = re.findall(r"\d+", question)[-1]
        right = _luck(number) < QUALITY[model]
        system = next((m["content"] for m in body["messages"] if m["role"] == "system"), "")
        if "unit" in question and "unit" not in system:
            right = False
        return Reply(text=f"It is {number} units." if right else "It is nothing.", usage=USAGE)


@pytest.fixture
def provider(upstream: FakeUpstream) -> Provider:
    found = Provider()
    upstream.script = found
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as path:
        yield path


def _write(folder: Path, url: str, candidates: str = "strong, fair, bad") -> Path:
    (folder / "prompts").mkdir(exist_ok=True)
    (folder / "prompts" / "plain.md").write_text("Answer.\n")
    models = "".join(
        f"  {name}: {{kind: openai_compatible, url: {url}, model: {name}, price: {{input: 0, output: {4 * price}}}}}\n"
        for name, price in PRICES.items()
    )
    workload = f"  support:\n    candidates: [{candidates}]\n    prompt: plain # ours\n"
    (folder / "rungwise.yaml").write_text(f"candidates:\n{models}workloads:\n{workload}")
    return folder / "rungwise.yaml"


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[House]:
    settings = load_settings(folder / "rungwise.yaml", {"RUNGWISE_HOME": str(folder / "home")})
    house = await open_house(settings, {}, role="test")
    try:
        yield house
    finally:
        await house.close()


def _example(number: int, *, unit: bool = False) -> Example:
    text = f"What is {'the unit of ' if unit else ''}number {number}?"
    messages = (Message("user", text, Raw(msgspec.json.encode({"role": "user", "content": text}))),)
    wanted = f"{number} units" if unit else str(number)
    return Example(
        example_id(messages, Caller(), {}), messages, Caller(), "hand", reference=wanted, topic=f"t{number % 3}"
    )


async def _prepared(
    house: House,
    grid: Grid,
    *,
    size: int = SIZE,
    max_cost: float | None = None,
    proposals: int = 0,
    metric: str = "",
    units: bool = False,
) -> tuple[Tools, Task]:
    sets = EvalSets(house.kept)
    draft = await sets.draft("support", "support")
    await sets.add(draft, [_example(100 + n, unit=units and n % 2 == 1) for n in range(size)])
    frozen = await sets.freeze(draft)
    seen = Seen(house.log)
    log = Noted(seen)
    judges = open_judges(house.settings, house.embedder, log, client=house.client, environ={})
    tools = Tools(
        house.settings,
        house.index,
        house.embedder,
        house.client,
        log,
        seen,
        (judges[metric],) if metric in judges else (),
    )
    variants = expand(grid, house.settings, "support")
    rewriting = rewriting_of(house.settings, variants, proposals, "strong") if proposals else None
    task = Task(
        workload="support",
        set=frozen,
        examples=tuple(await sets.examples(frozen)),
        grid=grid,
        metric=metric,
        rewriting=rewriting,
        bounds=Bounds(8, max_cost, patience=1.0),
    )
    return tools, task


async def _swept(house: House, grid: Grid, **options: object) -> tuple[Sweep, Setting]:
    tools, task = await _prepared(house, grid, **options)  # type: ignore[arg-type]
    found = await run(tools, await prepare(tools, task), Silent())
    await house.log.flush()
    return found


GRID = Grid(candidates=("strong", "fair", "bad"))


async def test_the_cheapest_that_is_as_good_is_named_and_the_bad_are_spared(
    upstream: FakeUpstream, provider: Provider, folder: Path
) -> None:
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        found, chosen = await _swept(house, GRID)
        await keep(house.kept, found)
        rows = [row async for row in house.log.read(LogQuery(kind="inference", own=True))]
        kept = await house.kept.list(KeptQuery("sweep", OWNER))
    assert (found.best, found.cheapest) == ("strong (today)", "fair")
    assert chosen.workload.candidates == ("fair", "strong", "bad")
    assert found.metric == "right"
    bad = found.of("bad")
    assert bad.dropped_for
    assert bad.quality is not None
    assert bad.quality.count < SIZE
    assert sum(n for (model, _), n in provider.asked.items() if model == "bad") == bad.quality.count
    assert found.answers == sum(provider.asked.values()) < found.full == 3 * SIZE
    assert found.cost == pytest.approx(sum(PRICES[model] * n / 1000 for (model, _), n in provider.asked.items()))
    assert found.of("fair").cost_per_1000 == pytest.approx(1.0)
    assert all(isinstance(row, Inference) and (row.workload, row.surface) == ("support", "eval") for row in rows)
    assert len(rows) == found.answers
    assert msgspec.json.decode(kept[0].body, type=Sweep) == found


async def test_what_the_log_has_is_not_asked_again(upstream: FakeUpstream, provider: Provider, folder: Path) -> None:
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        first, _ = await _swept(house, GRID, size=20)
        asked = sum(provider.asked.values())
        again, _ = await _swept(house, GRID, size=20)
        # The same prompt under another axis is the same call.
        other, _ = await _swept(house, Grid(candidates=("fair",), prompts=("plain",)), size=20)
    assert sum(provider.asked.values()) == asked
    assert again.cost == other.cost == 0.0
    assert [tried.quality for tried in again.settings] == [tried.quality for tried in first.settings]


async def test_a_cap_stops_it_and_more_money_goes_on(upstream: FakeUpstream, provider: Provider, folder: Path) -> None:
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        capped, _ = await _swept(house, GRID, size=30, max_cost=0.3)
        asked = Counter(provider.asked)
        whole, _ = await _swept(house, GRID, size=30, max_cost=50.0)
    assert capped.stopped.startswith("the next answers might have cost more than --max-cost.")
    assert 0 < capped.cost <= 0.3
    assert not whole.stopped
    assert max(provider.asked.values()) == 1
    assert not asked - provider.asked


async def test_money_is_told_before_it_is_spent(upstream: FakeUpstream, provider: Provider, folder: Path) -> None:
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        tools, task = await _prepared(house, GRID, size=20)
        prepared = await prepare(tools, task)
        assert not provider.asked
        assert prepared.answers == 60
        assert prepared.cost > 0
        assert not prepared.unpriced
        with_rewriting = await prepare(tools, (await _prepared(house, GRID, size=20, proposals=3))[1])
    assert len(with_rewriting.training) == len(with_rewriting.examples) == 10
    assert with_rewriting.answers == 30 + 10 * 4 + 3 + 30, "the grid, each prompt, who proposes, the new settings"


async def test_a_rewritten_prompt_is_held_against_examples_that_nobody_saw(
    upstream: FakeUpstream, provider: Provider, folder: Path
) -> None:
    _write(folder, upstream.url, candidates="fair, strong")
    async with _opened(folder) as house:
        found, chosen = await _swept(house, Grid(), size=80, proposals=3, units=True)
        proposed = [row async for row in house.log.read(LogQuery(kind="inference", own=True, workload="sweep:support"))]
    gain = found.gain
    assert gain is not None
    assert gain.text == "Answer. Always name the unit."
    assert gain.kept == 1
    assert gain.held_out is not None
    assert gain.held_out.count <= 40 == gain.training_examples
    assert gain.proven
    assert gain.held_out.estimate > 0.3
    assert gain.training is not None
    assert gain.training > 0.3
    assert chosen.prompt is not None
    assert chosen.prompt.id == gain.prompt
    assert len(proposed) == provider.proposals
    assert found.examples == 40


async def test_a_model_that_judges_is_paid_too(upstream: FakeUpstream, folder: Path) -> None:
    def script(seen: object) -> Reply:
        body = seen.json  # type: ignore[attr-defined]
        if "response_format" in body:
            return Reply(text='{"reason": "It says it all.", "grade": "pass"}', usage=USAGE)
        return Reply(text="It is 7.", usage=USAGE)

    upstream.script = script
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        found, _ = await _swept(house, Grid(candidates=("fair",)), size=8, metric="correct")
        verdicts = [r async for r in house.log.read(LogQuery(kind="inference", own=True, workload="judge:correct"))]
    assert found.metric == "correct"
    assert found.cost == pytest.approx(
        8 * (10 + 1) / 1000 + sum(v.cost or 0 for v in verdicts if isinstance(v, Inference))
    )
    assert len(verdicts) >= 16
    assert all(tried.quality is not None for tried in found.settings)


async def test_a_model_that_is_away_ends_it_with_what_to_do(upstream: FakeUpstream, folder: Path) -> None:
    upstream.script = Reply(status=500, error="overloaded")
    _write(folder, upstream.url)
    async with _opened(folder) as house:
        with pytest.raises(BadRequest, match="nothing to tell yet"):
            await _swept(house, GRID, size=10)


@pytest.mark.timeout(120)
async def test_killed_it_goes_on(upstream: FakeUpstream, provider: Provider, folder: Path) -> None:
    """kill -9 in the midst of it; nothing that was answered is asked again, but for what was on its way."""
    file = _write(folder, upstream.url)
    async with _opened(folder) as house:
        await _prepared(house, GRID, size=24)
    slow = provider

    def script(seen: object) -> Reply:
        return msgspec.structs.replace(slow(seen), hang=0.05)

    upstream.script = script
    command = [sys.executable, "-m", "rungwise_pipelines", "--config", str(file), "sweep", "support", "--yes", "--json"]
    command += ["--axis", "candidate=strong,fair,bad", "--concurrency", "2"]
    environ = {**os.environ, "RUNGWISE_HOME": str(folder / "home")}
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while sum(provider.asked.values()) < 20 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    before = Counter(provider.asked)
    again = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    told = json.loads(again.stdout)
    twice = sum(n - 1 for n in provider.asked.values())
    assert sum(before.values()) >= 20
    # Two at once of each of three candidates may have been on their way, or answered and not yet on the disk.
    assert twice <= 12
    assert told["answers"] == len(provider.asked)
    assert not told["stopped"]
