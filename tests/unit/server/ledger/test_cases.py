"""The cases for a model of one's own, and the advice."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.eval_sets import EvalSets
from rungwise_server.ledger.book import Page
from rungwise_server.ledger.cases import cases_of
from rungwise_server.ledger.evidence import Evidence, GradedAnswer, Seen
from rungwise_server.ledger.facts import CandidateFacts, Facts, Terms
from rungwise_server.ledger.html import html_of
from rungwise_server.ledger.ledger import Ledger
from rungwise_server.ledger.simulate import parse_volumes
from rungwise_server.ledger.speed import speeds_of
from rungwise_server.ledger.weak import segments_of
from rungwise_server.ledger.wire import page_json
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Inference, LogRecord
from rungwise_server.retrieval.language import guess
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.log import a_feedback, a_grade
from rungwise_server.types import Message

PagesOf = Callable[..., Awaitable[list[Page]]]


def graded(language: str, count: int, good: int, candidate: str = "a") -> list[GradedAnswer]:
    return [
        GradedAnswer(f"{language}{candidate}{n}", candidate, "correct", (float(n < good),), language=language)
        for n in range(count)
    ]


def evidence(*answers: list[GradedAnswer], seen: tuple[Seen, ...] = ()) -> Evidence:
    return Evidence("w", 0.0, 1.0, graded=[one for part in answers for one in part], seen=seen)


def test_a_language_where_all_are_weak() -> None:
    seen = tuple(Seen(str(n), "a", "de" if n < 3 else "en", 1.0, 2.0, True) for n in range(10))
    found = segments_of(
        evidence(
            graded("de", 40, 10), graded("de", 40, 20, "b"), graded("en", 200, 195), graded("ja", 3, 0), seen=seen
        ),
        0.9,
    )
    assert [(one.name, one.standing) for one in found] == [("de", "weak"), ("en", "good")]
    german = found[0]
    assert (german.candidate, german.estimate, german.count, german.share) == ("b", 0.5, 40, 0.3)


def test_where_all_is_weak_no_part_is_the_weak_one() -> None:
    parts = segments_of(evidence(graded("de", 40, 10), graded("en", 40, 12)), 0.9)
    assert {one.standing for one in parts} == {"weak"}
    field, *_ = cases_of(parts, (), (), 0.0)
    assert field.found is False
    assert "missed in all that was graded" in field.told
    field, *_ = cases_of(segments_of(evidence(graded("de", 40, 10), graded("en", 200, 195)), 0.9), (), (), 0.0)
    assert field.found


def test_one_good_candidate_is_enough_and_few_grades_are_not() -> None:
    strong = segments_of(evidence(graded("de", 40, 5), graded("de", 200, 198, "b"), graded("en", 5, 5)), 0.9)
    assert {one.name: one.standing for one in strong} == {"de": "good", "en": "unknown"}
    assert next(one for one in strong if one.name == "en").more >= 25


def test_a_judge_that_nobody_checked_settles_nothing() -> None:
    judged = [
        GradedAnswer(f"{language}{n}", "a", "correct", (), (("strict@1", 0.0),), language)
        for language in ("de", "en")
        for n in range(50)
    ]
    assert {one.standing for one in segments_of(evidence(judged), 0.9)} == {"unknown"}


def test_one_language_alone_is_the_workload_itself() -> None:
    assert segments_of(evidence(graded("de", 40, 10)), 0.9) == ()


def test_latency_is_missed_beyond_doubt_or_not() -> None:
    seen = [Seen(str(n), "a", "", 400.0 + n, 900.0, True) for n in range(100)]
    (speed,) = speeds_of([*seen, Seen("x", "a", "", 9e9, 9e9, False)])
    assert speed.count == 100
    assert speed.low < speed.median < speed.high
    assert speed.misses(400)
    assert not speed.misses(450)
    assert not speeds_of(seen[:10])[0].misses(1)


async def test_no_candidate_is_quick_enough(pages_of: PagesOf, answers: list[LogRecord], facts: Facts) -> None:
    quick = replace(facts, terms=Terms(latency_ms=100))
    (page,) = await pages_of(answers, among=quick)
    assert [(case.kind, case.found) for case in page.cases][1] == ("latency", True)
    assert "no model is quick enough" in page.advice.sentence


def grades(answers: list[LogRecord], count: int, good: int) -> list[LogRecord]:
    return [
        a_grade(f"gr-{n}", answers[n * 9].id, at=answers[n * 9].at + 60, value=float(n % count < good))
        for n in range(count)
    ]


async def test_weak_answers_and_too_few_examples(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    (page,) = await pages_of([*answers, *grades(answers, 60, 30)])
    assert page.quality.how == "people"
    assert page.advice.word == "gather"
    assert page.advice.rung == "finetuned"
    assert "70 corrections" in page.advice.sentence


async def test_weak_answers_and_enough_examples(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    mended = [
        a_feedback(f"fb-{n}", answers[n].id, at=1.0, kind="correction", value=None, text="So.") for n in range(100)
    ]
    (page,) = await pages_of([*answers, *grades(answers, 60, 30), *mended])
    assert (page.advice.word, page.advice.rung) == ("measure", "finetuned"), "nothing has shown that it would be better"
    assert "rungwise sweep support" in page.advice.sentence
    assert "more a year" in page.advice.sentence


async def test_what_nobody_knows_the_price_of_saves_nobody_knows_what(
    pages_of: PagesOf, answers: list[LogRecord], facts: Facts
) -> None:
    """A sum of nothing is not a cost of nothing."""
    unknown = [replace(record, cost=None) for record in answers if isinstance(record, Inference)]
    bare = replace(facts, candidates={"frontier": CandidateFacts("frontier")})
    (page,) = await pages_of(unknown, among=bare, volumes=parse_volumes("1000000/day"))
    assert (page.advice.word, page.advice.rung) == ("measure", "rag")
    assert "candidates.frontier.price" in page.advice.sentence
    assert next(line.value for line in page.today if line.name == "support/today") is None
    assert {(plan.year.value, plan.saving.value, plan.payback.value) for plan in page.plans} == {(None, None, None)}
    assert page.plans[0].upfront.value
    assert page.simulation is None
    assert page.cases[2].found is None
    assert "not known" in html_of([page])
    assert page_json(page)["rungs"]


async def test_prices_in_another_currency_are_told(pages_of: PagesOf, answers: list[LogRecord], facts: Facts) -> None:
    listed = replace(facts.candidates["frontier"], price_from="litellm's table of prices")
    euros = Facts(facts.workloads, {"frontier": listed}, Terms(currency="EUR"))
    (page,) = await pages_of(answers, among=euros)
    assert page.notes[0].startswith("frontier: prices of litellm's table are in USD")
    (page,) = await pages_of(answers, among=replace(euros, terms=Terms()))
    assert page.notes == ()
    (page,) = await pages_of(answers, among=replace(facts, terms=Terms(currency="EUR")))
    assert page.notes == ()


async def test_what_failed_is_mended_first(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    failed = [
        replace(record, outcome="failed", candidate="", cost=None, usage=None)
        for record in answers
        if isinstance(record, Inference)
    ]
    (page,) = await pages_of(failed)
    assert "not one of 1,000 requests was answered" in page.advice.sentence
    assert page.rung_why.startswith("frontier is to answer")
    assert next(line.value for line in page.today if line.name == "support/today") == 0


async def test_what_one_candidate_is_weak_in_another_may_not_be(
    pages_of: PagesOf, answers: list[LogRecord], facts: Facts, noon: float
) -> None:
    log = MemoryLog()
    texts = (
        "Wie setze ich das Kennwort von meinem Konto zurück, und warum geht es nicht?",
        "How do I set the password of my account, and why does it not work?",
    )
    for number, record in enumerate(answers[:200]):
        assert isinstance(record, Inference)
        await log.append(replace(record, messages=(Message("user", texts[number % 2], Raw(b"{}")),)))
        graded = a_grade(f"g{number}", record.id, at=record.at, value=float(number % 2))
        await log.append(graded)
    local = CandidateFacts("local", hourly=2.0)
    workload = replace(facts.workloads["support"], candidates=("frontier", "local"))
    both = Facts({"support": workload}, {**facts.candidates, "local": local}, facts.terms)
    (page,) = await Ledger(log, EvalSets(MemoryKept()), both, language=guess, clock=lambda: noon).pages(days=30)
    assert page.cases[0].found
    assert "language de" in page.cases[0].told
    assert "Not graded there yet: local." in page.cases[0].told


async def test_volume_that_pays(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    dear = [replace(record, cost=20.0) for record in answers if isinstance(record, Inference)]
    (page,) = await pages_of(dear)
    assert page.cases[2].found
    assert page.advice.word == "measure"
    assert page.advice.sentence.startswith("Grade 30 answers first")
    (page,) = await pages_of([*dear, *grades(answers, 60, 60)])
    assert (page.advice.word, page.advice.rung) == ("climb", "finetuned")
    assert "would save" in page.advice.sentence


async def test_what_is_trained_already_says_its_rung(pages_of: PagesOf, answers: list[LogRecord], facts: Facts) -> None:
    tuned = CandidateFacts("frontier", trained="finetuned")
    (page,) = await pages_of(answers, among=replace(facts, candidates={"frontier": tuned}))
    assert page.rung == "finetuned"
    assert [plan.rung for plan in page.plans] == ["continued", "scratch"]
    whole = CandidateFacts("frontier", trained="scratch")
    (page,) = await pages_of(answers, among=replace(facts, candidates={"frontier": whole}))
    assert page.plans == ()
    assert page.advice.word == "stay"


@pytest.mark.parametrize("count", [0, 3])
async def test_few_data_are_said_to_be_few(pages_of: PagesOf, answers: list[LogRecord], count: int) -> None:
    few = grades(answers, count, count) if count else []
    (page,) = await pages_of([*answers, *few])
    assert not page.quality.known
    assert page.advice.grade_more >= 5
    assert f"grade {page.advice.grade_more}" in page.advice.sentence
    assert page.cases[0].found is None


async def test_languages_are_those_of_the_last_question(answers: list[LogRecord], noon: float) -> None:
    log = MemoryLog()
    german = "Wie setze ich das Kennwort von meinem Konto zurück, und warum geht es nicht?"
    english = "How do I set the password of my account, and why does it not work?"
    for number, record in enumerate(answers[:200]):
        assert isinstance(record, Inference)
        asked = tuple(Message("user", text, Raw(b"{}")) for text in ("¿Qué es?", german if number % 2 else english))
        await log.append(replace(record, messages=asked))
    for record in grades(answers, 20, 20):
        await log.append(record)
    (page,) = await Ledger(log, EvalSets(MemoryKept()), Facts(), language=guess, clock=lambda: noon).pages(days=30)
    assert page.looked_at == 200
    assert [(one.name, one.count, one.share) for one in page.segments] == [("de", 10, 0.5), ("en", 10, 0.5)]
