"""`rungwise sweep`, without its command line: from what is wanted to a task with all that it works with."""

from collections.abc import Mapping

from msgspec import Struct

from rungwise_pipelines.evaluation.freezing import freeze_untrained
from rungwise_pipelines.evaluation.metrics import ORDER
from rungwise_pipelines.evaluation.noted import Noted
from rungwise_pipelines.evaluation.run import Bounds
from rungwise_pipelines.judges.money import model_of
from rungwise_pipelines.sweep.grid import Grid, expand
from rungwise_pipelines.sweep.rewriting import rewriting_of
from rungwise_pipelines.sweep.run import Task
from rungwise_pipelines.sweep.seen import Seen
from rungwise_pipelines.sweep.sheet import Tools
from rungwise_server.bootstrap import House, judge_settings, of_pairs, open_judges
from rungwise_server.config.settings import Settings
from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.judging.trust import Trust
from rungwise_server.protocols import Judge


class Order(Struct, frozen=True, kw_only=True):
    """What is wanted. `set` is a name or `name@v3`; `metric` one of programs or a judge, empty for whichever tells
    something; `proposals` how often the prompt is rewritten, by `proposer` or, empty, by the dearest.
    """

    workload: str
    set: str
    grid: Grid
    metric: str = ""
    bounds: Bounds = Bounds()
    proposals: int = 0
    proposer: str = ""
    synthetic: bool = False
    """Whether examples that a model wrote come along where there are real ones."""
    level: float = 0.95
    seed: int = 0


async def ready(house: House, order: Order, environ: Mapping[str, str]) -> tuple[Tools, Task, str]:
    """With what to work, on what, and why the metric is to be doubted, if it is. A draft is frozen. Nothing is asked.

    Raises:
        NotFound: the set, the metric; the message says what there is.
        BadRequest: the set is another workload's; there is no prompt to rewrite.
    """
    settings, sets = house.settings, EvalSets(house.kept)
    of = await sets.get(order.set)
    if of.workload != order.workload:
        raise BadRequest(f"{of.id} is an eval set of {of.workload!r}, not of {order.workload!r}.", param="set")
    seen = Seen(house.log)
    log = Noted(seen)
    judges = open_judges(settings, house.embedder, log, client=house.client, environ=environ)
    judge = _judge(order.metric, judges, settings)
    rewriting = None
    if order.proposals:
        variants = expand(order.grid, settings, order.workload)
        rewriting = rewriting_of(settings, variants, order.proposals, order.proposer)
    if not of.frozen_at:
        of = await freeze_untrained(sets, of, settings.home)
    examples = tuple(await sets.examples(of))
    real = tuple(example for example in examples if not example.synthetic)
    task = Task(
        workload=order.workload,
        set=of,
        examples=examples if order.synthetic or not real else real,
        grid=order.grid,
        metric=order.metric,
        rewriting=rewriting,
        bounds=order.bounds,
        level=order.level,
        seed=order.seed,
    )
    await house.log.flush()
    tools = Tools(settings, house.index, house.embedder, house.client, log, seen, (judge,) if judge else ())
    return tools, task, await _caution(house, judge, order.workload) if judge else ""


def _judge(metric: str, judges: Mapping[str, Judge], settings: Settings) -> Judge | None:
    """The judge that the metric names; None where programs measure it anyway."""
    if not metric or (metric in ORDER and metric not in settings.judges):
        return None
    if (chosen := judge_settings(settings).get(metric)) and chosen.kind == "pair":
        raise of_pairs(metric)
    if metric not in judges:
        there = f"Metrics: {', '.join(ORDER)}. Judges: {', '.join(judges)}."
        raise NotFound(f"There is no metric or judge {metric!r}. {there}", param="metric")
    return judges[metric]


async def _caution(house: House, judge: Judge, workload: str) -> str:
    """Of a model that judges without a certificate."""
    if model_of(judge) is None:
        return ""
    standing = await Trust(house.kept, house.log, house.embedder).find(judge, workload)
    if standing.usable:
        return ""
    return (
        f"The judge {judge.name!r} decides this, and {standing.why}. `rungwise judge certify {judge.name} --eval "
        f"{workload}` says how far it agrees with people."
    )
