"""What is gathered, traced and shown."""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import Example, example_id
from rungwise_server.ledger.book import Page
from rungwise_server.ledger.facts import Facts, WorkloadFacts
from rungwise_server.ledger.html import html_of
from rungwise_server.ledger.ledger import Ledger, lines_behind, parse_days
from rungwise_server.ledger.sample import STRETCH, STRETCHES, sampled
from rungwise_server.ledger.sheet import Line, assumed
from rungwise_server.ledger.show import rounded, saved, spanned
from rungwise_server.ledger.simulate import Volume, parse_volumes
from rungwise_server.ledger.trusted import JudgeStanding
from rungwise_server.ledger.wire import page_json
from rungwise_server.log.memory import MemoryLog
from rungwise_server.records import Inference, LogQuery, LogRecord
from rungwise_server.testing.keeping import MemoryKept
from rungwise_server.testing.log import a_feedback, a_grade, an_inference

PagesOf = Callable[..., Awaitable[list[Page]]]


def all_kinds(answers: list[LogRecord]) -> list[LogRecord]:
    """The answers, and of every other kind of row some."""
    at = answers[0].at + 100
    return [
        *answers,
        *(a_feedback(f"fc-{n}", answers[n].id, at=at, kind="correction", value=None, text="So.") for n in range(7)),
        *(a_feedback(f"fr-{n}", answers[n + 10].id, at=at, value=1.0 if n % 3 else -1.0) for n in range(30)),
        *(a_feedback(f"fp-{n}", answers[n + 50].id, at=at, kind="preference", value=None, over="x") for n in range(4)),
        *(a_grade(f"gr-{n}", answers[n + 60].id, at=at, value=float(n % 5 > 0)) for n in range(25)),
        *(a_grade(f"gj-{n}", answers[n + 60].id, at=at, judge="strict@1", value=1.0) for n in range(40)),
        *(an_inference(f"own-{n}", at=at, surface="eval", cost=0.1) for n in range(3)),
        an_inference("chore", at=at, housekeeping=True, cost=0.1),
        an_inference("small-1", at=at, candidate="small", cost=None),
    ]


@pytest.fixture
async def log(answers: list[LogRecord]) -> MemoryLog:
    made = MemoryLog()
    for record in all_kinds(answers):
        await made.append(record)
    return made


@pytest.fixture
def ledger(log: MemoryLog, facts: Facts, noon: float) -> Ledger:
    return Ledger(log, EvalSets(MemoryKept()), facts, standings=certified, clock=lambda: noon)


async def certified(judge: str, workload: str) -> JudgeStanding:
    """Every judge is."""
    return JudgeStanding(True, "cert-1", "trust", f"certified on {workload}@v1: trust it", "valid")


async def test_every_figure_of_the_log_leads_to_its_rows(ledger: Ledger) -> None:
    pages = await ledger.pages(days=30)
    traced = 0
    for line in pages[0].lines:
        for rows in line.source.rows:
            found = [record.id async for record in ledger.rows(rows)]
            assert len(found) == rows.count, (line.name, rows)
            traced += rows.count > 0
    assert traced > 10


async def test_a_trace_goes_down_to_what_is_given(ledger: Ledger) -> None:
    pages = await ledger.pages(days=30)
    behind = lines_behind(pages, "support/finetuned/payback")
    names = {line.name for line in behind}
    assert {"support/finetuned/saving", "support/today", "support/asked", "support/finetuned/person-hour"} <= names
    assert all(line.source.lines or line.source.kind != "lines" for line in behind if line.name != "support/tokens")
    assert lines_behind(pages, "finetuned/payback") == behind
    with pytest.raises(NotFound, match="several end so"):
        lines_behind(pages, "payback")


async def test_an_unknown_workload_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="there are: support"):
        await ledger.pages("nobody")


async def test_a_grade_that_was_taken_back_does_not_count(
    log: MemoryLog, ledger: Ledger, answers: list[LogRecord]
) -> None:
    (before,) = await ledger.pages(days=30)
    for number in range(25):
        await log.append(a_grade(f"back-{number}", answers[number + 60].id, at=answers[0].at + 200, value=None))
    (after,) = await ledger.pages(days=30)
    assert (before.quality.how, before.quality.people) == ("corrected", 25)
    assert (after.quality.how, after.quality.people) == ("judge", 0)


