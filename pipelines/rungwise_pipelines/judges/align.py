"""Chooses a judge's rubric, examples and model from the few answers that people graded."""

import difflib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import yaml
from msgspec import Struct

from rungwise_pipelines.judges.answers import Answers, answered_of
from rungwise_pipelines.judges.ask import judge_all, known
from rungwise_pipelines.judges.choosing import By, Choice, choose
from rungwise_pipelines.judges.money import Estimate, estimate
from rungwise_pipelines.judges.room import Room
from rungwise_pipelines.judges.variants import Known, groups_of, known_of, shots_of, thresholds_of, variants_of
from rungwise_pipelines.progress import Shown
from rungwise_server.bootstrap import judge_settings
from rungwise_server.config.settings import JudgeSettings
from rungwise_server.errors import BadRequest, Unavailable
from rungwise_server.judging.judges.shown import Shot
from rungwise_server.protocols import Judge

FEWEST = 5
"""Graded answers below which nothing can be chosen."""

Floats = npt.NDArray[np.float64]


class Wanted(Struct, frozen=True):
    """What to choose among: names of prompts, numbers of examples, candidates; empty means what the judge has."""

    prompts: tuple[str, ...] = ()
    examples: tuple[int, ...] = ()
    candidates: tuple[str, ...] = ()
    by: By = "kappa"
    folds: int = 5
    level: float = 0.95


class Alignment(Struct, frozen=True):
    """The choice, what each variant is, and what the chosen one costs to ask."""

    name: str
    rubric: str
    eval_set: str
    graded: int
    variants: tuple[JudgeSettings, ...]
    costs: tuple[float | None, ...]
    """Money for 1,000 answers, by variant, as estimated."""
    choice: Choice
    shots: tuple[Shot, ...]
    """The chosen variant's examples."""
    notes: tuple[str, ...]

    @property
    def chosen(self) -> JudgeSettings:
        """The settings that agree best with people."""
        return self.variants[self.choice.best]

    @property
    def snippet(self) -> str:
        """The chosen judge for rungwise.yaml."""
        return _yaml(self.name, self.chosen)

    @property
    def diff(self) -> str:
        """From what the judge is now to what was chosen; empty where that is the same."""
        now, new = (_yaml(self.name, one).splitlines() for one in (self.variants[0], self.chosen))
        return "\n".join(difflib.unified_diff(now, new, "rungwise.yaml", "rungwise.yaml", n=20, lineterm=""))


class _Asking(Struct, frozen=True):
    """One judge to be asked about some of the graded answers, for one column of verdicts."""

    column: int
    judge: Judge
    rows: tuple[int, ...]


async def align(
    room: Room, name: str, answers: Answers, wanted: Wanted, shown: Shown, tell: Callable[[Estimate], None]
) -> Alignment:
    """The variant that agrees best with people. `tell` is told what it will cost before anything is asked, and may
    raise to stop it.

    Raises:
        BadRequest: too few grades, or nothing to choose among.
        RungwiseError: a model cannot be asked.
    """
    now = judge_settings(room.settings).get(name)
    if now is None:
        raise BadRequest(f"The judge {name!r} has no settings to choose.")
    graded = known_of(answers.things, answers.grades)
    human = np.array([one.human for one in graded])
    if len(graded) < FEWEST:
        raise BadRequest(
            f"People graded {len(graded)} answers of {answers.of.id} by the rubric {answers.rubric!r}; it takes at "
            f"least {FEWEST}. `rungwise eval grade {answers.of.workload} --set {answers.of.id} --rubric "
            f"{answers.rubric}` grades more."
        )
    if len(set(human >= 0.5)) < 2:
        word = "passed" if human[0] >= 0.5 else "failed"
        raise BadRequest(f"People {word} all {len(graded)} graded answers: what judges say of others cannot be told.")
    if now.kind == "prompt":
        return await _models(room, name, now, answers, graded, wanted, shown, tell)
    if now.kind not in ("f1", "groundedness"):
        raise BadRequest(f"The judge {name!r} ({now.kind}) says pass or fail by itself: there is nothing to choose.")
    return await _thresholds(room, name, now, answers, graded, wanted, shown)


