"""The summary of grades as clients get it. Shares and qualities are from 0 to 1."""

from typing import Literal

from pydantic import BaseModel, Field

from rungwise_server.grading.people import AmongPeople
from rungwise_server.grading.summary import Standing, Summary, WithJudge
from rungwise_server.grading.things import Mode
from rungwise_server.judging.certificates.intervals import Interval


class IntervalObject(BaseModel):
    """An estimate with its interval, how it was made, and the number of items it stands on."""

    estimate: float
    low: float
    high: float
    level: float
    method: str
    count: int


class JudgeStanding(BaseModel):
    """The judge beside the people."""

    judge: str = Field(description="`name@hash`.")
    graded: int
    alone: IntervalObject | None = Field(description="Its mean grade, its errors not counted.")
    agreement: IntervalObject | None
    kappa: IntervalObject | None
    verdict: Literal["trust", "correct", "do not use"]
    thin: bool = Field(description="More grades may well change the verdict.")
    reasons: list[str]


class CandidateStanding(BaseModel):
    """A candidate; or two that were compared, and then qualities are the first one's share of the wins."""

    candidate: str
    over: str | None
    answers: int = Field(description="Answers, or pairs, that there are.")
    graded: int = Field(description="Of them, those that a person graded.")
    synthetic: bool = Field(
        description="Whether these are answers to questions that a model wrote: they count by themselves."
    )
    quality: IntervalObject | None = Field(description="Of answers like these: people's grades, with a judge's help.")
    people: IntervalObject | None = Field(description="By people's grades alone.")
    judge: JudgeStanding | None


class GraderCount(BaseModel):
    """A person who graded."""

    grader: str
    grades: int


class GraderAgreement(BaseModel):
    """How far people agree, on what two or more of them graded."""

    graders: list[GraderCount]
    answers: int = Field(description="So many have grades of two people or more.")
    agreement: IntervalObject | None
    kappa: IntervalObject | None = Field(description="Cohen's, of exactly two people.")
    alpha: float | None = Field(description="Krippendorff's, of however many.")


class GradesSummary(BaseModel):
    """What the grades tell so far."""

    object: Literal["grades.summary"] = "grades.summary"
    workload: str
    eval_set: str | None
    rubric: str
    mode: Mode
    candidates: list[CandidateStanding]
    people: GraderAgreement


def summary_object(summary: Summary, workload: str, eval_set: str | None) -> GradesSummary:
    """A summary as clients get it."""
    return GradesSummary(
        workload=workload,
        eval_set=eval_set,
        rubric=summary.rubric,
        mode=summary.mode,
        candidates=[_standing(standing) for standing in summary.standings],
        people=_people(summary.among),
    )


def _standing(standing: Standing) -> CandidateStanding:
    return CandidateStanding(
        candidate=standing.candidates[0],
        over=standing.candidates[1] if len(standing.candidates) > 1 else None,
        answers=standing.things,
        graded=standing.graded,
        synthetic=standing.synthetic,
        quality=_interval(standing.quality),
        people=_interval(standing.people),
        judge=_judge(standing.judge) if standing.judge else None,
    )


def _judge(judge: WithJudge) -> JudgeStanding:
    return JudgeStanding(
        judge=judge.judge,
        graded=judge.graded,
        alone=_interval(judge.alone),
        agreement=_interval(judge.agreement.agreement),
        kappa=_interval(judge.agreement.kappa),
        verdict=judge.verdict,
        thin=judge.thin,
        reasons=list(judge.reasons),
    )


def _people(among: AmongPeople) -> GraderAgreement:
    return GraderAgreement(
        graders=[GraderCount(grader=who, grades=count) for who, count in among.graders.items()],
        answers=among.things,
        agreement=_interval(among.agreement),
        kappa=_interval(among.kappa),
        alpha=among.alpha,
    )


def _interval(interval: Interval | None) -> IntervalObject | None:
    if interval is None:
        return None
    return IntervalObject(
        estimate=interval.estimate,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        method=interval.method,
        count=interval.count,
    )
