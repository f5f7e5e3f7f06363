"""Holds a judge against people on the answers of an eval set, and keeps what comes out as its certificate."""

import time
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from rungwise_pipelines.judges.answers import Answers
from rungwise_pipelines.judges.ask import Judged, judge_id
from rungwise_pipelines.judges.compare import Compared
from rungwise_pipelines.judges.money import model_of
from rungwise_server.errors import BadRequest
from rungwise_server.evals import Preference
from rungwise_server.grading.order import item_of
from rungwise_server.grading.things import Thing, text_of
from rungwise_server.judging.certificates.certificate import Certificate, Terms, certify
from rungwise_server.judging.certificates.grades import Graded, Item
from rungwise_server.judging.certificates.wire import as_json
from rungwise_server.judging.drift import Traffic
from rungwise_server.judging.judges.preferring import Preferring
from rungwise_server.judging.trust import Certified, certificate_id
from rungwise_server.protocols import Judge, PairJudge


class Unseen(Struct, frozen=True):
    """The answers that say how well a judge judges: not those whose questions it was shown as examples."""

    things: Sequence[Thing]
    left_out: int


def unseen(judge: Judge, things: Sequence[Thing]) -> Unseen:
    """Leave out every answer to a question that the judge was shown with a person's grade."""
    model = model_of(judge)
    shots = {shot.inference_id for shot in model.shots} if model else set()
    questions = {thing.question for thing in things if thing.answers[0].id in shots}
    left = [thing for thing in things if thing.question not in questions]
    return Unseen(left, len(things) - len(left))


def items_of(judge: Judge, things: Sequence[Thing], answers: Answers, judged: Judged) -> list[Item]:
    """The answers as certificates take them: a system is the candidate that answered."""
    model = model_of(judge)
    items = []
    for thing in things:
        answer = thing.answers[0]
        said = judged.grades.get(answer.id)
        people = {who: grade for who, grade in answers.grades.get(thing.id, {}).items() if not grade.judge}
        own = None if model is None else answer.candidate == model.model.candidate
        item = item_of(thing, {**people, judge_id(judge): said} if said else people, judge_id(judge))
        items.append(msgspec.structs.replace(item, length=float(len(text_of(answer))), own=own))
    return items


def certificate_of(judge: Judge, answers: Answers, judged: Judged, terms: Terms) -> Certificate:
    """The certificate on all answers that the judge was not shown.

    Raises:
        BadRequest: the judge gave no grade.
    """
    seen = unseen(judge, answers.things)
    items = items_of(judge, seen.things, answers, judged)
    silent = sum(1 for thing in seen.things if _silent(judged, thing))
    notes = []
    if seen.left_out:
        notes.append(f"Left out, since the judge was shown their questions as examples: {seen.left_out} answers.")
    if failed := judged.failed:
        notes.append(f"The judge could not be asked about {failed} answers: {judged.trouble}")
    if silent:
        notes.append(f"The judge could not tell of {silent} answers; they count by people's grades alone.")
    return _certificate(judge, answers, seen.things, items, notes, terms)


def items_of_pairs(judge: PairJudge, answers: Answers, compared: Compared) -> list[Item]:
    """The pairs as certificates take them: a system is two candidates, and a grade the share of the first."""
    own = judge.model.candidate if isinstance(judge, Preferring) else None
    items = []
    for thing in answers.things:
        people = {who: grade for who, grade in answers.grades.get(thing.id, {}).items() if not grade.judge}
        said = compared.said.get(thing.id, Preference(None, None))
        first, second = (float(len(text_of(answer))) for answer in thing.answers)
        items.append(
            msgspec.structs.replace(
                item_of(thing, people, ""),
                judge=said.share,
                straight=said.value,
                swapped=said.swapped,
                lengths=(first, second),
                own_first=thing.candidates[0] == own if own in thing.candidates else None,
            )
        )
    return items


def certificate_of_pairs(judge: PairJudge, answers: Answers, compared: Compared, terms: Terms) -> Certificate:
    """The certificate on all pairs.

    Raises:
        BadRequest: the judge could tell of none.
    """
    items = items_of_pairs(judge, answers, compared)
    notes = [
        "Each item is a pair; a grade is the share of the win of the candidate named first. The judge was asked in "
        "both orders, and its grade is their mean."
    ]
    if failed := compared.failed:
        notes.append(f"The judge could not be asked about {failed} pairs: {compared.trouble}")
    if silent := sum(1 for said in compared.said.values() if said.share is None):
        notes.append(f"The judge could not tell of {silent} pairs in one order at the least.")
    found = _certificate(judge, answers, answers.things, items, notes, terms)
    # Pairs of candidates are no systems that could be ranked by how often the first wins.
    return msgspec.structs.replace(found, ranking=())


def _certificate(
    judge: Judge | PairJudge,
    answers: Answers,
    things: Sequence[Thing],
    items: Sequence[Item],
    told: Sequence[str],
    terms: Terms,
) -> Certificate:
    if all(item.judge is None for item in items):
        raise BadRequest(f"The judge {judge.name!r} could not tell of any answer: there is nothing to certify.")
    notes = [*told]
    if not answers.of.frozen_at:
        notes.insert(0, f"{answers.of.id} is a draft: `rungwise eval freeze {answers.of.name}` holds it still.")
    synthetic = sum(1 for thing in things if thing.example is not None and thing.example.synthetic)
    if synthetic:
        notes.append(f"To questions that a model wrote: {synthetic} of the {len(items)} items.")
    return certify(
        Graded(tuple(items), tuple(notes)), terms, judge_hash=judge.hash, grades_hash=answers.of.hash or answers.of.id
    )


def certified_of(judge: Judge | PairJudge, answers: Answers, certificate: Certificate, traffic: Traffic) -> Certified:
    """The certificate as it is kept."""
    of = answers.of
    return Certified(
        id=certificate_id(),
        judge=judge.name,
        judge_hash=judge.hash,
        rubric=judge.rubric,
        workload=of.workload,
        set_id=of.id,
        set_hash=of.hash,
        at=time.time(),
        traffic=traffic,
        verdict=certificate.verdict.word,
        thin=certificate.verdict.thin,
        certificate=Raw(msgspec.json.encode(as_json(certificate))),
    )


def _silent(judged: Judged, thing: Thing) -> bool:
    grade = judged.grades.get(thing.answers[0].id)
    return grade is not None and grade.value is None
