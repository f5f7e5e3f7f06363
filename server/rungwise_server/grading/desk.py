"""Where people grade: reads what there is to grade and what was said of it, and says whose turn it is."""

import hashlib
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from rungwise_server.errors import BadRequest
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalSet, Example
from rungwise_server.grading.counting import Counted, counted
from rungwise_server.grading.newest import newest
from rungwise_server.grading.order import Next, order
from rungwise_server.grading.things import Mode, Thing, covers, may_read, pairs, singles
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Grade, Inference, LogQuery
from rungwise_server.types import Caller

RECENT, JUDGED = 500, 2000
"""Of a workload's traffic, so many of the newest answers are there to be graded, and so many of the last that a judge
graded; whatever a person graded always is.
"""


class Pile(Struct, frozen=True):
    """What there is to grade: of an eval set, or (`eval_set` None) of a workload's own traffic."""

    workload: str
    eval_set: EvalSet | None
    mode: Mode
    things: tuple[Thing, ...]


class Turn(Struct, frozen=True):
    """A thing for one grader: its answers in the order in which that grader is shown them, and why it is its turn."""

    thing: Thing
    answers: tuple[Inference, ...]
    why: str
    reference: str = ""
    """The right answer, where there is one that this grader may see."""


class Turns(Struct, frozen=True):
    """What one grader should grade next, most useful first; and how much there is."""

    turns: tuple[Turn, ...]
    graded: int
    """Things that this grader gave a grade with a value."""
    skipped: int
    """Things that this grader looked at, and left without one."""
    left: int
    """Things that this grader may read and has not looked at."""
    unreadable: int
    """Things that are left out: they rest on what the grader may not read."""


class Desk:
    """Grading over the log and the eval sets. It writes nothing: a grade is appended to the log."""

    def __init__(self, log: InferenceLog, sets: EvalSets) -> None:
        self._log = log
        self._sets = sets

    async def pile(self, workload: str, eval_set: EvalSet | None, mode: Mode) -> Pile:
        """What there is to grade of `eval_set`, else of the workload's traffic (see `RECENT`).

        Raises:
            BadRequest: the eval set is another workload's.
            Unavailable: the log cannot be read.
        """
        answers: Sequence[tuple[Example | None, Inference]]
        if eval_set is None:
            answers = [(None, answer) for answer in await self._traffic(workload)]
        elif workload not in ("", eval_set.workload):
            raise BadRequest(f"{eval_set.id} is of the workload {eval_set.workload!r}.", param="eval_set")
        else:
            answers = _one_each(await self._sets.answers(eval_set, self._log))
        things = singles(answers)
        of = eval_set.workload if eval_set else workload
        return Pile(of, eval_set, mode, tuple(pairs(things) if mode == "pair" else things))

    async def grades(self, pile: Pile, rubric: str) -> Counted:
        """The grades that count, on the things of a pile. Raises Unavailable."""
        ids = frozenset(answer.id for thing in pile.things for answer in thing.answers)
        query = LogQuery(kind="grade", inference_ids=ids)
        return counted([g async for g in self._log.read(query) if isinstance(g, Grade)], rubric)

    async def _traffic(self, workload: str) -> Sequence[Inference]:
        found = {answer.id: answer for answer in await newest(self._log, workload, RECENT)}
        ids: set[str] = set()
        judged: deque[Grade] = deque(maxlen=JUDGED)
        async for grade in self._log.read(LogQuery(kind="grade", workload=workload)):
            if isinstance(grade, Grade) and grade.judge:
                judged.append(grade)
            elif isinstance(grade, Grade):
                ids |= {grade.inference_id, grade.over}
        ids |= {id for grade in judged for id in (grade.inference_id, grade.over)}
        ids.discard("")
        older = LogQuery(kind="inference", ids=frozenset(ids - found.keys()), workload=workload)
        found |= {answer.id: answer async for answer in self._log.read(older) if isinstance(answer, Inference)}
        return sorted(found.values(), key=lambda answer: answer.position)


def turns_of(pile: Pile, grades: Counted, caller: Caller, limit: int, *, skipped: bool = False) -> Turns:
    """What `caller` should grade next, at most `limit` things, none that has a grade of the caller's already. Those
    that the caller looked at and left without one come too where `skipped` is asked for, after all others.
    """
    readable = {thing.id for thing in pile.things if all(may_read(caller, answer) for answer in thing.answers)}
    mine = {thing.id: grades.get(thing.id, {}).get(caller.owner) for thing in pile.things}
    without = {id for id, grade in mine.items() if grade is not None and grade.value is None}
    left = {id for id in readable if mine[id] is None}
    chosen = order(pile.things, grades, caller.owner, left, limit)
    if skipped:
        again = [thing for thing in pile.things if thing.id in without & readable]
        chosen += [Next(thing, "you left it without a grade") for thing in again[: limit - len(chosen)]]
    return Turns(
        tuple(
            Turn(turn.thing, shown(turn.thing, caller.owner), turn.why, _reference(turn.thing, caller))
            for turn in chosen
        ),
        sum(grade is not None for grade in mine.values()) - len(without),
        len(without),
        len(left),
        len(pile.things) - len(readable),
    )


def shown(thing: Thing, grader: str) -> tuple[Inference, ...]:
    """The answers in the order that a grader sees: of a pair by chance, anew for each grader and pair, and the same
    each time.
    """
    drawn = hashlib.sha256(f"{grader}\n{thing.id}".encode(errors="replace")).digest()[0]
    return thing.answers if drawn % 2 else thing.answers[::-1]


def _reference(thing: Thing, caller: Caller) -> str:
    """It may have been written from anything that its asker may read."""
    example = thing.example
    return example.reference if example is not None and covers(caller, example.caller) else ""


def _one_each(answers: Sequence[tuple[Example, Inference]]) -> list[tuple[Example | None, Inference]]:
    """Of each candidate's answers to an example the newest, and of each answer the first example that it is for."""
    last: dict[tuple[str, str], tuple[Example, Inference]] = {}
    for example, answer in sorted(answers, key=lambda pair: pair[1].position):
        last[example.id, answer.candidate] = (example, answer)
    once: dict[str, tuple[Example | None, Inference]] = {}
    for example, answer in sorted(last.values(), key=lambda pair: pair[0].id):
        once.setdefault(answer.id, (example, answer))
    return list(once.values())
