"""The ledger as one HTML file for whoever holds the budget: a card a workload, the sums behind it folded away.

It loads nothing and runs nothing, and everything that is not ours is escaped.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from rungwise_server.ledger.advice import Word
from rungwise_server.ledger.book import Page
from rungwise_server.ledger.climb import Plan
from rungwise_server.ledger.facts import NAMES, Rung, named
from rungwise_server.ledger.pictures import curve, ladder, progress, quality_bar, sparkline
from rungwise_server.ledger.sheet import Line
from rungwise_server.ledger.show import money, months, percent, quality_told, rounded, saved, source_told, spanned
from rungwise_server.ledger.weak import Segment
from rungwise_server.pages import document, heading

_WORDS: dict[Word, str] = {"stay": "Stay", "climb": "Climb", "measure": "Measure first", "gather": "Gather first"}


def html_of(pages: Sequence[Page]) -> str:
    """The whole file."""
    title = "The ledger"
    when = f"{_day(pages[0].since)} to {_day(pages[0].until)}, days UTC" if pages else "no workload"
    cards = "".join(_card(page) for page in pages)
    return document(
        title,
        f"<main>{heading(title)}"
        f'<p class="soft">What each workload costs, how good it is, and what the next rung would take. {when}.</p>'
        f"{_overview(pages)}{cards}{_reading()}</main>",
        _style(),
    )


def _style() -> str:
    return files("rungwise_server").joinpath("ledger", "page.css").read_text(encoding="utf-8")


def _overview(pages: Sequence[Page]) -> str:
    if len(pages) < 2:
        return ""
    rows = [
        (
            page.workload,
            NAMES[page.rung],
            f"{page.traffic.requests:,}",
            f"{rounded(page.traffic.money)} {page.currency}",
            "not known" if page.quality.estimate is None else percent(page.quality.estimate),
            _WORDS[page.advice.word],
        )
        for page in pages
    ]
    total = f"{rounded(sum(page.traffic.money for page in pages))} {pages[0].currency}"
    rows.append(("all", "", f"{sum(page.traffic.requests for page in pages):,}", total, "", ""))
    return (
        "<article>" + _table(("workload", "rung", "requests", "spent", "good answers", "advice"), rows) + "</article>"
    )


def _card(page: Page) -> str:
    gone = "" if page.configured else '<span class="soft">no longer configured</span>'
    text = f'<p class="soft">{escape(page.description)}</p>' if page.description else ""
    word = page.advice.word
    return (
        f"<article><header><h2>{escape(page.workload)}</h2>"
        f'<span class="word {word}">{_WORDS[word]}</span>{gone}</header>'
        f'{text}<p class="advice">{_prose(page.advice.sentence)}</p>'
        f'<div class="two">{ladder(page.rung, page.advice.rung, _beside(page))}{_figures(page)}</div>'
        f"{''.join(_sections(page))}</article>"
    )


def _beside(page: Page) -> dict[Rung, str]:
    year = next(line.value for line in page.today if line.name.endswith("/today"))
    today = "not known" if year is None else f"{rounded(year)} {page.currency}"
    beside: dict[Rung, str] = {page.rung: f"today: {today} a year"}
    for plan in page.plans:
        if plan.saving.value is None:
            continue
        never = months(plan.payback) == "never"
        beside[plan.rung] = saved(plan.saving).partition(" (")[0] if never else f"paid back: {months(plan.payback)}"
        if never and plan.saving.value:
            beside[plan.rung] += " more a year"
    return beside


def _line(page: Page, name: str) -> str:
    return spanned(next(line for line in page.lines if line.name == f"{page.workload}/{name}"))


def _figures(page: Page) -> str:
    volume = _line(page, "volume")
    unpriced = f", and {page.traffic.unpriced:,} answers whose cost is not known" if page.traffic.unpriced else ""
    items = (
        ("Good answers", f"{quality_bar(page.quality, page.target)}{escape(quality_told(page.quality))}"),
        (f"Spent, {page.currency}", f"{sparkline(page.traffic.days, page.currency)}{_line(page, 'spent')}{unpriced}"),
        ("Requests a day", escape(volume)),
        ("Spent on evaluation", f"{_line(page, 'spent-on-evaluation')} {escape(page.currency)}"),
        ("Spent on titles and tags", f"{_line(page, 'spent-on-housekeeping')} {escape(page.currency)}"),
    )
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{told}</dd>" for name, told in items) + "</dl>"


def _sections(page: Page) -> Iterator[str]:
    if page.traffic.candidates:
        yield "<h3>Who answers</h3>" + _candidates(page)
    if page.plans:
        yield "<h3>The rungs above</h3>" + _rungs(page)
        yield from (_needs(plan) for plan in page.plans[:1])
    if page.simulation is not None:
        yield "<h3>At other volumes</h3>" + _simulation(page)
    cases = "".join(f"<li>{_prose(case.told)}</li>" for case in page.cases)
    yield f"<h3>Cases for a model of your own</h3><ul>{cases}</ul>"
    if page.segments:
        yield _table(
            ("part", "of traffic", "good answers", "grades", "standing"), [_segment(one) for one in page.segments]
        )
    why = "".join(f"<li>{_prose(told)}</li>" for told in (*page.advice.reasons, *page.notes))
    yield f"<h3>Why</h3><ul>{why}</ul>"
    yield _sums("What these days cost", page.spent)
    yield _sums("A year as today", page.today)
    for plan in page.plans:
        yield _sums(f"The sum of {named(plan.rung)}", plan.lines)


def _candidates(page: Page) -> str:
    qualities, speeds = dict(page.qualities), {speed.candidate: speed for speed in page.speeds}
    rows = [
        (
            row.candidate or "(none)",
            f"{row.requests:,}",
            f"{row.input_tokens:,}",
            f"{row.output_tokens:,}",
            rounded(row.money) + (f" + {row.unpriced:,} not priced" if row.unpriced else ""),
            f"{speeds[row.candidate].median:,.0f} ms" if row.candidate in speeds else "",
            quality_told(qualities[row.candidate]) if row.candidate in qualities else "not known",
        )
        for row in page.traffic.candidates
    ]
    head = ("candidate", "requests", "tokens in", "tokens out", page.currency, "first byte", "good answers")
    return _table(head, rows)


def _rungs(page: Page) -> str:
    head = ("", f"to get there, {page.currency}", "a year on it", "saved in a year", "paid back after", "what decides")
    rows = [
        (plan.name, money(plan.upfront), money(plan.year), money(plan.saving), months(plan.payback), plan.driver)
        for plan in page.plans
    ]
    gains = "".join(f"<li><b>{escape(plan.name)}.</b> {escape(plan.gains)}</li>" for plan in page.plans)
    return _table(head, rows, (1, 2, 3, 4)) + f"<ul>{gains}</ul>"


def _needs(plan: Plan) -> str:
    rows = "".join(
        f"<tr><td>{escape(need.what)}</td><td>{progress(need.at_hand, need.wanted)}</td>"
        f"<td>{rounded(need.at_hand)} of {rounded(need.wanted)}</td><td class=small>{escape(need.rule)}</td></tr>"
        for need in plan.needs
    )
    return f'<h3>What {escape(named(plan.rung))} takes</h3><div class="scroll"><table>{rows}</table></div>'


def _segment(one: Segment) -> tuple[str, ...]:
    share = "" if one.share is None else percent(one.share)
    span = f"{percent(one.estimate)} ({percent(one.low)} to {percent(one.high)})"
    told = {"weak": "weak", "good": "good enough", "unknown": f"not enough to say: grade {one.more} more"}
    return f"{one.kind} {one.name}", share, span, f"{one.count}", told[one.standing]


def _simulation(page: Page) -> str:
    assert page.simulation is not None
    now = next(line.value for line in page.today if line.name.endswith("/volume")) or 1.0
    rows = []
    for world in page.simulation.worlds:
        rows.append((world.label, rounded(world.daily), "as today", money(world.today), "", ""))
        rows += [("", "", p.name, money(p.year), money(p.saving), months(p.payback)) for p in world.plans]
    told = "".join(
        f"<li>From {rounded(one.daily)} requests a day on, {escape(named(one.rung))} costs less than today in "
        "its first year, what it takes to get there included.</li>"
        for one in page.simulation.crossings
    )
    head = ("volume", "requests a day", "rung", f"a year, {page.currency}", "saved in a year", "paid back after")
    picture = curve(page.simulation.curve, now, page.currency)
    told = told or "<li>No rung above ever costs less than today.</li>"
    return f"{picture}<ul>{told}</ul>{_table(head, rows, (3, 4, 5))}"


def _sums(title: str, lines: Sequence[Line]) -> str:
    rows = [(line.label, spanned(line), line.formula, source_told(line), line.name) for line in lines]
    head = ("", "figure (range)", "formula", "from", "line")
    return f"<details><summary>{escape(title)}, line by line</summary>{_table(head, rows, (1,))}</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], figures: Sequence[int] = ()) -> str:
    """A table; in the columns `figures`, ranges stand under their values."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = ""
    for row in rows:
        cells = (_ranged(cell) if at in figures else f"<td>{escape(cell)}</td>" for at, cell in enumerate(row))
        body += f"<tr>{''.join(cells)}</tr>"
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def _ranged(cell: str) -> str:
    value, _, ends = cell.partition(" (")
    under = f'<br><span class="small">{escape(ends.removesuffix(")"))}</span>' if ends else ""
    return f'<td class="figure">{escape(value)}{under}</td>'


def _prose(text: str) -> str:
    """Text in which `names` are set apart."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _reading() -> str:
    return (
        '<p class="small">Ranges hold nine tenths of 2,000 draws of all that is uncertain: volume, prices, what a '
        "model can take over, time, hardware. Intervals of quality are 95 %. An assumption says that it is one. "
        "<code>rungwise ledger --trace LINE</code> shows the rows of the log behind a line.</p>"
    )


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
