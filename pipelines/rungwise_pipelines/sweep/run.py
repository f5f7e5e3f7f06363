"""A sweep from its first question to its verdict: `prepare` says what it would take, `run` does it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Raw, Struct
from msgspec.structs import replace

from rungwise_pipelines.evaluation.compare import difference_of
from rungwise_pipelines.evaluation.metrics import headline
from rungwise_pipelines.evaluation.run import Bounds, End, Progress
from rungwise_pipelines.progress import Shown
from rungwise_pipelines.sweep import rewriting
from rungwise_pipelines.sweep.grid import Grid, Setting, expand
from rungwise_pipelines.sweep.race import FIRST, Race, order, rounds
from rungwise_pipelines.sweep.result import Gain, Sweep, tried_of
from rungwise_pipelines.sweep.rewriting import Rewriting, Written
from rungwise_pipelines.sweep.sheet import Sheet, Tools
from rungwise_server.errors import BadRequest
from rungwise_server.eval_sets import OWNER
from rungwise_server.evals import EvalSet, Example
from rungwise_server.keeping import Kept, KeptStore
from rungwise_server.prompt import Prompt
from rungwise_server.types import new_id

_WHY: dict[End, str] = {
    "done": "",
    "budget": "the next answers might have cost more than --max-cost.",
    "unpriced": "the price of a candidate is not known, so that --max-cost cannot be kept.",
    "upstream": "a model stayed away.",
}
_AGAIN = "Run the same command again to go on: what is answered is not asked for again."


class Task(Struct, frozen=True):
    """What is to be swept. `metric` empty: the first that programs can tell of the examples."""

    workload: str
    set: EvalSet
    examples: tuple[Example, ...]
    grid: Grid
    metric: str = ""
    rewriting: Rewriting | None = None
    bounds: Bounds = Bounds()
    level: float = 0.95
    seed: int = 0


class Prepared(Struct, frozen=True):
    """A task with what it would take at most: nobody knows yet how many settings will leave the race early."""

    task: Task
    variants: tuple[Setting, ...]
    training: tuple[Example, ...]
    examples: tuple[Example, ...]
    """In the order in which they are answered."""
    sheet: Sheet
    sizes: tuple[int, ...]
    answers: int
    """Calls that the log does not have yet, the whole grid through."""
    cost: float
    seconds: float
    unpriced: tuple[str, ...]
    """Who has work to do at a price that is not known."""


async def prepare(tools: Tools, task: Task) -> Prepared:
    """Split, expand, retrieve, reckon. Nothing is asked yet.

    Raises:
        BadRequest: there are too few examples.
    """
    strata = [f"{example.synthetic} {example.topic}" for example in task.examples]
    examples = [task.examples[i] for i in order(strata, task.seed)]
    training: list[Example] = []
    if task.rewriting is not None:
        # Every second one of a stratified order: the halves are alike.
        training, examples = examples[::2], examples[1::2]
    if not examples:
        raise BadRequest(f"{task.set.id} has {len(task.examples)} examples: too few to sweep on. Add some first.")
    variants = expand(task.grid, tools.settings, task.workload)
    sheet = await Sheet.open(tools, task.workload, variants, examples)
    parts = await sheet.expected(task.bounds.concurrency)
    costs = {expected.candidate: expected.each for part in parts for expected in part.candidates}
    judging = {judge.judge: judge.each or 0.0 for part in parts for judge in part.judges}
    cost, seconds, answers = sum(part.cost for part in parts), sum(part.seconds for part in parts), sheet.calls
    if task.rewriting is not None:
        more_answers, more_cost = _rewriting(task, task.rewriting, tools, sheet, len(training), len(examples), costs)
        answers, cost = answers + more_answers, cost + more_cost
    return Prepared(
        replace(task, bounds=replace(task.bounds, costs=costs, judging=judging, hosted=sheet.hosted)),
        tuple(variants),
        tuple(training),
        tuple(examples),
        sheet,
        tuple(rounds(len(examples))),
        answers,
        cost,
        seconds,
        tuple(dict.fromkeys(name for part in parts for name in part.unpriced)),
    )


def _rewriting(
    task: Task, asked: Rewriting, tools: Tools, sheet: Sheet, training: int, held_out: int, costs: Mapping[str, float]
) -> tuple[int, float]:
    """Answers that it takes at most, and their cost: the base and each proposal on all of the training half, who
    proposes, and the settings that the best proposal adds.
    """
    new = Prompt("", "")
    added = [v for v in expand(task.grid, tools.settings, task.workload, [new]) if v.prompt == new]
    names = [asked.setting.workload.candidates[0]] * training * (1 + asked.proposals)
    names += [variant.workload.candidates[0] for variant in added] * held_out
    proposing = asked.proposals * rewriting.cost_of(sheet.price(asked.proposer), training)
    return len(names) + asked.proposals, sum(costs.get(name, 0.0) for name in names) + proposing


async def run(tools: Tools, prepared: Prepared, shown: Shown) -> tuple[Sweep, Setting]:
    """Rewrite the prompt if that is asked for, then race the grid. With it the setting to take, whose change of the
    configuration the caller can make.

    Raises:
        BadRequest: the examples say nothing under the metric.
        SetupError: a person must mend something before it can go on; what was done is in the log.
    """
    began, task, sheet = time.monotonic(), prepared.task, prepared.sheet
    variants = prepared.variants
    end: End = "done"
    metric = task.metric or await _headline(prepared)
    written: Written | None = None
    if task.rewriting is not None:
        written = await rewriting.run(
            tools, task.workload, task.rewriting, prepared.training, metric, task.bounds, shown, task.seed
        )
        end = written.end
        if written.found is not None and written.found.kept:
            variants = tuple(expand(task.grid, tools.settings, task.workload, [written.found.best]))
            sheet = await Sheet.open(tools, task.workload, variants, prepared.examples)
    weight = np.array([example.weight for example in prepared.examples])
    race = Race(len(variants), weight, task.level)
    if end == "done":
        end = await _race(race, sheet, variants, prepared, metric, shown)
    if not np.isfinite(race.values).any():
        raise _nothing(end, f"no answer could be measured by {metric!r}.", sheet)
    choice = race.choice()
    numbers = range(len(prepared.examples))
    cells = [[cell for n in numbers if (cell := sheet.cell(i, n)) is not None] for i in range(len(variants))]
    found = Sweep(
        id=new_id("sweep"),
        at=time.time(),
        workload=task.workload,
        set_id=task.set.id,
        set_hash=task.set.hash,
        metric=metric,
        level=task.level,
        seed=task.seed,
        settings=tried_of(
            race,
            variants,
            [[cell.total_ms for cell in row if cell.outcome == "ok"] for row in cells],
            [sum(cell.outcome != "ok" for cell in row) for row in cells],
        ),
        sizes=prepared.sizes,
        examples=len(prepared.examples),
        synthetic=sum(example.synthetic for example in prepared.examples),
        best=variants[choice.best].name,
        cheapest=variants[choice.cheapest].name,
        worse_by=choice.worse_by,
        needed=choice.needed,
        cost=tools.log.spent,
        answers=sum(map(len, cells)),
        full=len(variants) * len(prepared.examples),
        seconds=time.monotonic() - began,
        stopped=f"{_WHY[end]} {_AGAIN}" if end != "done" else "",
        trouble=sheet.failures[0].why if sheet.failures else "",
        gain=_gain(task, written, variants, race) if written is not None else None,
    )
    return found, variants[choice.cheapest]


async def keep(kept: KeptStore, sweep: Sweep) -> None:
    """Keep a sweep, for the page and for later. Raises Unavailable."""
    await kept.add(Kept(sweep.id, "sweep", OWNER, sweep.at, Raw(msgspec.json.encode(sweep)), sweep.workload))


async def _race(
    race: Race, sheet: Sheet, variants: Sequence[Setting], prepared: Prepared, metric: str, shown: Shown
) -> End:
    """Round after round, until all examples are answered or it must stop."""
    sizes, bounds = prepared.sizes, prepared.task.bounds
    end: End = "done"
    for number, size in enumerate(sizes, 1):
        alive = race.alive
        shown.begin("answers", sheet.missing(alive, range(size)), label=f"round {number} of {len(sizes)}")

        def told(progress: Progress, left: int = len(alive)) -> None:
            settings = f"{left} settings" if left > 1 else "1 setting"
            if progress.part != "answers":
                settings = f"{progress.part} {progress.done} of {progress.total}, {settings}"
            trouble = f", retrying: {progress.trouble[:100]}" if progress.trouble else ""
            done = progress.done if progress.part == "answers" else progress.total
            shown.advance(done, f"{settings}, {progress.spent:,.4f} spent{trouble}")

        # What answers have cost is known better than what was reckoned.
        held = replace(bounds, costs={**bounds.costs, **sheet.spent_each()})
        end = await sheet.fill(alive, range(size), held, told)
        shown.end()
        for i in alive:
            hourly = sheet.hourly(i)
            for n in range(size):
                cell = sheet.cell(i, n)
                if cell is not None and cell.outcome == "ok":
                    race.values[i, n] = cell.metrics.get(metric, np.nan)
                    cost = cell.cost if cell.cost is not None else hourly
                    race.costs[i, n] = np.nan if cost is None else cost
        race.look()
        if end != "done":
            break
    return end


async def _headline(prepared: Prepared) -> str:
    """By which metric of programs: answers of today's setting to the first examples tell. Raises BadRequest."""
    sheet = prepared.sheet
    some = range(min(FIRST, len(prepared.examples)))
    end = await sheet.fill([0], some, prepared.task.bounds, lambda _: None)
    cells = [cell for n in some if (cell := sheet.cell(0, n)) is not None and cell.outcome == "ok"]
    told = Counter(name for cell in cells for name in cell.metrics)
    if not cells:
        raise _nothing(end, "no question was answered.", sheet)
    if found := headline(told, [judge.name for judge in sheet.judges], len(cells)):
        return found
    raise BadRequest(
        "No program can tell whether these examples are answered well: they have no references. Write some with "
        "`rungwise eval grade`, or name a judge: --metric correct.",
        param="metric",
    )


