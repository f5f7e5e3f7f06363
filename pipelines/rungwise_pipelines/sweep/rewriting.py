"""Prompt rewriting as an axis of a sweep: answers and grades of the training half, and the model that proposes."""

import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rungwise_pipelines.evaluation.cells import Wanted, identities, known, tokens_of
from rungwise_pipelines.evaluation.metrics import answer_of
from rungwise_pipelines.evaluation.run import Bounds, End, Evaluation, Progress, grade_id
from rungwise_pipelines.progress import Shown
from rungwise_pipelines.sweep.grid import Setting
from rungwise_pipelines.sweep.rewrite import FEW, Graded, Rewritten, rewrite
from rungwise_pipelines.sweep.sheet import Sheet, Tools
from rungwise_server.bootstrap import build_engine
from rungwise_server.bootstrap.models import price_of
from rungwise_server.config.settings import Settings, WorkloadSettings
from rungwise_server.engine import Engine, Workload
from rungwise_server.errors import BadRequest, UpstreamError
from rungwise_server.evals import Example, example_id
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import Prompt, load_prompt, text_message
from rungwise_server.records import Grade, LogQuery
from rungwise_server.routing.rules import Pinned
from rungwise_server.types import Caller, Price, Usage

WRITTEN = 800
"""Tokens of a proposal, about."""
_SHOWN_TOKENS = 2000


class Rewriting(Struct, frozen=True):
    """What is asked for: at most `proposals` new prompts in place of `base`, which `setting` answers with, one after
    another, by the candidate `proposer`.
    """

    setting: Setting
    base: Prompt
    proposer: str
    proposals: int


class Written(Struct, frozen=True):
    """What came of it; `found` is None where it was stopped."""

    found: Rewritten | None
    end: End


class _Stopped(Exception):
    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end


def rewriting_of(settings: Settings, variants: Sequence[Setting], proposals: int, proposer: str) -> Rewriting:
    """The prompt of the first of `variants` that a model answers alone.

    Proposes: `proposer`, else the dearest candidate that writes: writing prompts is hard, and seldom asked for.

    Raises:
        BadRequest: no candidate writes, or `proposer` does not.
    """
    able = [name for name in settings.candidates if _writes(settings, name)]
    if proposer and proposer not in able:
        raise BadRequest(f"{proposer!r} is no candidate that writes. There are: {', '.join(able) or 'none'}.")
    for variant in variants:
        if not variant.workload.route.rules and _writes(settings, variant.workload.candidates[0]):
            base = variant.prompt or _prompt_of(settings, variant.workload)
            return Rewriting(variant, base, proposer or _dearest(settings, able), proposals)
    raise BadRequest("No candidate of the grid writes, so there is no prompt to rewrite: leave --optimise-prompt out.")


def cost_of(price: Price | None, training: int) -> float:
    """About what a proposal costs: what it is shown are a few failures, each with its passages."""
    return price.of(Usage(FEW * _SHOWN_TOKENS if training else 0, WRITTEN)) if price else 0.0


def _dearest(settings: Settings, names: Sequence[str]) -> str:
    prices = Prices()

    def dearness(name: str) -> float:
        price = price_of(settings.candidates[name], prices)
        return price.output if price else -1.0

    return max(names, key=dearness)


async def run(
    tools: Tools,
    workload: str,
    asked: Rewriting,
    training: Sequence[Example],
    metric: str,
    bounds: Bounds,
    shown: Shown,
    seed: int,
) -> Written:
    """Rewrite on `training`. Raises SetupError."""
    said = await _said_by_people(tools, workload, training)
    shown.begin("answers", None, label="rewriting the prompt")
    before = 0

    def told(progress: Progress) -> None:
        shown.advance(before + progress.done, f"{tools.log.spent:,.4f} spent")

    async def trial(prompt: Prompt, examples: Sequence[Example]) -> Mapping[str, Graded]:
        nonlocal before
        sheet = await Sheet.open(tools, workload, [replace(asked.setting, prompt=prompt)], examples)
        end = await sheet.fill([0], range(len(examples)), bounds, told)
        before += len(examples)
        if end != "done":
            raise _Stopped(end)
        return await _graded(tools, sheet, examples, metric, said)

    async def ask(text: str) -> str:
        return await _propose(tools, workload, asked.proposer, text, bounds)

    try:
        found = await rewrite(workload, asked.base, training, trial, ask, proposals=asked.proposals, seed=seed)
    except _Stopped as stopped:
        return Written(None, stopped.end)
    finally:
        shown.end()
    return Written(found, "done")


