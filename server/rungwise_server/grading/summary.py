"""What the grades tell so far: each candidate's quality with its interval, after five grades as after five hundred.

Answers to questions that a model wrote count by themselves, never together with real ones.
"""

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from rungwise_server.grading.counting import Counted, people_of
from rungwise_server.grading.order import LEVEL, MARGIN, THRESHOLD, item_of, judge_of
from rungwise_server.grading.people import AmongPeople, among_people
from rungwise_server.grading.things import Mode, Thing
from rungwise_server.judging.certificates.agreement import Agreement
from rungwise_server.judging.certificates.certificate import Terms, certify
from rungwise_server.judging.certificates.grades import Graded
from rungwise_server.judging.certificates.intervals import Interval
from rungwise_server.judging.certificates.verdict import Word

TERMS = Terms(level=LEVEL, margin=MARGIN, threshold=THRESHOLD, next=0)


class WithJudge(Struct, frozen=True):
    """What the judge adds to people's grades, and how far it agrees with them."""

    judge: str
    """`name@hash`."""
    graded: int
    alone: Interval | None
    """The judge's mean grade, its errors not counted."""
    agreement: Agreement
    verdict: Word
    thin: bool
    reasons: tuple[str, ...]


class Standing(Struct, frozen=True):
    """One candidate, or two that were compared: then a quality is the first one's share of the wins."""

    candidates: tuple[str, ...]
    things: int
    """Answers, or pairs, that there are."""
    graded: int
    """Of them, those that a person graded."""
    synthetic: bool
    """Whether these are the questions that a model wrote, or the real ones."""
    quality: Interval | None
    """Of answers like these, by people's grades and, where there is a judge, its own. None without a person's grade."""
    people: Interval | None
    """By people's grades alone."""
    judge: WithJudge | None = None


class Summary(Struct, frozen=True):
    """All candidates under one rubric, and how far the graders agree."""

    rubric: str
    mode: Mode
    standings: tuple[Standing, ...]
    among: AmongPeople


def summary_of(things: Sequence[Thing], grades: Counted, rubric: str, mode: Mode) -> Summary:
    """What `grades` say of `things`."""
    systems: dict[tuple[bool, tuple[str, ...]], list[Thing]] = defaultdict(list)
    for thing in things:
        synthetic = thing.example is not None and thing.example.synthetic
        systems[synthetic, thing.candidates].append(thing)
    judge = judge_of(things, grades)
    said = [people_of(grades.get(thing.id, {}), thing.answers[0].id) for thing in things]
    return Summary(
        rubric,
        mode,
        tuple(_standing(names, synthetic, own, grades, judge) for (synthetic, names), own in sorted(systems.items())),
        among_people([by for by in said if by], LEVEL),
    )


def _standing(
    names: tuple[str, ...], synthetic: bool, things: Sequence[Thing], grades: Counted, judge: str
) -> Standing:
    items = [item_of(thing, grades.get(thing.id, {}), judge) for thing in things]
    told = [item for item in items if item.human is not None or item.judge is not None]
    people = [item for item in items if item.human is not None]
    if not told:
        return Standing(names, len(things), 0, synthetic, None, None)
    certificate = certify(Graded(tuple(told)), TERMS)
    estimates, judged = certificate.estimates, sum(item.judge is not None for item in told)
    quality = estimates.quality if judged else estimates.humans_alone
    return Standing(
        names,
        len(things),
        len(people),
        synthetic,
        quality if people else None,
        estimates.humans_alone,
        WithJudge(
            judge,
            judged,
            estimates.judge_alone,
            certificate.agreement,
            certificate.verdict.word,
            certificate.verdict.thin,
            certificate.verdict.reasons,
        )
        if judged
        else None,
    )
