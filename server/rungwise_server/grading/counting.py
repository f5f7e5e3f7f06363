"""Which grades count: of one grader's grades on one thing under one rubric, the last."""

from collections.abc import Iterable, Mapping

from rungwise_server.records import Grade

Counted = Mapping[str, Mapping[str, Grade]]
"""By the id of what was graded, then by grader: the grade that counts, one without a value included."""


def subject_of(*answers: str) -> str:
    """The id of what is graded: an answer's own, or of a pair both, whichever was shown first."""
    return "|".join(sorted(answer for answer in answers if answer))


def counted(grades: Iterable[Grade], rubric: str) -> Counted:
    """The grades under `rubric` that count."""
    found: dict[str, dict[str, Grade]] = {}
    for grade in grades:
        if grade.rubric != rubric:
            continue
        of = found.setdefault(subject_of(grade.inference_id, grade.over), {})
        had = of.get(grade.grader)
        if had is None or grade.position >= had.position:
            of[grade.grader] = grade
    return found


def value_for(grade: Grade, answer: str) -> float | None:
    """A grade's value as `answer` gets it: of a pair, its share of the win, whichever order it was shown in."""
    if grade.value is None or grade.inference_id == answer:
        return grade.value
    return 1 - grade.value


def people_of(grades: Mapping[str, Grade], answer: str) -> dict[str, float]:
    """What people said of `answer` (of a pair: of that one's share), by grader; those who could not tell left out."""
    values = {who: value_for(grade, answer) for who, grade in grades.items() if not grade.judge}
    return {who: value for who, value in values.items() if value is not None}