def _prompt_of(settings: Settings, workload: WorkloadSettings) -> Prompt:
    """The one that the first candidate answers with."""
    name = settings.candidates[workload.candidates[0]].prompt or workload.prompt
    name = name or ("grounded" if workload.collections else "")
    return load_prompt(name, settings.base / "prompts") if name else Prompt("none", "Answer the question.")


def _writes(settings: Settings, candidate: str) -> bool:
    return settings.candidates[candidate].kind != "extractive"


async def _graded(
    tools: Tools, sheet: Sheet, examples: Sequence[Example], metric: str, said: Mapping[str, str]
) -> Mapping[str, Graded]:
    found = {}
    for number, example in enumerate(examples):
        cell, answer = sheet.cell(0, number), sheet.answer(0, number)
        if cell is None or answer is None or cell.outcome != "ok":
            continue
        value = cell.metrics.get(metric)
        judged = [await _reason(tools, grade_id(judge, answer.id, example.id)) for judge in tools.judges]
        measured = ", ".join(f"{name} {share:.2f}" for name, share in cell.metrics.items() if share < 1)
        reason = " ".join(filter(None, (*judged, measured and f"Measured: {measured}.", said.get(example.id, ""))))
        found[example.id] = Graded(value, answer_of(answer), answer.passages, reason)
    return found


async def _reason(tools: Tools, id: str) -> str:
    """Why a judge graded so: just now, or in an earlier run."""
    if id in tools.seen.reasons:
        return tools.seen.reasons[id]
    async for grade in tools.log.read(LogQuery(kind="grade", ids=frozenset([id]), own=True)):
        assert isinstance(grade, Grade)
        return grade.reason
    return ""


async def _said_by_people(tools: Tools, workload: str, training: Sequence[Example]) -> Mapping[str, str]:
    """What people wrote beside a bad grade of some earlier answer to the same example, the last of each."""
    ids = {example.id for example in training}
    said: dict[str, str] = {}
    async for grade in tools.log.read(LogQuery(kind="grade", workload=workload, own=True)):
        assert isinstance(grade, Grade)
        if not grade.judge and grade.example in ids and grade.reason and (grade.value or 0.0) < 1:
            said[grade.example] = f"A person said of an earlier answer: {grade.reason}"
    return said


async def _propose(tools: Tools, workload: str, name: str, text: str, bounds: Bounds) -> str:
    """The proposing model's words, asked once for one text, under `sweep:WORKLOAD` in the log."""
    settings = tools.settings.model_copy(update={"workloads": {"bare": WorkloadSettings(candidates=(name,))}})
    built = build_engine(settings, tools.index, tools.embedder, tools.log, client=tools.client)
    bare = replace(built.candidates[name], prompt=None)
    router = Pinned(name, "it proposes prompts")
    engine = Engine({}, {name: bare}, {name: (router, Workload(f"sweep:{workload}", router, (name,)))}, tools.log)
    messages = (text_message("user", text),)
    example = Example(example_id(messages, Caller(), {}), messages, Caller(), "hand")
    made_of = identities(settings, "bare", [name])[name]
    id = f"eval-{hashlib.sha256(f'{made_of} {example.id}'.encode()).hexdigest()[:24]}"
    cell = Wanted(example, name, name, id, tokens_of(text))
    price = bare.price
    costs = {name: price.of(Usage(cell.tokens, WRITTEN)) if price else 0.0}
    there = await known(tools.log, [cell])
    evaluation = Evaluation(
        engine,
        tools.log,
        (),
        Groundedness(tools.embedder),
        there,
        replace(bounds, concurrency=1, costs=costs),
    )
    outcome = await evaluation.run([cell])
    if outcome.end != "done":
        raise _Stopped(outcome.end)
    answer = there[id].answer or (tools.seen.answers.get(outcome.cells[0].inference_id) if outcome.cells else None)
    if answer is None or answer.outcome != "ok":
        why = outcome.failures[0].why if outcome.failures else "it did not answer"
        raise UpstreamError(f"{name!r} was to propose a prompt: {why}")
    return answer_of(answer)
