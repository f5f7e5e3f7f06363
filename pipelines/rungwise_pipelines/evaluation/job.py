"""`rungwise eval run`, without its command line: what is to be done, what that will take, and doing it."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from rungwise_pipelines.evaluation.cells import Known, Wanted, identities, known, wanted
from rungwise_pipelines.evaluation.estimate import Estimate, estimate
from rungwise_pipelines.evaluation.freezing import freeze_untrained
from rungwise_pipelines.evaluation.noted import Noted
from rungwise_pipelines.evaluation.run import Bounds, Evaluation, Outcome, Progress
from rungwise_server.engine import Engine
from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalRun, EvalSet, Example
from rungwise_server.protocols import Judge
from rungwise_server.types import Price, new_id

if TYPE_CHECKING:
    from rungwise_server.bootstrap import House
    from rungwise_server.config.settings import Settings

NOBODY = "none"
"""As the only judge: no judge at all."""


class Order(Struct, frozen=True, kw_only=True):
    """What is wanted. `set` is a name or `name@v3`, empty for the workload's own; without candidates all of the
    workload's, without judges and rubric all that the configuration has.
    """

    workload: str
    set: str = ""
    candidates: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    rubric: str = ""
    concurrency: int = 16
    max_cost: float | None = None


class Prepared(Struct, frozen=True):
    """A run before anything is asked."""

    order: Order
    set: EvalSet
    froze: bool
    """Whether the set was a draft until now."""
    examples: tuple[Example, ...]
    candidates: tuple[str, ...]
    wanted: tuple[Wanted, ...]
    known: Mapping[str, Known]
    judges: tuple[Judge, ...]
    estimate: Estimate
    engine: Engine
    log: Noted


async def prepare(house: "House", order: Order) -> Prepared:
    """Freeze the set where it is a draft, and find what is in the log already. Nothing is asked.

    Raises:
        NotFound: the workload, the set, a candidate or a judge; the message says what there is.
        BadRequest: the set is of another workload, or empty; or a judge is of pairs.
        Conflict: the set is a draft, and some of it was trained on.
    """
    from rungwise_server.bootstrap import build_engine, open_judges

    settings = house.settings
    if order.workload not in settings.workloads:
        named = ", ".join(settings.workloads)
        raise NotFound(f"There is no workload {order.workload!r}. There are: {named}.", param="workload")
    names = tuple(dict.fromkeys(order.candidates or settings.workloads[order.workload].candidates))
    made_of = identities(settings, order.workload, names)
    log = Noted(house.log)
    engine = build_engine(settings, house.index, house.embedder, log, client=house.client, environ=os.environ)
    there = open_judges(settings, house.embedder, log, client=house.client, environ=os.environ)
    judges = _chosen(order, there, settings)
    of, froze = await _frozen(EvalSets(house.kept), order, settings.home)
    examples = tuple(await EvalSets(house.kept).examples(of))
    cells = await wanted(engine, order.workload, examples, made_of)
    await house.log.flush()
    had = await known(log, cells)
    prices = _prices(settings, engine)
    graders = _judges_prices(judges, settings, prices)
    expected = await estimate(engine, log, order.workload, cells, had, prices, graders, order.concurrency)
    return Prepared(order, of, froze, examples, names, tuple(cells), had, judges, expected, engine, log)


async def carry_out(
    house: "House", prepared: Prepared, told: Callable[[Progress], None] = lambda _: None
) -> tuple[EvalRun, Outcome]:
    """Ask, measure, judge, and keep the run. One that says what the newest says already is that one.

    Raises:
        SetupError: a person must mend something before it can go on; what was done is in the log.
    """
    from rungwise_server.judging.groundedness import Groundedness

    order, expected = prepared.order, prepared.estimate
    bounds = Bounds(
        order.concurrency,
        order.max_cost,
        {one.candidate: one.each for one in expected.candidates},
        {judge.judge: judge.each or 0.0 for judge in expected.judges},
        _hosted(house.settings),
    )
    evaluation = Evaluation(
        prepared.engine,
        prepared.log,
        prepared.judges,
        Groundedness(house.embedder),
        prepared.known,
        bounds,
        told,
    )
    outcome = await evaluation.run(prepared.wanted)
    await house.log.flush()
    run = EvalRun(
        new_id("run"),
        prepared.set.id,
        prepared.set.hash,
        order.workload,
        time.time(),
        prepared.candidates,
        outcome.cells,
        tuple(f"{judge.name}@{judge.hash}" for judge in prepared.judges),
        outcome.seconds,
    )
    sets = EvalSets(house.kept)
    newest = next(iter(await sets.runs(prepared.set.name)), None)
    if newest is not None and _says(newest) == _says(run):
        return newest, outcome
    if run.cells:
        await sets.add_run(run)
    return run, outcome


async def find_run(sets: EvalSets, name: str, id: str = "") -> tuple[EvalRun, EvalSet, Sequence[Example]]:
    """A run of the eval set `name` (or of one version, `name@v3`), the newest without an `id`; and what it was on.

    Raises:
        NotFound: with what there is.
    """
    bare, at, _ = name.partition("@")
    runs = [run for run in await sets.runs(bare) if not at or run.set_id == name]
    if not runs:
        await sets.get(name)  # says what sets there are
        raise NotFound(f"Nothing has run on {name!r} yet: `rungwise eval run` does.", param="run")
    run = next((run for run in runs if id in ("", run.id)), None)
    if run is None:
        there = ", ".join(run.id for run in runs[:10])
        raise NotFound(f"There is no run {id!r} of {name!r}. The newest are: {there}.", param="run")
    of = await sets.get(run.set_id)
    return run, of, await sets.examples(of)


async def _frozen(sets: EvalSets, order: Order, home: Path) -> tuple[EvalSet, bool]:
    name = order.set or order.workload
    of = await sets.get(name)
    if "@" not in name:
        of = next((one for one in await sets.list() if one.name == name and not one.frozen_at and one.size), of)
    if of.workload != order.workload:
        raise BadRequest(
            f"{of.id} is an eval set of the workload {of.workload!r}, not of {order.workload!r}.", param="set"
        )
    if of.frozen_at:
        return of, False
    frozen = await freeze_untrained(sets, of, home)
    return frozen, frozen.id == of.id


def _chosen(order: Order, there: Mapping[str, Judge], settings: "Settings") -> tuple[Judge, ...]:
    from rungwise_server.bootstrap.judges import judge_settings, of_pairs

    if order.judges == (NOBODY,):
        return ()
    pairs = {name for name, chosen in judge_settings(settings).items() if chosen.kind == "pair"}
    names = order.judges or tuple(name for name in (there if order.rubric else settings.judges) if name not in pairs)
    for name in names:
        if name in pairs:
            raise of_pairs(name)
        if name not in there:
            raise NotFound(f"There is no judge {name!r}. There are: {', '.join(there)}.", param="judges")
    chosen = tuple(there[name] for name in names if order.rubric in ("", there[name].rubric))
    if not chosen and order.rubric:
        rubrics = ", ".join(sorted({judge.rubric for judge in there.values()}))
        raise NotFound(f"No judge grades {order.rubric!r}. Rubrics: {rubrics}.", param="rubric")
    return chosen


def _hosted(settings: "Settings") -> frozenset[str]:
    return frozenset(name for name, candidate in settings.candidates.items() if candidate.hosting is not None)


def _prices(settings: "Settings", engine: Engine) -> dict[str, Price | None]:
    """Of candidates. Own hardware costs the same whether it is asked or not."""
    own = _hosted(settings)
    return {name: one.price or (Price() if name in own else None) for name, one in engine.candidates.items()}


def _judges_prices(
    judges: Sequence[Judge], settings: "Settings", prices: Mapping[str, Price | None]
) -> dict[str, Price | None]:
    from rungwise_server.bootstrap.judges import judge_settings

    configured = judge_settings(settings)
    asks = {judge.name: configured[judge.name].candidate for judge in judges if judge.name in configured}
    return {judge.name: prices[asks[judge.name]] if asks.get(judge.name) else Price() for judge in judges}


def _says(run: EvalRun) -> object:
    return run.set_hash, run.candidates, run.cells, run.judges