async def _models(
    room: Room,
    name: str,
    now: JudgeSettings,
    answers: Answers,
    graded: Sequence[Known],
    wanted: Wanted,
    shown: Shown,
    tell: Callable[[Estimate], None],
) -> Alignment:
    variants = variants_of(now, wanted.prompts, wanted.examples or (now.examples,), wanted.candidates)
    group = groups_of(graded)
    fold = group % max(2, min(wanted.folds, int(group.max()) + 1))
    notes = []
    most = min(len(shots_of([g for g, f in zip(graded, fold, strict=True) if f != held], 99)) for held in set(fold))
    if dropped := [one for one in variants[1:] if one.examples > most]:
        notes.append(
            f"Left out: {len(dropped)} variants with more examples than the {most} plain passes and fails, readable by "
            "everyone, that the smallest part of the graded answers has."
        )
        variants = [one for one in variants if one not in dropped]
    asking = [
        each
        for column, variant in enumerate(variants)
        for each in _askings(room, name, column, variant, graded, fold, most)
    ]
    left = [(one, await _unasked(room, one, graded)) for one in asking]
    total = Estimate()
    for one, unasked in left:
        total += estimate(one.judge, [answered_of(graded[row].thing) for row in unasked])
    tell(total)
    verdicts = np.full((len(graded), len(variants)), np.nan)
    trouble = ""
    for number, one in enumerate(asking, 1):
        things = [graded[row].thing for row in one.rows]
        judged = await judge_all(one.judge, things, room.log, shown, label=f"part {number} of {len(asking)}")
        trouble = judged.trouble or trouble
        for row in one.rows:
            grade = judged.grades.get(graded[row].thing.answers[0].id)
            if grade is not None and grade.value is not None:
                verdicts[row, one.column] = grade.value
    if trouble:
        raise Unavailable(f"Some answers could not be judged: {trouble} The same command again goes on.")
    human = np.array([one.human for one in graded])
    choice = choose(verdicts, human, group, by=wanted.by, folds=wanted.folds, level=wanted.level)
    shots = tuple(shots_of(graded, variants[choice.best].examples))
    if choice.best == 0 and now.examples:
        shots = ()
    costs = [
        next((_per_thousand(one.judge, graded) for one in asking if one.column == column), None)
        for column in range(len(variants))
    ]
    return Alignment(
        name, answers.rubric, answers.of.id, len(graded), tuple(variants), tuple(costs), choice, shots, tuple(notes)
    )


def _askings(
    room: Room,
    name: str,
    column: int,
    variant: JudgeSettings,
    graded: Sequence[Known],
    fold: npt.NDArray[np.intp],
    most: int,
) -> list[_Asking]:
    """Without examples one judge; with them one a fold, shown examples of the other folds."""
    if not variant.examples:
        return [_Asking(column, room.bench.judge(name, variant), tuple(range(len(graded))))]
    made = []
    for held in sorted({int(one) for one in fold}):
        shots = shots_of([one for one, f in zip(graded, fold, strict=True) if f != held], min(variant.examples, most))
        rows = tuple(int(row) for row in np.flatnonzero(fold == held))
        made.append(_Asking(column, room.bench.judge(name, variant, shots), rows))
    return made


async def _unasked(room: Room, one: _Asking, graded: Sequence[Known]) -> list[int]:
    said = await known(one.judge, [graded[row].thing for row in one.rows], room.log)
    return [row for row in one.rows if graded[row].thing.answers[0].id not in said]


async def _thresholds(
    room: Room,
    name: str,
    now: JudgeSettings,
    answers: Answers,
    graded: Sequence[Known],
    wanted: Wanted,
    shown: Shown,
) -> Alignment:
    judge = room.bench.judge(name, now.model_copy(update={"threshold": None}))
    judged = await judge_all(judge, [one.thing for one in graded], room.log, shown)
    values = np.full(len(graded), np.nan)
    for row, one in enumerate(graded):
        grade = judged.grades.get(one.thing.answers[0].id)
        if grade is not None and grade.value is not None:
            values[row] = grade.value
    said = values[~np.isnan(values)]
    if not len(said):
        raise BadRequest(f"The judge {name!r} could not tell of any graded answer: it has nothing to compare with.")
    thresholds = thresholds_of(said, now.threshold)
    verdicts = np.stack([np.where(np.isnan(values), np.nan, values >= each) for each in thresholds], axis=1)
    human = np.array([one.human for one in graded])
    choice = choose(verdicts, human, groups_of(graded), by=wanted.by, folds=wanted.folds, level=wanted.level)
    variants = tuple(now.model_copy(update={"threshold": each}) for each in thresholds)
    costs = (0.0,) * len(variants)
    return Alignment(name, answers.rubric, answers.of.id, len(graded), variants, costs, choice, (), ())


def _per_thousand(judge: Judge, graded: Sequence[Known]) -> float | None:
    cost = estimate(judge, [answered_of(one.thing) for one in graded]).cost
    return None if cost is None else 1000 * cost / len(graded)


def _yaml(name: str, chosen: JudgeSettings) -> str:
    told = chosen.model_dump(exclude_defaults=True)
    return yaml.safe_dump({"judges": {name: told}}, sort_keys=False, allow_unicode=True)
