"""The vocabulary of evaluation: the examples of an eval set, an answer as a judge sees it, and what a judge says."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from rungwise_server.types import Caller, Message, Passage

Origin = Literal["log", "docs", "file", "hand"]
"""Where an example is from: the workload's own traffic; written by a model from passages; handed in; typed."""


class Example(Struct, frozen=True, omit_defaults=True):
    """A question of an eval set, and what is known of its right answer. It is asked as `caller`, who reads what that
    caller may read. Frozen with its set, and never trained on.
    """

    id: str
    """`example_id` of what is asked and by whom: the same in every version of every set."""
    messages: tuple[Message, ...]
    caller: Caller
    origin: Origin
    params: Mapping[str, Raw] = {}
    """The client's other fields, such as `response_format`."""
    reference: str = ""
    """The right answer, where somebody wrote it."""
    gold: tuple[str, ...] = ()
    """Ids of documents that hold the answer."""
    answerable: bool | None = None
    """False where the right answer is that the documents do not say; None where nobody said."""
    source: str = ""
    """The inference, passage, or line of a file that it was made from."""
    topic: str = ""
    why: str = ""
    """Why it was chosen, in words."""
    weight: float = 1.0
    """How many questions of the traffic it stands for."""

    @property
    def synthetic(self) -> bool:
        """Whether a model wrote it: never mixed unseen with real ones."""
        return self.origin == "docs"

    @property
    def question(self) -> str:
        """What was asked last."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


def example_id(messages: tuple[Message, ...], caller: Caller, params: Mapping[str, Raw]) -> str:
    """`ex-` and 20 hex digits over what is asked and what the asker may read."""
    asked = [[m.role, m.text, bytes(m.raw).decode()] for m in messages]
    fields = {name: bytes(value).decode() for name, value in params.items()}
    whole = msgspec.json.encode([asked, sorted(caller.principals), fields], order="sorted")
    return f"ex-{hashlib.sha256(whole).hexdigest()[:20]}"


class EvalSet(Struct, frozen=True, omit_defaults=True):
    """One version of an eval set. A draft takes more examples; a frozen one never changes, and its `hash` says what it
    holds.
    """

    name: str
    """The workload's name unless the set was given another."""
    version: int
    workload: str
    created_at: float
    size: int = 0
    synthetic: int = 0
    frozen_at: float = 0.0
    hash: str = ""
    """Over all examples, in the order of their ids; empty for a draft."""

    @property
    def id(self) -> str:
        """`support@v3`."""
        return f"{self.name}@v{self.version}"


class Cell(Struct, frozen=True, omit_defaults=True):
    """One candidate's answer to one example of an eval set."""

    example: str
    candidate: str
    inference_id: str
    outcome: str
    """As the log says; nothing but `ok` is an answer."""
    metrics: Mapping[str, float] = {}
    """By name, from 0 (bad) to 1 (good); those that cannot be told are left out."""
    cost: float | None = None
    first_ms: float = 0.0
    total_ms: float = 0.0


class EvalRun(Struct, frozen=True, omit_defaults=True):
    """Candidates' answers to a frozen eval set, and what was measured on them."""

    id: str
    set_id: str
    set_hash: str
    workload: str
    at: float
    candidates: tuple[str, ...]
    cells: tuple[Cell, ...] = ()
    judges: tuple[str, ...] = ()
    """`name@hash` of the judges that graded; a metric of a judge has its name."""
    seconds: float = 0.0


class Answered(Struct, frozen=True):
    """An answer as a judge sees it: the question and its context, the evidence, and what is known of the right one."""

    messages: tuple[Message, ...]
    answer: str
    passages: tuple[Passage, ...] = ()
    """What the answer was given, in the order of its markers: [1] is the first."""
    reference: str = ""
    answerable: bool | None = None


class Judgement(Struct, frozen=True):
    """What a judge says of an answer: from 0 (bad) to 1 (good), None where it could not tell; and why."""

    value: float | None
    reason: str = ""


class Preference(Struct, frozen=True):
    """What a judge says of two answers to one question, asked in both orders. Both values are the share of the win
    that the *first* answer gets: 1, 0, or .5 for a tie; None where the judge could not tell.
    """

    value: float | None
    """Of the two as they were handed over."""
    swapped: float | None
    """Of the two shown in the other order, still of the same first answer: what differs is the order's doing."""
    reason: str = ""
    swapped_reason: str = ""

    @property
    def share(self) -> float | None:
        """The mean of both orders, in which no place is favoured; None where it could not tell in one of them."""
        return None if self.value is None or self.swapped is None else (self.value + self.swapped) / 2


class Checked(Struct, frozen=True):
    """Whether a draft may go out as the answer, and why, in words that fit behind the name of who wrote it."""

    holds: bool
    why: str
