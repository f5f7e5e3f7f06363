"""Which grades count: of one grader's grades on one thing under one rubric, the last.

A judge is asked about a pair in both orders, the answer that it was shown first being the grade's own. The mean of the
two is what it says of the pair: no place is favoured in it.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from rungwise_server.records import Grade

Counted = Mapping[str, Mapping[str, Grade]]
"""By the id of what was graded, then by grader: the grade that counts, one without a value included."""


def subject_of(*answers: str) -> str:
    """The id of what is graded: an answer's own, or of a pair both, whichever was shown first."""
    return "|".join(sorted(answer for answer in answers if answer))


def counted(grades: Iterable[Grade], rubric: str) -> Counted:
    """The grades under `rubric` that count."""
    last: dict[tuple[str, str, str], Grade] = {}
    for grade in grades:
        if grade.rubric != rubric:
            continue
        order = grade.inference_id if grade.judge else ""
        key = subject_of(grade.inference_id, grade.over), grade.grader, order
        had = last.get(key)
        if had is None or grade.position >= had.position:
            last[key] = grade
    found: dict[str, dict[str, Grade]] = {}
    for (subject, grader, _), grade in last.items():
        of = found.setdefault(subject, {})
        of[grader] = _mean(of[grader], grade) if grader in of else grade
    return found


def _mean(one: Grade, other: Grade) -> Grade:
    """Of two orders; None where it could not tell in one of them."""
    first, second = sorted((one, other), key=lambda grade: grade.inference_id)
    swapped = value_for(second, first.inference_id)
    value = None if first.value is None or swapped is None else (first.value + swapped) / 2
    return replace(first, value=value)


def value_for(grade: Grade, answer: str) -> float | None:
    """A grade's value as `answer` gets it: of a pair, its share of the win, whichever order it was shown in."""
    if grade.value is None or grade.inference_id == answer:
        return grade.value
    return 1 - grade.value


def people_of(grades: Mapping[str, Grade], answer: str) -> dict[str, float]:
    """What people said of `answer` (of a pair: of that one's share), by grader; those who could not tell left out."""
    values = {who: value_for(grade, answer) for who, grade in grades.items() if not grade.judge}
    return {who: value for who, value in values.items() if value is not None}
