"""A sweep as one HTML file with a picture: quality over cost, every setting with its interval, the frontier drawn."""

import math
from collections.abc import Sequence
from html import escape

from rungwise_pipelines.sweep.result import Sweep, Tried
from rungwise_pipelines.sweep.show import COLUMNS, lines_of, money, rows_of
from rungwise_server.pages import document, heading, paragraphs, table

_WIDTH, _HEIGHT = 640, 360


def page_of(sweep: Sweep) -> str:
    """The whole page."""
    title = f"Sweep of {sweep.workload}"
    change = f"<h2>To review</h2><pre>{escape(sweep.change)}</pre>" if sweep.change else ""
    about = f"{sweep.metric} on {sweep.set_id}, {sweep.examples} examples"
    told = f"{paragraphs(lines_of(sweep))}{table(COLUMNS, rows_of(sweep))}"
    return document(title, f"{heading(title)}{paragraphs([about])}{picture_of(sweep)}{told}{change}")


def picture_of(sweep: Sweep) -> str:
    """Quality over the cost of a thousand answers as SVG. Where costs are far apart their axis is logarithmic."""
    drawn = [tried for tried in sweep.settings if tried.quality is not None]
    known = [tried.cost_per_1000 for tried in drawn if tried.cost_per_1000 is not None]
    axis = _Axis(known)
    label = (
        f"Quality ({sweep.metric}) with its interval, over the cost of 1,000 answers; the frontier is drawn as a line"
    )
    # Names last, over all marks.
    marks = "".join(_mark(tried, sweep, axis) for tried in drawn) + "".join(_name(t, sweep, axis) for t in drawn)
    return (
        f'<svg viewBox="-48 -16 {_WIDTH + 64} {_HEIGHT + 52}" width="{_WIDTH + 64}" role="img" '
        f'aria-label="{escape(label)}" font-size="12"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" '
        f'stroke="#bbb"/>{_scales(axis)}{_line(drawn, axis)}{marks}</svg>'
    )


class _Axis:
    """Costs to pixels. What costs nothing stands at the left, what is not known at the right edge."""

    def __init__(self, costs: Sequence[float]) -> None:
        above = [cost for cost in costs if cost > 0]
        self.low, self.high = (min(above), max(above)) if above else (0.0, 0.0)
        self.logarithmic = bool(above) and self.high > 20 * self.low

    def x(self, cost: float | None) -> float:
        if cost is None:
            return _WIDTH - 8.0
        if cost <= 0 or not self.high:
            return 12.0
        far = math.log(cost / self.low) / math.log(self.high / self.low) if self.logarithmic else cost / self.high
        return 48 + far * (_WIDTH - 96)

    def ticks(self) -> list[float]:
        if not self.high:
            return [0.0]
        if not self.logarithmic:
            return [self.high * step / 4 for step in range(1, 5)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1) if self.low <= 10.0**power <= self.high] or [self.low]


def _scales(axis: _Axis) -> str:
    ticks = "".join(
        f'<text x="{axis.x(tick):.1f}" y="{_HEIGHT + 16}" text-anchor="middle">{money(tick)}</text>'
        for tick in axis.ticks()
    )
    shares = "".join(
        f'<text x="-6" y="{_HEIGHT - share * _HEIGHT / 100 + 4:.1f}" text-anchor="end">{share}</text>'
        f'<path d="M0 {_HEIGHT - share * _HEIGHT / 100:.1f}H{_WIDTH}" stroke="#eee"/>'
        for share in (0, 25, 50, 75, 100)
    )
    name = f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 33}" text-anchor="middle">cost of 1,000 answers</text>'
    name += f'<text x="{-_HEIGHT / 2}" y="-32" text-anchor="middle" transform="rotate(-90)">quality</text>'
    return shares + ticks + name


def _line(drawn: Sequence[Tried], axis: _Axis) -> str:
    steps = sorted((axis.x(t.cost_per_1000), _y(t.quality.estimate)) for t in drawn if t.frontier and t.quality)
    if len(steps) < 2:
        return ""
    way = f"M{steps[0][0]:.1f} {steps[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in steps[1:])
    return f'<path d="{way}" fill="none" stroke="#1f5fbf" stroke-opacity=".35" stroke-width="3"/>'


def _mark(tried: Tried, sweep: Sweep, axis: _Axis) -> str:
    assert tried.quality is not None
    x, quality = axis.x(tried.cost_per_1000), tried.quality
    colour = "#999" if tried.dropped_for else "#1f5fbf" if tried.contender or tried.frontier else "#666"
    fill = "#fff" if tried.dropped_for else colour
    told = (
        f"{tried.name}: {100 * quality.estimate:.1f} ({100 * quality.low:.1f} to {100 * quality.high:.1f}), "
        f"{money(tried.cost_per_1000)} per 1,000, {quality.count} examples"
    )
    at = f'cx="{x:.1f}" cy="{_y(quality.estimate):.1f}"'
    ring = f'<circle {at} r="9" fill="none" stroke="#1a1a1a"/>' if tried.name == sweep.cheapest else ""
    return (
        f'<g><title>{escape(told)}</title><path d="M{x:.1f} {_y(quality.low):.1f}V{_y(quality.high):.1f}" '
        f'stroke="{colour}" stroke-width="2"/><circle {at} r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
        f"{ring}</g>"
    )


def _name(tried: Tried, sweep: Sweep, axis: _Axis) -> str:
    """Of those that matter."""
    if tried.quality is None or not (tried.frontier or tried.name in (sweep.cheapest, sweep.best)):
        return ""
    x, y = axis.x(tried.cost_per_1000), _y(tried.quality.estimate)
    anchor, shift = ("end", -9) if x > _WIDTH * 0.6 else ("start", 9)
    return (
        f'<text x="{x + shift:.1f}" y="{y + 16:.1f}" text-anchor="{anchor}" paint-order="stroke" stroke="#fff" '
        f'stroke-width="4">{escape(tried.name)}</text>'
    )


def _y(share: float) -> float:
    return _HEIGHT * (1 - share)