def _gain(task: Task, written: Written, variants: Sequence[Setting], race: Race) -> Gain | None:
    """The rewritten prompt beside the one that it was written from, all else alike, on held-out examples."""
    asked, found = task.rewriting, written.found
    if asked is None or found is None:
        return None
    base, held = asked.setting, None
    old = next((i for i, v in enumerate(variants) if (v.workload, v.prompt) == (base.workload, base.prompt)), None)
    new = next((i for i, v in enumerate(variants) if v.prompt == found.best and _alike(v, base)), None)
    if found.kept and old is not None and new is not None:
        gains = race.values[new] - race.values[old]
        both = np.isfinite(gains)
        held = difference_of(gains[both], race.weight[both], race.level) if both.any() else None
    return Gain(
        prompt=found.best.id,
        text=found.best.text,
        over=found.base.id,
        candidate=base.workload.candidates[0],
        proposals=found.proposals,
        kept=found.kept,
        refused=found.refused,
        training=found.training,
        training_examples=found.examples,
        held_out=held,
    )


def _nothing(end: End, why: str, sheet: Sheet) -> BadRequest:
    parts = ["There is nothing to tell yet:", _WHY[end] or why, *(failure.why for failure in sheet.failures[:1])]
    return BadRequest(" ".join([*parts, *([_AGAIN] if end != "done" else [])]))


def _alike(one: Setting, other: Setting) -> bool:
    """Whether they differ in nothing but the prompt."""
    return one.workload.model_copy(update={"prompt": ""}) == other.workload.model_copy(update={"prompt": ""})
