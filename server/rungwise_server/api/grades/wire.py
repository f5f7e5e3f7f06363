"""The wire of `/v1/grades`: what clients send, checked, and what they get."""

import time
from typing import Annotated, Literal, Self

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictInt, model_validator

from rungwise_server.grading.desk import Turn
from rungwise_server.grading.things import Mode, text_of
from rungwise_server.records import Grade, GradeScale, Inference
from rungwise_server.types import Caller, new_id

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_SET = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@v[1-9][0-9]{0,8})?$"
_ID = r"^[A-Za-z0-9._:-]{1,128}$"

Workload = Annotated[str, Query(pattern=_NAME, description="Its own traffic; with `eval_set`, that one's workload.")]
EvalSetName = Annotated[
    str, Query(pattern=_SET, description="`support` (the newest frozen version) or `support@v3`: answers to it.")
]
Rubric = Annotated[str, Query(pattern=_NAME, description="What is asked of an answer.")]
Grader = Annotated[str, Query(min_length=1, max_length=200, description="`user:NAME`, or a judge's name.")]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str, Query(pattern=_ID, description="The id of the last grade of the page before.")]
_SHARE = {"first": 1.0, "second": 0.0, "tie": 0.5}


class GradeBody(BaseModel):
    """What a client sends: an answer, and exactly one of `passed`, `score`, `value`, `preferred` and `skip`."""

    model_config = ConfigDict(extra="forbid")

    inference_id: str = Field(min_length=1, max_length=128, description="The id of the response.")
    rubric: str = Field("correct", pattern=_NAME, description="What is asked of the answer.")
    passed: StrictBool | None = Field(None, description="Whether it is good enough.")
    score: StrictInt | None = Field(None, ge=1, le=5, description="From 1 (bad) to 5 (good).")
    value: FiniteFloat | None = Field(None, ge=0, le=1, description="From 0 (bad) to 1 (good).")
    over: str | None = Field(
        None, min_length=1, max_length=128, description="The other answer of a pair: the one that was shown second."
    )
    preferred: Literal["first", "second", "tie"] | None = Field(
        None, description="Which of a pair is better: `first` is `inference_id`, `second` is `over`."
    )
    skip: StrictBool = Field(False, description="You looked and could not tell; also takes an earlier grade back.")
    reason: str = Field("", max_length=20_000, description="Why, in your words.")
    example: str | None = Field(
        None, min_length=1, max_length=128, description="The example of an eval set that it answers."
    )
    id: str | None = Field(None, pattern=_ID, description="Your own id: the same again changes nothing.")

    @model_validator(mode="after")
    def _one_verdict(self) -> Self:
        given = [name for name in ("passed", "score", "value", "preferred") if getattr(self, name) is not None]
        given += ["skip"] if self.skip else []
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"a grade has one of passed, score, value, preferred and skip: true; there is {found}")
        if self.over == self.inference_id:
            raise ValueError("'over' must be another answer than 'inference_id'")
        if self.preferred is not None and self.over is None:
            raise ValueError("'preferred' needs 'over', the answer that was shown second")
        if self.over is not None and given not in (["preferred"], ["skip"]):
            raise ValueError(f"of a pair, say 'preferred' or 'skip', not {given[0]!r}")
        return self

    def record(self, caller: Caller) -> Grade:
        """The log's record of it."""
        scale: GradeScale = "pair" if self.over else "five" if self.score is not None else "pass"
        value = self.value
        if self.passed is not None:
            value = float(self.passed)
        elif self.score is not None:
            value = (self.score - 1) / 4
        elif self.preferred is not None:
            value = _SHARE[self.preferred]
        return Grade(
            id=self.id or new_id("gr"),
            at=time.time(),
            inference_id=self.inference_id,
            rubric=self.rubric,
            caller=caller,
            value=value,
            scale=scale,
            over=self.over or "",
            reason=self.reason,
            example=self.example or "",
        )


class GradeObject(BaseModel):
    """A grade. Of one grader's grades on one answer (or pair) under one rubric, the last counts."""

    id: str
    object: Literal["grade"] = "grade"
    created_at: int = Field(description="Seconds since the epoch.")
    inference_id: str
    over: str | None
    rubric: str
    scale: GradeScale
    value: float | None = Field(description="0 (bad) to 1 (good); of a pair, the share of the win of `inference_id`.")
    grader: str = Field(description="A person's principal, or a judge's `name@hash`.")
    by: Literal["person", "judge"]
    reason: str
    example: str | None
    candidates: list[str] | None = Field(
        description="Who gave the answer, or both of a pair. Of others' grades, admins alone see it: it would spoil a "
        "blind grade. Null too after a skip, and where the answer is not in the log yet."
    )


