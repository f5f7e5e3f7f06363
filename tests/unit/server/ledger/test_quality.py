"""How good the answers are, and how anybody knows."""

import pytest
from msgspec.structs import replace

from rungwise_server.evals import Cell, EvalRun
from rungwise_server.ledger.evidence import GradedAnswer, Said
from rungwise_server.ledger.quality import by_candidate, mean_interval, more_grades, quality_of
from rungwise_server.ledger.show import known_from
from rungwise_server.ledger.trusted import JudgeStanding

SHARES = {"frontier": 1.0}
CERTIFIED = {"strict@1": JudgeStanding(True, "cert-1", "correct", "certified on support@v1: correct it", "valid")}
EXPIRED = {"strict@1": JudgeStanding(False, "cert-1", "trust", "the traffic has changed", "expired")}
NO_GOOD = {"strict@1": JudgeStanding(False, "cert-1", "do not use", "found not to agree with people", "valid")}


def graded(
    count: int, good: int, *, people: bool = True, judge: float | None = None, **changes: str
) -> list[GradedAnswer]:
    """Answers of which `good` are; a judge says of each what people do, but for the share `judge`."""
    made = []
    for number in range(count):
        value = float(number < good)
        verdict = value if judge is None or number % round(1 / judge) else 1 - value
        made.append(
            GradedAnswer(
                f"{changes.get('candidate', 'frontier')}-{changes.get('rubric', 'correct')}-{number}",
                changes.get("candidate", "frontier"),
                changes.get("rubric", "correct"),
                (value,) if people else (),
                () if judge is None else (("strict@1", verdict),),
            )
        )
    return made


def run(candidate: str = "frontier", **metrics: float) -> EvalRun:
    cells = tuple(Cell(f"e{n}", candidate, f"i{n}", "ok", metrics) for n in range(20))
    return EvalRun("r1", "support@v1", "h", "support", 5.0, (candidate,), cells, ("strict@1",))


def test_peoples_grades_come_first() -> None:
    quality = quality_of(graded(20, 16), SHARES, [run(strict=0.1)], Said(thumbs_up=1, thumbs=9))
    assert (quality.how, quality.estimate, quality.count, quality.people) == ("people", 0.8, 20, 20)
    assert 0.5 < quality.low < 0.8 < quality.high < 0.95
    assert quality.known


def test_a_judge_is_corrected_by_people() -> None:
    answers = [
        *graded(30, 24, judge=0.1),
        *graded(200, 160, people=False, judge=0.1, candidate="frontier", rubric="correct"),
    ]
    for number, one in enumerate(answers):
        answers[number] = GradedAnswer(f"a{number}", one.candidate, one.rubric, one.people, one.judges)
    quality = quality_of(answers, SHARES, [], Said(), CERTIFIED)
    assert (quality.how, quality.people, quality.certificate) == ("corrected", 30, "cert-1")
    assert "the judge strict (cert-1: correct it), corrected by people's of 30 answers" in known_from(quality)
    alone = quality_of([one for one in answers if one.people], SHARES, [], Said())
    assert quality.high - quality.low < alone.high - alone.low
    assert quality.rows == 30 + 230


def test_a_judge_that_nobody_checked_is_not_leant_on() -> None:
    quality = quality_of(graded(100, 90, people=False, judge=0.1), SHARES, [], Said())
    assert quality.how == "judge"
    assert not quality.known
    assert "no person checked" in known_from(quality)


@pytest.mark.parametrize("judges, why", [({}, "never certified"), (EXPIRED, "changed"), (NO_GOOD, "not to agree")])
def test_a_judge_without_a_standing_certificate_is_not_set_beside_people(
    judges: dict[str, JudgeStanding], why: str
) -> None:
    quality = quality_of(graded(30, 24, judge=0.1), SHARES, [], Said(), judges)
    assert (quality.how, quality.people, quality.judge, quality.rows) == ("people", 30, "", 30)
    assert "the judge strict graded 30 answers, which do not count" in quality.note
    assert why in quality.note


