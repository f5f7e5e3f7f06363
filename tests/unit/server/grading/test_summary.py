"""What grades tell: an interval from the first on, people and judge together, and how far people agree."""

import math
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from rungwise_pipelines.grading.screen import line_of
from rungwise_server.evals import Example
from rungwise_server.grading.counting import counted
from rungwise_server.grading.people import among_people
from rungwise_server.grading.summary import Summary, summary_of
from rungwise_server.grading.things import Thing, pairs
from rungwise_server.records import Choice, Grade
from rungwise_server.testing.log import a_grade, an_inference
from rungwise_server.types import Caller

ANA, BO = Caller("ana"), Caller("bo")


def things_of(candidate: str, count: int) -> list[Thing]:
    answers = [
        an_inference(f"{candidate}{n}", candidate=candidate, choices=(Choice(f"{candidate} {n}"),))
        for n in range(count)
    ]
    return [Thing(f"q{n}", (answer,)) for n, answer in enumerate(answers)]


def said(things: Sequence[Thing], values: Sequence[float | None], who: Caller = ANA, judge: str = "") -> list[Grade]:
    return [
        a_grade(f"{who.user}{judge}{t.id}", t.answers[0].id, caller=who, value=value, judge=judge)
        for t, value in zip(things, values, strict=False)
    ]


def told(things: list[Thing], grades: list[Grade]) -> Summary:
    return summary_of(things, counted(grades, "correct"), "correct", "single")


def test_five_grades_already_show_an_interval() -> None:
    things = things_of("x", 30)
    (standing,) = told(things, said(things, [1.0, 1.0, 0.0, 1.0, 1.0])).standings
    assert (standing.things, standing.graded) == (30, 5)
    assert standing.quality is not None
    assert standing.quality.estimate == pytest.approx(0.8)
    assert 0.2 < standing.quality.low < 0.5 < 0.95 < standing.quality.high < 1
    assert standing.quality.method == "beta posterior"
    assert standing.judge is None


def test_without_a_grade_there_is_no_quality_and_a_skipped_one_is_none() -> None:
    things = things_of("x", 3)
    for grades in ([], said(things, [None])):
        (standing,) = told(things, grades).standings
        assert (standing.graded, standing.quality, standing.people) == (0, None, None)


def test_a_judge_narrows_the_interval_where_it_agrees() -> None:
    things = things_of("x", 100)
    truth = [float(n % 4 > 0) for n in range(100)]
    judged = said(things, list(truth), judge="strict@1")
    people = said(things, list(truth[:24]), BO)
    (alone,) = told(things, people).standings
    (both,) = told(things, [*people, *judged]).standings
    assert alone.quality is not None
    assert both.quality is not None
    assert both.people == alone.people == alone.quality
    assert both.quality.half_width < 0.7 * alone.quality.half_width
    assert both.judge is not None
    assert (both.judge.judge, both.judge.graded) == ("strict@1", 100)
    assert both.judge.agreement.kappa is not None
    assert both.judge.agreement.kappa.estimate == 1
    # Its grades alone are no quality: nobody knows yet what they are worth.
    (unchecked,) = told(things, judged).standings
    assert unchecked.quality is None
    assert unchecked.judge is not None


def test_candidates_stand_apart_and_a_pair_tells_of_the_first_one() -> None:
    xs, ys = things_of("x", 8), things_of("y", 8)
    apart = told([*xs, *ys], [*said(xs, [1.0] * 4), *said(ys, [0.0] * 4)])
    assert [(s.candidates, s.quality.estimate if s.quality else None) for s in apart.standings] == [
        (("x",), 1.0),
        (("y",), 0.0),
    ]
    both = pairs([*ys, *xs])
    # y was shown first, and lost: x won.
    grades = [a_grade(f"g{n}", f"y{n}", over=f"x{n}", scale="pair", value=0.0) for n in range(3)]
    grades += [a_grade("g3", "x3", over="y3", scale="pair", value=0.5)]
    (standing,) = summary_of(both, counted(grades, "correct"), "correct", "pair").standings
    assert standing.candidates == ("x", "y")
    assert standing.graded == 4
    assert standing.quality is not None
    assert standing.quality.estimate == pytest.approx(3.5 / 4)


def test_questions_that_a_model_wrote_count_by_themselves() -> None:
    things = things_of("x", 8)
    written = Example("ex-1", (), ANA, "docs")
    things[4:] = [Thing(t.question, t.answers, replace(written, id=f"ex-{n}")) for n, t in enumerate(things[4:])]
    grades = said(things, [1.0] * 4 + [0.0] * 4)
    apart = [(s.synthetic, s.things, s.quality and s.quality.estimate) for s in told(things, grades).standings]
    assert apart == [(False, 4, 1.0), (True, 4, 0.0)]
    lines = [line_of(standing, named=True) for standing in told(things, grades).standings]
    assert ["a model wrote" in line for line in lines] == [False, True]


def test_agreement_of_two_people_is_the_textbooks() -> None:
    """Cohen (1960)'s form with 20 and 15 the same of 50: 70 % alike, kappa .4."""
    values = [{"a": 1.0, "b": 1.0}] * 20 + [{"a": 1.0, "b": 0.0}] * 5
    values += [{"a": 0.0, "b": 1.0}] * 10 + [{"a": 0.0, "b": 0.0}] * 15
    among = among_people([*values, {"a": 1.0}], 0.95)
    assert (among.graders, among.things) == ({"a": 51, "b": 50}, 50)
    assert among.agreement is not None
    assert among.agreement.estimate == pytest.approx(0.7)
    assert among.kappa is not None
    assert among.kappa.estimate == pytest.approx(0.4)
    assert among.kappa.low < 0.4 < among.kappa.high
    assert among.alpha == pytest.approx(1 - (99 * 15) / (55 * 45), abs=1e-9)


def test_of_several_people_there_is_alpha_and_no_kappa() -> None:
    among = among_people([{"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 0.0, "c": 0.0}, {"b": 0.5, "c": 0.5}], 0.95)
    assert among.kappa is None
    assert among.agreement is not None
    assert among.agreement.estimate == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert among.alpha is not None
    assert math.isfinite(among.alpha)


def test_nobody_to_agree_with() -> None:
    among = among_people([{"a": 1.0}, {"b": 0.0}], 0.95)
    assert (among.things, among.agreement, among.kappa, among.alpha) == (0, None, None, None)
