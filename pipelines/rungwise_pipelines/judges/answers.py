"""The answers of an eval set as judges see them, with what people and judges said of them."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import Answered, EvalSet
from rungwise_server.grading.counting import Counted
from rungwise_server.grading.desk import Desk
from rungwise_server.grading.things import Thing, text_of
from rungwise_server.protocols import InferenceLog
from rungwise_server.types import Caller


class Answers(Struct, frozen=True):
    """The answers of an eval set, and the grades under one rubric that count."""

    of: EvalSet
    rubric: str
    things: Sequence[Thing]
    grades: Counted

    @property
    def to_grade(self) -> str:
        """The command by which people grade them."""
        pairs = " --scale pair" if self.things and len(self.things[0].answers) > 1 else ""
        return f"rungwise eval grade {self.of.workload} --set {self.of.id} --rubric {self.rubric}{pairs}"


async def answers_of(sets: EvalSets, log: InferenceLog, ref: str, rubric: str) -> Answers:
    """The answers to `ref` (`support`, `support@v3`).

    Raises:
        NotFound: there is no such eval set.
        BadRequest: nothing has answered it yet.
    """
    of = await sets.get(ref)
    desk = Desk(log, sets)
    pile = await desk.pile(of.workload, of, "single")
    if not pile.things:
        raise BadRequest(
            f"{of.id} has no answers yet: `rungwise eval run {of.name}` asks its questions, of whichever candidates.",
            param="eval",
        )
    return Answers(of, rubric, pile.things, await desk.grades(pile, rubric))


async def pairs_of(sets: EvalSets, log: InferenceLog, ref: str, rubric: str) -> Answers:
    """The pairs of different answers to one question of `ref` by candidates of its newest run, and those that people
    graded. Pairs grow with the square of the candidates: those of older runs are not asked about unless somebody cared.

    Raises:
        NotFound: there is no such eval set.
        BadRequest: there is no such pair.
    """
    of = await sets.get(ref)
    desk = Desk(log, sets)
    pile = await desk.pile(of.workload, of, "pair")
    grades = await desk.grades(pile, rubric)
    newest = next((run for run in await sets.runs(of.name) if run.set_id == of.id or not of.frozen_at), None)
    ran = {cell.inference_id for cell in newest.cells} if newest else set()
    things = [
        thing
        for thing in pile.things
        if all(answer.id in ran for answer in thing.answers)
        or any(not grade.judge for grade in grades.get(thing.id, {}).values())
    ]
    if not things:
        raise BadRequest(
            f"No question of {of.id} has two candidates' answers that differ: `rungwise eval run {of.workload} "
            f"--set {of.id} --candidates A,B` asks its questions of two.",
            param="eval",
        )
    return Answers(of, rubric, things, grades)


def only(answers: Answers, system: str) -> Answers:
    """The answers of one candidate; all where `system` is empty. Raises NotFound."""
    things = [thing for thing in answers.things if system in ("", *thing.candidates)]
    if not things:
        names = ", ".join(sorted({name for thing in answers.things for name in thing.candidates}))
        raise NotFound(f"{system!r} has no answers to {answers.of.id}; these have: {names}.", param="system")
    return replace(answers, things=things)


def answered_of(thing: Thing, place: int = 0) -> Answered:
    """What a judge is shown of an answer; of a pair, of the one at `place`."""
    answer, example = thing.answers[place], thing.example
    return Answered(
        answer.messages,
        text_of(answer),
        answer.passages,
        example.reference if example else "",
        example.answerable if example else None,
    )


def asker_of(thing: Thing) -> Caller:
    """For whom an answer is judged: whoever asked."""
    return thing.example.caller if thing.example else thing.answers[0].caller


def question_of(thing: Thing) -> str:
    """What was asked last, in one line."""
    answer = thing.answers[0]
    asked = next((m.text for m in reversed(answer.messages) if m.role == "user"), answer.query)
    return " ".join(asked.split())