async def test_what_an_eval_set_holds_is_no_example_to_train_on(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    sets = EvalSets(MemoryKept())
    held = answers[3]
    assert isinstance(held, Inference)
    id = example_id(held.messages, held.caller, {})
    draft = await sets.draft("support", "support")
    await sets.add(draft, [Example(id, held.messages, held.caller, "log", source=held.id)])
    (page,) = await pages_of(all_kinds(answers), sets=sets)
    (without,) = await pages_of(all_kinds(answers))
    mine, all_of_them = (one.plans[0].needs[0] for one in (page, without))
    assert all_of_them.at_hand - mine.at_hand == 1
    assert "1 more are in eval sets" in mine.what


async def test_questions_that_a_model_wrote_count_for_nothing(pages_of: PagesOf, answers: list[LogRecord]) -> None:
    sets = EvalSets(MemoryKept())
    asked = answers[3]
    assert isinstance(asked, Inference)
    id = example_id(asked.messages, asked.caller, {})
    draft = await sets.draft("support", "support")
    await sets.add(draft, [Example(id, asked.messages, asked.caller, "docs")])
    at = answers[0].at
    grades = [a_grade(f"g{n}", answers[n].id, at=at, value=1.0, example=id if n < 5 else "") for n in range(12)]
    (page,) = await pages_of([*answers, *grades], sets=sets)
    assert page.quality.people == 7
    assert any(note.startswith("5 graded answers are to questions that a model wrote") for note in page.notes)


async def test_a_sample_is_spread_and_bounded(noon: float) -> None:
    log = MemoryLog()
    for number in range(5000):
        await log.append(an_inference(f"i{number}", at=noon - 5000 + number, workload="w" if number % 2 else "other"))
    query = LogQuery(workload="w", since=noon - 4800, until=noon - 200)
    found = await sampled(log, query, lambda _: "")
    numbers = [int(one.id[1:]) for one in found]
    assert 1500 < len(found) <= STRETCHES * STRETCH
    assert min(numbers) >= 200
    assert max(numbers) < 4800
    assert min(numbers) < 400
    assert max(numbers) > 4600
    assert len(set(numbers)) == len(numbers)
    few = await sampled(log, replace(query, since=noon - 300), lambda _: "")
    assert [int(one.id[1:]) for one in few] == [n for n in range(4700, 4800) if n % 2]
    assert await sampled(log, replace(query, workload="none"), lambda _: "") == []


async def test_the_page_for_programs_is_json(ledger: Ledger) -> None:
    (page,) = await ledger.pages(days=30, volumes=parse_volumes("10x"))
    told = msgspec.json.decode(msgspec.json.encode(page_json(page)))
    assert told["rungs"][0]["payback_months"]["value"] is None
    assert told["rungs"][0]["payback_months"]["text"] == "never"
    assert told["simulation"]["worlds"][0]["label"] == "10x"
    assert told["quality"]["known_from"] == "a certified judge's grades, corrected by people's"
    assert (told["quality"]["judge"], told["quality"]["certificate"]) == ("strict@1", "cert-1")
    line = next(one for one in told["spent"] if one["name"] == "support/spent-frontier")
    assert line["source"]["rows"][0]["count"] == 1000
    assert line["source"]["rows"][0]["query"]["workload"] == "support"


async def test_the_file_for_people_is_whole_and_loads_nothing(ledger: Ledger) -> None:
    page = html_of(await ledger.pages(days=30, volumes=parse_volumes("10x")))
    assert page.count("<article>") == page.count("</article>") == 1
    assert page.count("<svg") == page.count("</svg>") > 4
    assert "nan" not in page.split("</style>")[1].replace("finance", "")
    assert "http" not in page
    assert "<script" not in page


async def test_names_from_the_log_are_escaped(pages_of: PagesOf, answers: list[LogRecord], facts: Facts) -> None:
    evil = '<img src=x onerror="alert(1)">'
    records = [an_inference(f"x{n}", at=answers[0].at, workload=evil, candidate=evil, cost=1.0) for n in range(30)]
    graded = [a_grade(f"g{n}", f"x{n}", at=answers[0].at, judge=f"{evil}@1", rubric=evil) for n in range(30)]
    odd = replace(facts, workloads={"support": WorkloadFacts("support", evil, (evil,), (evil,))})
    page = html_of(await pages_of([*answers, *records, *graded], among=odd, volumes=[Volume(times=2.0)]))
    assert "<img" not in page
    assert "&lt;img" in page


def test_volumes_and_spans_are_read_or_refused() -> None:
    assert parse_volumes("2x, 10x,5000/day, 700") == (
        Volume(times=2.0),
        Volume(times=10.0),
        Volume(daily=5000.0),
        Volume(daily=700.0),
    )
    assert parse_volumes("") == ()
    assert [parse_days(text) for text in ("90d", "12w", "1y")] == [90, 84, 365]
    for wrong in ("x", "-2x", "0x", "1e9x", "2000000x", ",".join(["1x"] * 13)):
        with pytest.raises(BadRequest):
            parse_volumes(wrong)
    for wrong in ("", "90", "0d", "d", "99999y"):
        with pytest.raises(BadRequest):
            parse_days(wrong)


@given(text=st.text("0123456789.,xdwy/ -é", max_size=12))
def test_whatever_is_asked_is_read_or_refused(text: str) -> None:
    for parse in (parse_volumes, parse_days):
        with suppress(BadRequest):
            parse(text)


@given(value=st.floats(allow_nan=False))
def test_every_number_can_be_shown(value: float) -> None:
    assert rounded(value)
    line = Line("w/x", "", "", value, value, value, "months" if value > 0 else "money", assumed(""))
    assert spanned(line)
    assert saved(line)


def test_numbers_as_people_read_them() -> None:
    shown = [rounded(value) for value in (0.0, 0.001234, 4.5678, 1234.5, 45_600_000, 2.5e9, 1.6e14, -1234.5)]
    assert shown == ["0", "0.00123", "4.57", "1,230", "45.6 million", "2.5 billion", "160 trillion", "-1,230"]
    assert rounded(math.inf) == "never"


def test_a_payback_of_days_is_told_in_days() -> None:
    line = Line("p", "", "", 0.018, 0.01, 0.05, "months", assumed(""))
    assert spanned(line) == "1 day (1 to 2)"
    assert spanned(replace(line, value=0.5, low=0.2, high=0.9)) == "16 days (7 to 28)"
    assert spanned(replace(line, value=0.5, low=0.2, high=3.0)) == "0.5 months (0.2 to 3)"
    assert spanned(replace(line, value=None)) == "not known"
