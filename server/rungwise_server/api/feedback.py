"""`POST /v1/feedback`: what a person says of an answer, appended to the log.

Accepted before the inference's row is there: a thumb can overtake the answer it is about. With an `id` of the client's
own it is idempotent, so that a client may retry.
"""

import time
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rungwise_server.api.caller import CallerOf
from rungwise_server.errors import Conflict, Unavailable
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Feedback, FeedbackKind, LogQuery
from rungwise_server.types import Caller, new_id

_NEEDS: dict[FeedbackKind, tuple[str, ...]] = {
    "rating": ("value",),
    "comment": ("text",),
    "correction": ("text",),
    "preference": ("over",),
    "passage_vote": ("passage_id", "value"),
}


class FeedbackBody(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")

    inference_id: str = Field(min_length=1, max_length=128, description="The id of the response.")
    kind: FeedbackKind
    value: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="For `rating` and `passage_vote`: -1 (bad) to 1 (good); true and false are the ends.",
    )
    text: str | None = Field(
        None, min_length=1, max_length=200_000, description="For `comment`; for `correction` the answer that was right."
    )
    over: str | None = Field(
        None, min_length=1, max_length=128, description="For `preference`: the id of the answer that was worse."
    )
    passage_id: str | None = Field(None, min_length=1, max_length=128, description="For `passage_vote`.")
    reasons: list[str] = Field([], max_length=16, description="Short tags, such as `outdated` or `wrong source`.")
    id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="Your own id: the same again changes nothing."
    )

    @model_validator(mode="before")
    @classmethod
    def _thumb(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("value"), bool):
            return {**data, "value": 1.0 if data["value"] else -1.0}
        return data

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = _NEEDS[self.kind]
        for field in ("value", "text", "over", "passage_id"):
            given = getattr(self, field) is not None
            if field in needs and not given:
                raise ValueError(f"feedback of kind {self.kind!r} needs {field!r}")
            if given and field not in needs:
                raise ValueError(f"feedback of kind {self.kind!r} takes no {field!r}")
        if self.over is not None and self.over == self.inference_id:
            raise ValueError("'over' must be another answer than 'inference_id'")
        return self

    def record(self, caller: Caller) -> Feedback:
        """The log's record of it."""
        return Feedback(
            id=self.id or new_id("fb"),
            at=time.time(),
            inference_id=self.inference_id,
            kind=self.kind,
            caller=caller,
            value=self.value,
            text=self.text or "",
            over=self.over or "",
            passage_id=self.passage_id or "",
            reasons=tuple(self.reasons),
        )


class FeedbackTaken(BaseModel):
    """What a client gets back."""

    id: str
    object: str = "feedback"
    inference_id: str
    kind: FeedbackKind


def feedback_api(log: InferenceLog) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["feedback"])

    @router.post("/v1/feedback", status_code=201)
    async def create_feedback(body: FeedbackBody, caller: CallerOf) -> FeedbackTaken:
        """Rate, comment, correct, prefer, or vote on a passage."""
        record = body.record(caller)
        if body.id is not None:
            await _unless_other(log, record)
        await log.append(record)
        return FeedbackTaken(id=record.id, inference_id=record.inference_id, kind=record.kind)

    return router


async def _unless_other(log: InferenceLog, record: Feedback) -> None:
    """Refuse an id that stands for something else already."""
    try:
        async for had in log.read(LogQuery(kind="feedback", ids=frozenset({record.id}))):
            assert isinstance(had, Feedback)
            if _said(had) != _said(record):
                raise Conflict(f"Feedback with the id {record.id!r} exists and says something else.", param="id")
    except Unavailable:
        return  # the log keeps the first of two with one id, whenever it comes back


def _said(feedback: Feedback) -> tuple[object, ...]:
    f = feedback
    return (f.inference_id, f.kind, f.caller.user, f.value, f.text, f.over, f.passage_id, f.reasons)
