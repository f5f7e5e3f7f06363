"""A page of the ledger in a terminal: what fits into 80 columns; all of it is in --sums, --html and --json."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from rungwise_pipelines.commands.output import say, table
from rungwise_server.ledger.book import Page
from rungwise_server.ledger.climb import Plan
from rungwise_server.ledger.facts import NAMES, named
from rungwise_server.ledger.quality import Quality
from rungwise_server.ledger.sheet import Line
from rungwise_server.ledger.show import known_from, money, months, percent, quality_told, rounded, source_told, spanned

_WIDTH = 80
_KNOWN_FROM = {"people": "people", "corrected": "judge", "judge": "judge alone", "run": "eval run", "thumbs": "thumbs"}


def show(page: Page, *, replayed: bool, sums: bool) -> None:
    """All of a page that people want first."""
    title = f"{page.workload}: {page.description}" if page.description else page.workload
    say(title if page.configured else f"{title} (no longer configured)")
    _say(page.advice.sentence)
    _say(f"Rung: {NAMES[page.rung]} ({page.rung_why}).")
    _say(f"Quality: {quality_told(page.quality)}; wanted: {percent(page.target)}.")
    _say(f"Spent in {_days(page)}: {_spent(page)}.")
    if page.traffic.requests:
        say()
        _show_candidates(page)
        if page.plans and any(row.ok for row in page.traffic.candidates):
            say()
            _show_plans(page)
        say()
        unfound = (case.told for case in page.cases if not case.found)
        for told in (*page.advice.reasons, *unfound, *page.notes):
            if told not in page.advice.sentence:
                _say(told, "- ")
    if replayed:
        say()
        _show_simulation(page)
    if sums:
        say()
        show_lines(page.lines)


def show_lines(lines: Sequence[Line]) -> None:
    """Sums, line by line."""
    table(
        ("line", "", "figure", "formula", "from"),
        [(line.name, line.label, spanned(line), line.formula, source_told(line)) for line in lines],
    )


def _say(text: str, before: str = "") -> None:
    """A paragraph, indented."""
    inside = "  " + " " * len(before)
    say(textwrap.fill(text, _WIDTH, initial_indent="  " + before, subsequent_indent=inside, break_long_words=False))


def _days(page: Page) -> str:
    first = datetime.fromtimestamp(page.since, UTC).date()
    last = datetime.fromtimestamp(page.until, UTC).date()
    return f"{(last - first).days + 1} days ({first} to {last})"


def _spent(page: Page) -> str:
    lines = {line.name.rpartition("/")[2]: line for line in page.spent}
    told = money(lines["spent"], page.currency)
    for name, what in (("spent-on-evaluation", "evaluation"), ("spent-on-housekeeping", "titles and tags")):
        if lines[name].value:
            told += f", and {money(lines[name], page.currency)} on {what}"
    return told


def _show_candidates(page: Page) -> None:
    qualities = dict(page.qualities)
    unpriced = page.traffic.unpriced > 0
    rows = [
        (
            row.candidate or "(none)",
            f"{row.requests:,}",
            f"{row.input_tokens:,}",
            f"{row.output_tokens:,}",
            rounded(row.money),
            *((f"{row.unpriced:,}" if row.unpriced else "",) if unpriced else ()),
            _short(qualities.get(row.candidate)),
        )
        for row in page.traffic.candidates
    ]
    head = ("candidate", "requests", "tokens in", "out", page.currency)
    table((*head, *(("not priced",) if unpriced else ()), "good answers"), rows)


def _short(quality: Quality | None) -> str:
    if quality is None or quality.estimate is None:
        return ""
    ends = f"{percent(quality.low)} to {percent(quality.high)}"
    return f"{percent(quality.estimate)} ({ends}), {_KNOWN_FROM.get(quality.how) or known_from(quality)}"


def _show_plans(page: Page) -> None:
    rows = [cells for plan in page.plans for cells in _two_lines(plan)]
    table(("rung above", f"to get there, {page.currency}", f"saved a year, {page.currency}", "paid back after"), rows)
    plan = page.plans[0]
    say()
    for need in plan.needs:
        lack = f"{rounded(need.missing)} missing" if need.missing else "enough"
        _say(f"{plan.name} takes {need.what}: {rounded(need.at_hand)} of {rounded(need.wanted)}, {lack}.")


def _two_lines(plan: Plan) -> list[tuple[str, ...]]:
    """A plan's figures, and under them their ranges."""
    told = [text.partition(" (") for text in (money(plan.upfront), money(plan.saving), months(plan.payback))]
    return [
        (plan.name, *(value for value, _, _ in told)),
        ("", *(ends.removesuffix(")") for _, _, ends in told)),
    ]


def _show_simulation(page: Page) -> None:
    if page.simulation is None:
        _say("No other volume was replayed: nobody asked anything, or nobody knows what the answers cost.")
        return
    rows: list[tuple[str, ...]] = []
    for world in page.simulation.worlds:
        rows.append((f"{world.label}: {rounded(world.daily)} a day", money(world.today).partition(" (")[0], "", ""))
        for plan in world.plans:
            figures = (money(plan.year), money(plan.saving))
            rows.append((f"  {plan.name}", *(f.partition(" (")[0] for f in figures), months(plan.payback)))
    table(("requests, and rung", f"a year, {page.currency}", "saved", "paid back after"), rows)
    for crossing in page.simulation.crossings:
        since = f"From {rounded(crossing.daily)} requests a day on"
        _say(f"{since}, {named(crossing.rung)} costs less than today in its first year.")
