"""Figures as people read them: rounded to what they are worth, with their range."""

import math

from msgspec.structs import replace

from rungwise_server.ledger.quality import Quality
from rungwise_server.ledger.sheet import Line, Unit


def money(line: Line, currency: str = "") -> str:
    """`1,200 (900 to 2,100)`; with a currency, `1,200 USD (900 to 2,100)`."""
    if line.value is None:
        return "not known"
    value, bracket, ends = spanned(line).partition(" (")
    return f"{value} {currency}".rstrip() + bracket + ends


def months(line: Line) -> str:
    """`4 months (3 to 7)`; `never`, where nothing is ever saved."""
    if line.value is None:
        return "nobody knows when"
    if math.isinf(line.low or math.inf):
        return "never"
    if math.isinf(line.value):
        return f"never, most likely (at best after {_month(line.low or 0.0)} months)"
    if line.value < 1 and (line.high or 0.0) < 1:
        low, value, high = (math.ceil(30.4 * (end or 0.0)) for end in (line.low, line.value, line.high))
        return f"{value} {'day' if value == 1 else 'days'}" + (f" ({low} to {high})" if low < high else "")
    ends = f"{_month(line.low or 0.0)} to {_month(math.inf if line.high is None else line.high)}"
    return f"{_month(line.value)} {'month' if _month(line.value) == '1' else 'months'} ({ends})"


def _month(value: float) -> str:
    if math.isinf(value):
        return "never"
    return f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def saved(line: Line, currency: str = "") -> str:
    """`saves 1,200 USD (900 to 2,100) a year`, or what it costs more."""
    if line.value is None:
        return "saves nobody knows what"
    if not line.value or line.low is None or line.high is None:
        return "saves nothing"
    if line.value > 0:
        return f"saves {money(line, currency)} a year"
    more = replace(line, value=-line.value, low=-line.high, high=-line.low)
    return f"costs {money(more, currency)} more a year"


def percent(share: float) -> str:
    """`87 %`; one digit more near the ends."""
    return f"{100 * share:.1f} %" if share and (share < 0.02 or share > 0.98) and share < 1 else f"{100 * share:.0f} %"


def spanned(line: Line) -> str:
    """A figure with its range, where it has one."""
    if line.value is None:
        return "not known"
    if line.unit == "months":
        return months(line)
    if line.low is None or line.high is None or line.low == line.high:
        return _one(line.value, line.unit)
    return f"{_one(line.value, line.unit)} ({_one(line.low, line.unit)} to {_one(line.high, line.unit)})"


def rounded(value: float) -> str:
    """Two digits and a half: 0.00123, 4.56, 1,230, 45.6 million."""
    if not math.isfinite(value):
        return "never" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e12:
        return f"{value / 1e12:,.3g} trillion"
    if size >= 1e9:
        return f"{value / 1e9:,.3g} billion"
    if size >= 1e6:
        return f"{value / 1e6:,.3g} million"
    digits = 2 - math.floor(math.log10(size))
    whole = round(value, digits)
    return f"{whole:,.0f}" if digits <= 0 else f"{whole:,.{digits}f}".rstrip("0").rstrip(".")


def _one(value: float, unit: Unit) -> str:
    return percent(value) if unit == "share" else rounded(value)


def quality_told(quality: Quality) -> str:
    """`87 % (80 % to 92 %), from people's grades of 60 answers`."""
    if quality.estimate is None:
        return "not known"
    return (
        f"{percent(quality.estimate)} ({percent(quality.low)} to {percent(quality.high)}), from {known_from(quality)}"
    )


def known_from(quality: Quality) -> str:
    """How it is known, with how much: `grades of 49 answers by people`."""
    count = f"{quality.count:,} {'answer' if quality.count == 1 else 'answers'}"
    match quality.how:
        case "people":
            return f"people's grades of {count}"
        case "corrected":
            name = quality.judge.partition("@")[0]
            told = f"{quality.certificate}: {quality.verdict} it"
            return f"the grades of the judge {name} ({told}), corrected by people's of {count}"
        case "judge":
            return f"the grades of the judge {quality.judge.partition('@')[0]} alone, which no person checked"
        case "run":
            return f"{quality.rubric} in an eval run, {count}, which no person graded"
        case "thumbs":
            return f"{quality.count:,} thumbs alone"
        case "nothing":
            return "nothing"


def source_told(line: Line) -> str:
    """Where a line is from, in words."""
    source = line.source
    if source.kind == "lines":
        return ", ".join(name.rsplit("/", 1)[-1] for name in source.lines)
    if source.kind == "log":
        return f"log: {source.told}, {sum(rows.count for rows in source.rows):,} rows"
    return source.told if source.kind == "kept" else f"{source.kind}: {source.told}"
