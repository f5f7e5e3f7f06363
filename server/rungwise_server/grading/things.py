"""What can be graded: an answer, or two answers of different candidates to one question; and who may read it."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

from msgspec import Struct

from rungwise_server.evals import Example, example_id
from rungwise_server.grading.counting import subject_of
from rungwise_server.records import Inference
from rungwise_server.types import Caller

Mode = Literal["single", "pair"]


class Thing(Struct, frozen=True):
    """One answer; or two, ordered by the names of their candidates: a value is then the first one's share of the win.
    `question` is the same for all answers to one question of one caller.
    """

    question: str
    answers: tuple[Inference, ...]
    example: Example | None = None

    @property
    def id(self) -> str:
        """As grades name it."""
        return subject_of(*(answer.id for answer in self.answers))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Whose quality a grade tells of."""
        return tuple(answer.candidate for answer in self.answers)

    @property
    def topic(self) -> str:
        """As its example says; empty where there is none."""
        return self.example.topic if self.example else ""

    @property
    def weight(self) -> float:
        """How many questions of the traffic it stands for."""
        return self.example.weight if self.example else 1.0


def text_of(answer: Inference) -> str:
    """What was answered."""
    return answer.choices[0].text if answer.choices else ""


def singles(answers: Iterable[tuple[Example | None, Inference]]) -> list[Thing]:
    """Every answer that says something, by itself."""
    return [
        Thing(example.id if example else _question(answer), (answer,), example)
        for example, answer in answers
        if answer.outcome == "ok" and text_of(answer).strip()
    ]


def pairs(things: Sequence[Thing]) -> list[Thing]:
    """All pairs of single answers to one question by different candidates that do not say the same. Where a candidate
    answered it several times, the last counts.
    """
    questions: dict[str, dict[tuple[str, ...], Thing]] = {}
    for thing in things:
        questions.setdefault(thing.question, {})[thing.candidates] = thing
    return [
        Thing(question, (*first.answers, *second.answers), first.example or second.example)
        for question, by_candidate in questions.items()
        for (_, first), (_, second) in combinations(sorted(by_candidate.items()), 2)
        if text_of(first.answers[0]).split() != text_of(second.answers[0]).split()
    ]


def may_read(caller: Caller, answer: Inference) -> bool:
    """Whether all that a grader would be shown of an answer is theirs to read: each of its passages, and, where a
    conversation went before, what its asker's groups could have been told in it.
    """
    if not all(passage.readers & caller.principals for passage in answer.passages):
        return False
    before = any(message.role not in ("system", "developer", "user") for message in answer.messages)
    return not before or covers(caller, answer.caller)


def covers(caller: Caller, asker: Caller) -> bool:
    """Whether a grader has all groups of the asker, and so may see what nobody can tell the sources of."""
    return caller.groups >= asker.groups


def _question(answer: Inference) -> str:
    return example_id(answer.messages, answer.caller, answer.params)
