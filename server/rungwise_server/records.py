"""What the log keeps, for ever and unchanged: every answer, what people said of it, and how it was graded."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Raw, Struct

from rungwise_server.types import Caller, Citation, Message, Passage, Route, ToolCall, Usage

Outcome = Literal["ok", "cancelled", "failed", "broken"]
"""How an inference ended: finished; the caller left; an error before the first byte; a stream that broke after it."""


class Choice(Struct, frozen=True, omit_defaults=True):
    """One answer of an inference, put together from its deltas."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""


class Inference(Struct, frozen=True, tag_field="record", tag="inference", omit_defaults=True):
    """One logged answer, cancelled and failed ones included. Times are seconds since the epoch or milliseconds."""

    id: str
    at: float
    surface: str
    workload: str
    caller: Caller
    messages: tuple[Message, ...]
    params: Mapping[str, Raw]
    query: str
    passages: tuple[Passage, ...]
    route: Route | None
    candidate: str
    model: str
    prompt: str
    """Name and content hash of the prompt: `grounded@4f1c…`."""
    choices: tuple[Choice, ...]
    citations: tuple[Citation, ...]
    outcome: Outcome
    error: str = ""
    usage: Usage | None = None
    cost: float | None = None
    first_ms: float = 0.0
    total_ms: float = 0.0
    housekeeping: bool = False
    beside: str = ""
    """The inference that this one is a draft of, or shadows: an answer that nobody was given."""
    position: int = 0
    """Where it stands in the log; given by the log, so 0 in a record that was not read from one."""


FeedbackKind = Literal["rating", "comment", "correction", "preference", "passage_vote"]


class Feedback(Struct, frozen=True, tag_field="record", tag="feedback", omit_defaults=True):
    """What a person said of an answer.

    `rating` and `passage_vote` have a `value` from -1 to 1 (thumbs are the two ends); `comment` and `correction` a
    `text` (a correction is the answer that should have been given); `preference` prefers `inference_id` to `over`.
    """

    id: str
    at: float
    inference_id: str
    kind: FeedbackKind
    caller: Caller
    value: float | None = None
    text: str = ""
    over: str = ""
    passage_id: str = ""
    reasons: tuple[str, ...] = ()
    position: int = 0


GradeScale = Literal["pass", "five", "pair"]
"""How a grade was asked for: pass or fail; one to five; which of two is better."""


class Grade(Struct, frozen=True, tag_field="record", tag="grade", omit_defaults=True):
    """A verdict on an answer, by a person or a judge, under a named rubric.

    `value` goes from 0 (bad) to 1 (good): fail and pass are its ends, a grade g of five is (g - 1) / 4. With `over` it
    is the share of the win that `inference_id` gets against that one: 1, 0, or .5 for a tie. None: who graded looked,
    and could not tell. Of one grader's grades on one answer under one rubric, the last counts.
    """

    id: str
    at: float
    inference_id: str
    rubric: str
    caller: Caller
    """Who graded; of a judge's grade, for whom it ran."""
    value: float | None
    scale: GradeScale = "pass"
    judge: str = ""
    """`name@hash` of the judge; empty where a person graded."""
    over: str = ""
    reason: str = ""
    example: str = ""
    """The example of an eval set that was answered, if it was one."""
    position: int = 0

    @property
    def grader(self) -> str:
        """Who says so: a judge's `name@hash`, or a person's principal."""
        return self.judge or self.caller.owner


LogRecord = Inference | Feedback | Grade

OWN_SURFACES = frozenset({"eval", "judge", "shadow", "draft"})
"""Surfaces of our own programs, and of answers that nobody was given. They are in the log like all else, and nobody's
traffic."""


class LogQuery(Struct, frozen=True):
    """Which records to read, oldest first. Every given condition must hold; `after` is a position."""

    kind: Literal["inference", "feedback", "grade"] | None = None
    after: int = 0
    ids: frozenset[str] | None = None
    inference_ids: frozenset[str] | None = None
    """Feedback and grades on these inferences."""
    workload: str = ""
    user: str = ""
    since: float = 0.0
    until: float = 0.0
    housekeeping: bool = False
    """Whether chat clients' own calls (titles, tags) come along."""
    own: bool = False
    """Whether what our own programs asked (`OWN_SURFACES`) comes along."""
    limit: int = 0


class Total(Struct, frozen=True):
    """The sums of one candidate's answers in one workload on one day (UTC), what our own programs and clients asked
    by themselves apart. Money and tokens where they are known.
    """

    day: str
    """`2026-03-31`."""
    workload: str
    candidate: str
    requests: int
    ok: int
    """Of them, those that ended well."""
    priced: int
    """Of them, those whose cost is known."""
    input_tokens: int
    output_tokens: int
    cost: float
    total_ms: float
    """The sum of how long each took."""
    own: bool = False
    """Whether our own programs asked for them (`OWN_SURFACES`)."""
    housekeeping: bool = False
    """Whether chat clients asked for them by themselves."""
