"""What is known of a workload: its log, its grades, its eval runs, boiled down to what the ledger reckons from."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rungwise_server.evals import EvalRun
from rungwise_server.ledger.facts import Corpus
from rungwise_server.ledger.trusted import JudgeStanding
from rungwise_server.records import Total


class Entry(Struct, frozen=True):
    """The sums of one candidate's answers on one day, with what its hardware cost for them."""

    total: Total
    hosting: float = 0.0
    """Of a day's hours of hardware of one's own, this workload's part, by requests."""

    @property
    def money(self) -> float:
        """All that is known to have been spent."""
        return self.total.cost + self.hosting


class Seen(Struct, frozen=True):
    """One answer of the traffic that was looked at."""

    id: str
    candidate: str
    language: str
    """ISO 639-1; empty where nobody can tell from so few words."""
    first_ms: float
    total_ms: float
    fine: bool
    """Whether it ended well."""
    passages: int = 0


class GradedAnswer(Struct, frozen=True):
    """An answer that people or a judge graded under one rubric. Grades go from 0 to 1."""

    id: str
    candidate: str
    rubric: str
    people: tuple[float, ...] = ()
    judges: tuple[tuple[str, float], ...] = ()
    """Each judge's `name@hash`, and its grade."""
    language: str = ""
    topic: str = ""


class Said(Struct, frozen=True):
    """What people said of answers: ids of inferences, by what it makes of them. `held` are those that an eval set was
    made from, which nobody trains on; they are not among `corrected` to `graded_good`.
    """

    corrected: frozenset[str] = frozenset()
    liked: frozenset[str] = frozenset()
    preferred: frozenset[str] = frozenset()
    graded_good: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    thumbs_up: int = 0
    thumbs: int = 0

    @property
    def examples(self) -> frozenset[str]:
        """Answers that a model can be trained on."""
        return self.corrected | self.liked | self.preferred | self.graded_good


class Evidence(Struct, frozen=True):
    """All of one workload, from `since` to `until` (seconds since the epoch; days are UTC)."""

    workload: str
    since: float
    until: float
    traffic: Sequence[Entry] = ()
    housekeeping: Sequence[Entry] = ()
    """Titles and tags that chat clients asked for."""
    evaluation: Sequence[Entry] = ()
    """What our own programs asked: eval runs, judges."""
    seen: Sequence[Seen] = ()
    graded: Sequence[GradedAnswer] = ()
    graded_left_out: int = 0
    """Graded answers that were too many to look at."""
    synthetic: int = 0
    """Graded answers to questions that a model wrote: they say nothing of the traffic, and are not in `graded`."""
    judges: Mapping[str, JudgeStanding] = {}
    """What each judge's grades are worth, by `name@hash`."""
    said: Said = Said()
    runs: Sequence[EvalRun] = ()
    corpora: Mapping[str, Corpus] = {}