def test_a_judge_that_was_found_to_be_no_good_says_nothing_alone_either() -> None:
    answers = graded(100, 90, people=False, judge=0.1)
    assert quality_of(answers, SHARES, [], Said(), NO_GOOD).how == "nothing"
    alone = quality_of(answers, SHARES, [], Said(), CERTIFIED)
    assert (alone.how, alone.known, alone.certificate) == ("judge", False, "cert-1")


def test_a_certified_judge_comes_before_one_that_graded_more() -> None:
    answers = [
        replace(one, judges=(("loud@1", 0.0), *(one.judges if number < 40 else ())))
        for number, one in enumerate(graded(100, 80, judge=0.1))
    ]
    assert quality_of(answers, SHARES, [], Said(), CERTIFIED).judge == "strict@1"


def test_what_no_person_graded_is_no_reason_to_climb() -> None:
    """A mean F1 of .3 does not say that three answers in ten are good."""
    quality = quality_of([], SHARES, [run(f1=0.3)], Said())
    assert (quality.how, quality.known) == ("run", False)
    assert quality.comparable(quality_of([], {"own": 1.0}, [run("own", f1=0.2)], Said()))
    assert not quality.comparable(quality_of([], {"own": 1.0}, [run("own", exact=0.2)], Said()))
    assert not quality.comparable(quality_of(graded(20, 16), SHARES, [], Said()))


def test_an_eval_run_then_thumbs_then_nothing() -> None:
    assert quality_of([], SHARES, [run(strict=0.7, f1=0.2)], Said()).estimate == pytest.approx(0.7)
    assert quality_of([], SHARES, [run(f1=0.2, groundedness=0.9)], Said()).rubric == "f1"
    assert quality_of([], SHARES, [run("another", f1=0.2)], Said()).how == "nothing"
    thumbs = quality_of([], SHARES, [], Said(thumbs_up=30, thumbs=40))
    assert (thumbs.how, thumbs.estimate, thumbs.known) == ("thumbs", 0.75, False)
    assert "biased" in thumbs.note
    nothing = quality_of([], SHARES, [], Said())
    assert (nothing.how, nothing.estimate, nothing.low, nothing.high) == ("nothing", None, 0.0, 1.0)


def test_candidates_count_by_their_traffic() -> None:
    """A hundred grades of the one that answers a tenth do not outvote ten of the one that answers the rest."""
    answers = [*graded(100, 0, candidate="small"), *graded(10, 10)]
    quality = quality_of(answers, {"frontier": 0.9, "small": 0.1}, [], Said())
    assert quality.estimate == pytest.approx(0.9)
    assert quality_of(answers, SHARES, [], Said()).estimate == pytest.approx(1.0)
    each = by_candidate(answers, [])
    assert each["small"].estimate == 0.0
    assert each["frontier"].estimate == 1.0


def test_the_rubric_that_people_graded_most() -> None:
    answers = [*graded(5, 5, rubric="grounded"), *graded(50, 0, people=False, judge=0.5, rubric="tone")]
    assert quality_of(answers, SHARES, [], Said()).rubric == "grounded"


def test_an_interval_of_a_mean_reaches_the_ends() -> None:
    low, high = mean_interval([1.0] * 5)
    assert low == pytest.approx(0.62, abs=0.05)
    assert high == 1.0
    assert mean_interval([0.0] * 5)[0] == 0.0
    low, high = mean_interval([1.0, 0.0] * 50)
    assert low == pytest.approx(0.403, abs=0.01)
    assert high == pytest.approx(0.597, abs=0.01)


def test_more_grades_are_wanted_the_nearer_the_target_is() -> None:
    assert more_grades(0.5, 10, 0.9) == 20
    assert more_grades(0.88, 100, 0.9) > more_grades(0.8, 100, 0.9)
    assert more_grades(None, 0, 0.9) == 30
    assert more_grades(0.9, 10_000, 0.9) == 5
