"""Which grades count, whatever the order that they came in and that a pair was shown in."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rungwise_server.grading.counting import counted, people_of, subject_of, value_for
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Grade, LogQuery
from rungwise_server.testing.log import a_grade
from rungwise_server.types import Caller

values = st.sampled_from([None, 0.0, 0.25, 0.5, 1.0])
gradings = st.lists(
    st.tuples(
        st.sampled_from(["ana", "bo", ""]),
        st.sampled_from(["", "strict@1", "strict@2"]),
        st.sampled_from(["correct", "grounded"]),
        st.sampled_from([("a", ""), ("b", ""), ("a", "b"), ("b", "a")]),
        values,
    ),
    max_size=40,
)


@given(gradings)
async def test_the_last_grade_of_each_grader_counts(
    given: list[tuple[str, str, str, tuple[str, str], float | None]],
) -> None:
    log = MemoryLog()
    last: dict[tuple[str, str, frozenset[str]], dict[str, float | None]] = {}
    for number, (user, judge, rubric, (answer, over), value) in enumerate(given):
        await log.append(
            a_grade(f"g{number}", answer, caller=Caller(user), judge=judge, rubric=rubric, over=over, value=value)
        )
        who = judge or (f"user:{user}" if user else "everyone")
        for_a = value if value is None or not over or answer == "a" else 1 - value
        said = last.setdefault((rubric, who, frozenset({answer, over} - {""})), {})
        said[answer if judge else ""] = for_a
    read = [grade async for grade in log.read(LogQuery(kind="grade")) if isinstance(grade, Grade)]
    for rubric in ("correct", "grounded"):
        for found in (counted(read, rubric), counted(reversed(read), rubric)):
            told = {
                (rubric, who, frozenset(id.split("|"))): value_for(grade, "a" if "a" in id else "b")
                for id, by in found.items()
                for who, grade in by.items()
            }
            assert told == {key: mean(*said.values()) for key, said in last.items() if key[0] == rubric}


def mean(*values: float | None) -> float | None:
    """Of what a judge says in both orders; people, and who grades single answers, say one thing only."""
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if len(told) == len(values) else None


@given(values, st.booleans())
def test_a_pairs_grade_is_the_same_in_whichever_order_it_was_shown(value: float | None, swapped: bool) -> None:
    grade = a_grade(inference_id="b" if swapped else "a", over="a" if swapped else "b", value=value, scale="pair")
    other = replace(grade, inference_id=grade.over, over=grade.inference_id, value=None if value is None else 1 - value)
    assert subject_of(grade.inference_id, grade.over) == subject_of(other.inference_id, other.over) == "a|b"
    assert value_for(grade, "a") == value_for(other, "a")
    assert value_for(grade, "b") == value_for(other, "b")


def test_people_are_those_who_are_no_judge_and_could_tell() -> None:
    grades = [
        a_grade("1", caller=Caller("ana"), value=0.25),
        a_grade("2", caller=Caller("bo"), value=None),
        a_grade("3", caller=Caller("cy"), judge="strict@1", value=1.0),
    ]
    (by,) = counted(grades, "correct").values()
    assert people_of(by, "chatcmpl-1") == {"user:ana": 0.25}
