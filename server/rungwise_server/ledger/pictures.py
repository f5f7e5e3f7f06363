"""The ledger's pictures, as SVG: each with its words beside it or in its title. Colours are the page's."""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from rungwise_server.ledger.facts import NAMES, RUNGS, Rung
from rungwise_server.ledger.quality import Quality
from rungwise_server.ledger.show import percent, quality_told, rounded
from rungwise_server.ledger.simulate import Curve
from rungwise_server.ledger.traffic import DayTraffic

_Scale = Callable[[float], float]


def ladder(today: Rung, advised: Rung, notes: dict[Rung, str]) -> str:
    """The ladder: today's rung filled, the advised one outlined; `notes` stand beside the rungs."""
    step, left, right = 46, 10, 96
    height = step * len(RUNGS) + 12
    parts = [f'<path class="rail" d="M{left} 2V{height - 2}M{right} 2V{height - 2}"/>']
    for number, rung in enumerate(RUNGS):
        y = height - 6 - step * number - step // 2
        kind = "here" if rung == today else "aim" if rung == advised else "rung"
        parts.append(f'<rect class="{kind}" x="{left - 4}" y="{y - 5}" width="{right - left + 8}" height="10" rx="4"/>')
        bold = ' class="strong"' if kind != "rung" else ""
        parts.append(f'<text x="{right + 14}" y="{y + 1}"{bold}>{escape(NAMES[rung])}</text>')
        if note := notes.get(rung):
            parts.append(f'<text x="{right + 14}" y="{y + 16}" class="small">{escape(note)}</text>')
    if advised != today:
        low, high = (height - 6 - step * RUNGS.index(rung) - step // 2 for rung in (today, advised))
        x = (left + right) // 2
        parts.append(f'<path class="arrow" d="M{x} {low - 8}V{high + 12}m-5 6l5 -6l5 6"/>')
    label = f"Today's rung: {NAMES[today]}. " + (f"Advised: {NAMES[advised]}." if advised != today else "Stay.")
    return _svg(360, height, label, "".join(parts))


def sparkline(days: Sequence[DayTraffic], currency: str) -> str:
    """Money by day, as bars; requests, where nothing costs anything."""
    money = any(day.money for day in days)
    values = [day.money if money else float(day.requests) for day in days]
    most = max(values, default=0.0)
    if not most:
        return ""
    width, height = 330, 48
    wide = width / len(values)
    bars = "".join(
        f'<rect class="bar" x="{wide * at:.1f}" y="{height - height * value / most:.1f}" '
        f'width="{max(wide * 0.8, 0.5):.1f}" height="{height * value / most:.1f}"/>'
        for at, value in enumerate(values)
        if value
    )
    unit = currency if money else "requests"
    label = f"By day, {days[0].day} to {days[-1].day}: at most {rounded(most)} {unit} a day"
    return _svg(width, height, label, bars)


def quality_bar(quality: Quality, target: float) -> str:
    """The share of good answers with its interval, and the target."""
    width = 330
    parts = [f'<rect class="track" x="0" y="8" width="{width}" height="8" rx="4"/>']
    if quality.estimate is not None:
        low, high = quality.low * width, quality.high * width
        kind = "span" if quality.known else "span vague"
        parts.append(f'<rect class="{kind}" x="{low:.1f}" y="8" width="{max(high - low, 2):.1f}" height="8" rx="4"/>')
        parts.append(f'<circle class="dot" cx="{quality.estimate * width:.1f}" cy="12" r="5"/>')
    parts.append(f'<path class="goal" d="M{target * width:.1f} 2V22"/>')
    label = f"Good answers: {quality_told(quality)}; wanted: {percent(target)}"
    return _svg(width, 24, label, "".join(parts))


def progress(at_hand: float, wanted: float) -> str:
    """How much of what is wanted there is."""
    share = min(at_hand / wanted, 1.0) if wanted else 1.0
    have = f'<rect class="have" width="{120 * share:.1f}" height="8" rx="4"/>'
    return _svg(
        120, 8, f"{percent(share)} of it is at hand", f'<rect class="track" width="120" height="8" rx="4"/>{have}'
    )


def curve(drawn: Curve, now: float, currency: str) -> str:
    """The cost of the first year over requests a day, both logarithmic: as today, and on each rung above."""
    width, height, left, bottom = 640, 320, 70, 40
    series: list[tuple[str, str, Sequence[float]]] = [("today", "As today", drawn.today)]
    series += [(rung, NAMES[rung], costs) for rung, costs in drawn.rungs.items()]
    positive = [value for _, _, costs in series for value in costs if value > 0]
    if not positive:
        return ""
    x0, x1 = math.log10(drawn.daily[0]), math.log10(drawn.daily[-1])
    y0, y1 = math.floor(math.log10(max(min(positive), max(positive) / 1e7))), math.ceil(math.log10(max(positive)))

    def x(value: float) -> float:
        return left + (width - left - 10) * (math.log10(value) - x0) / (x1 - x0)

    def y(value: float) -> float:
        at = (math.log10(max(value, 10.0**y0)) - y0) / max(y1 - y0, 1)
        return (height - bottom) - (height - bottom - 14) * at

    parts = list(_axes(x, y, (math.ceil(x0), math.floor(x1)), (y0, y1), (left, width, height, bottom)))
    parts.append(f'<path class="now" d="M{x(now):.1f} 14V{height - bottom}"/>')
    parts.append(f'<text x="{x(now) + 4:.1f}" y="24" class="small">today</text>')
    for kind, name, costs in series:
        points = "L".join(f"{x(at):.1f} {y(cost):.1f}" for at, cost in zip(drawn.daily, costs, strict=True))
        parts.append(f'<path class="line {kind}" d="M{points}"><title>{escape(name)}</title></path>')
    label = f"Cost of the first year in {currency} over requests a day, as today and on each rung above"
    legend = "".join(f'<li class="{kind}">{escape(name)}</li>' for kind, name, _ in series)
    return _svg(width, height, label, "".join(parts)) + f'<ul class="legend">{legend}</ul>'


def _axes(
    x: _Scale, y: _Scale, xs: tuple[int, int], ys: tuple[int, int], frame: tuple[int, int, int, int]
) -> Iterator[str]:
    left, width, height, bottom = frame
    for power in range(xs[0], xs[1] + 1):
        at = x(10.0**power)
        yield f'<path class="grid" d="M{at:.1f} 14V{height - bottom}"/>'
        under = height - bottom + 16
        anchor = "end" if at > width - 40 else "middle"
        yield f'<text x="{at:.1f}" y="{under}" class="small" text-anchor="{anchor}">{rounded(10.0**power)}</text>'
    for power in range(ys[0], ys[1] + 1):
        at = y(10.0**power)
        yield f'<path class="grid" d="M{left} {at:.1f}H{width - 10}"/>'
        yield f'<text x="{left - 6}" y="{at + 4:.1f}" class="small" text-anchor="end">{rounded(10.0**power)}</text>'
    yield f'<text x="{width - 10}" y="{height - 6}" class="small" text-anchor="end">requests a day</text>'


def _svg(width: int, height: int, label: str, body: str) -> str:
    told = escape(label)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{told}">'
        f"<title>{told}</title>{body}</svg>"
    )