class GradeList(BaseModel):
    """A page of grades, oldest first."""

    object: Literal["list"] = "list"
    data: list[GradeObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class TaskPassage(BaseModel):
    """A passage that an answer was given. `[1]` in the answer is number 1."""

    number: int
    id: str
    document_id: str
    collection: str
    title: str
    headings: list[str]
    page: int | None
    place: str
    url: str
    text: str
    cited: bool


class TaskCitation(BaseModel):
    """What the characters `start` to `end` of the answer rest on."""

    passage_id: str
    start: int
    end: int


class TaskAnswer(BaseModel):
    """An answer to be graded. Which candidate gave it is not said."""

    inference_id: str
    text: str
    citations: list[TaskCitation]
    passages: list[TaskPassage]


class TaskMessage(BaseModel):
    """A message that came before."""

    role: str
    text: str


class GradingTask(BaseModel):
    """An answer, or two to one question in the order to show them."""

    object: Literal["grading_task"] = "grading_task"
    mode: Mode
    rubric: str
    question: str
    before: list[TaskMessage] = Field(description="The conversation before the question.")
    answers: list[TaskAnswer]
    reference: str | None = Field(description="The right answer, where somebody wrote it.")
    answerable: bool | None = Field(description="False where the right answer is that the documents do not say.")
    example: str | None
    topic: str | None
    synthetic: bool = Field(description="Whether a model wrote the question.")
    why: str = Field(description="Why it is its turn.")


class GradingTasks(BaseModel):
    """What to grade next, most useful first."""

    object: Literal["list"] = "list"
    data: list[GradingTask]
    eval_set: str | None
    asks: str | None = Field(description="What the rubric asks of an answer; null for a rubric of your own.")
    points: list[str] = Field(description="What 1, 2, 3, 4 and 5 mean; empty for a rubric of your own.")
    graded: int = Field(description="So many have a grade of yours.")
    skipped: int = Field(description="So many you looked at, and left without one.")
    left: int = Field(description="So many you have not looked at and may, these included.")
    unreadable: int = Field(description="So many are left out, for you may not read all that they rest on.")


def grade_object(grade: Grade, about: tuple[Inference, ...] | None) -> GradeObject:
    """A grade as clients get it; `about` None keeps the candidates back."""
    names = {answer.id: answer.candidate for answer in about or ()}
    ids = [id for id in (grade.inference_id, grade.over) if id]
    return GradeObject(
        id=grade.id,
        created_at=int(grade.at),
        inference_id=grade.inference_id,
        over=grade.over or None,
        rubric=grade.rubric,
        scale=grade.scale,
        value=grade.value,
        grader=grade.grader,
        by="judge" if grade.judge else "person",
        reason=grade.reason,
        example=grade.example or None,
        candidates=[names[id] for id in ids] if grade.value is not None and names.keys() >= set(ids) else None,
    )


def task(turn: Turn, mode: Mode, rubric: str) -> GradingTask:
    """A turn as clients get it."""
    example = turn.thing.example
    messages = [m for m in turn.answers[0].messages if m.role not in ("system", "developer")]
    last = max((i for i, m in enumerate(messages) if m.role == "user"), default=len(messages))
    return GradingTask(
        mode=mode,
        rubric=rubric,
        question=messages[last].text if last < len(messages) else "",
        before=[TaskMessage(role=m.role, text=m.text) for m in messages[:last]],
        answers=[_answer(answer) for answer in turn.answers],
        reference=turn.reference or None,
        answerable=example.answerable if example else None,
        example=example.id if example else None,
        topic=turn.thing.topic or None,
        synthetic=example is not None and example.synthetic,
        why=turn.why,
    )


def _answer(answer: Inference) -> TaskAnswer:
    cited = {citation.passage_id for citation in answer.citations}
    return TaskAnswer(
        inference_id=answer.id,
        text=text_of(answer),
        citations=[TaskCitation(passage_id=c.passage_id, start=c.start, end=c.end) for c in answer.citations],
        passages=[
            TaskPassage(
                number=number,
                id=p.id,
                document_id=p.document_id,
                collection=p.collection,
                title=p.title,
                headings=list(p.headings),
                page=p.page or None,
                place=p.place,
                url=p.url,
                text=p.text,
                cited=p.id in cited,
            )
            for number, p in enumerate(answer.passages, 1)
        ],
    )
