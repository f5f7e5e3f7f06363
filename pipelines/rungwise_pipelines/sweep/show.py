"""A sweep in words and rows, for the terminal and the page."""

import math
from collections.abc import Sequence

from rungwise_pipelines.progress import duration
from rungwise_pipelines.sweep.result import Gain, Sweep, Tried

COLUMNS = ("setting", "quality", "interval", "per 1,000", "p95", "rounds", "examples", "")
NEAR = 0.05
"""A setting that is at most so much worse is as good, for most purposes."""


def rows_of(sweep: Sweep) -> list[tuple[str, ...]]:
    """A row a setting, as `COLUMNS`: those that are still in the race first, the best first."""
    return [_row(tried, sweep) for tried in sorted(sweep.settings, key=_order)]


def lines_of(sweep: Sweep) -> list[str]:
    """What it means."""
    lines = []
    if sweep.stopped:
        lines.append(f"Stopped early: {sweep.stopped} What follows is what is known so far.")
    lines.append(_verdict(sweep))
    if sweep.caution:
        lines.append(sweep.caution)
    lines += _today(sweep)
    if sweep.gain is not None:
        lines.append(gain_line(sweep.gain))
    if sweep.synthetic:
        lines.append(
            f"{sweep.synthetic} of the {sweep.examples} examples were written by a model: hold the choice against real "
            f"questions before you trust it."
        )
    spared = 1 - sweep.answers / sweep.full if sweep.full else 0.0
    took = duration(sweep.seconds)
    lines.append(
        f"{sweep.answers:,} answers in {took}, {money(sweep.cost)} spent"
        + (f"; dropping early spared {100 * spared:.0f} % of the grid's {sweep.full:,} answers." if spared > 0 else ".")
    )
    lines.append(
        f"Intervals of {100 * sweep.level:.0f} % are of each setting alone. The verdict counts in that the best was "
        f"chosen out of {len(sweep.settings)}, and that all were looked at after every round."
    )
    failed = sum(tried.failed for tried in sweep.settings)
    if failed:
        lines.append(
            f"{_many(failed, 'answer')} failed and {'is' if failed == 1 else 'are'} left out; the same command again "
            f"tries again. The first: {sweep.trouble}"
        )
    return lines


def firm(sweep: Sweep) -> bool:
    """Whether the cheapest is the best, or shown to be nearly as good."""
    return sweep.cheapest == sweep.best or sweep.worse_by <= NEAR


def gain_line(gain: Gain) -> str:
    """What rewriting the prompt brought."""
    if not gain.kept:
        return f"Rewriting the prompt: none of {_many(gain.proposals, 'proposal')} was better on the training half."
    train = (
        "" if gain.training is None else f" {_points(gain.training)} on the {gain.training_examples} training examples,"
    )
    held = gain.held_out
    if held is None:
        return f"Rewriting the prompt:{train} and nothing is known of it on held-out examples."
    told = (
        f"Rewriting the prompt ({gain.prompt}, answered by {gain.candidate}):{train} {_points(held.estimate)} on "
        f"{held.count} held-out ones ({100 * held.low:+.1f} to {100 * held.high:+.1f})."
    )
    return told if gain.proven else f"{told} No gain is proven."


def money(amount: float | None) -> str:
    """An amount, in the currency of the configuration's prices."""
    if amount is None:
        return "not known"
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def _verdict(sweep: Sweep) -> str:
    best, cheapest = sweep.of(sweep.best), sweep.of(sweep.cheapest)
    if best.quality is None or cheapest.quality is None:
        return "Nothing could be graded, so there is nothing to choose by."
    alone = sum(tried.contender for tried in sweep.settings) == 1
    if best.name == cheapest.name:
        if alone and len(sweep.settings) > 1:
            return f"Take {best.name!r}: it is the best; all others are shown to be worse."
        return f"Take {best.name!r}: it has the highest quality, and nothing cheaper is as good for all that is known."
    saved = ""
    if cheapest.cost_per_1000 == 0:
        saved = " It costs nothing."
    elif best.cost_per_1000 and cheapest.cost_per_1000 is not None:
        saved = f" It costs {100 * (1 - cheapest.cost_per_1000 / best.cost_per_1000):.0f} % less."
    told = (
        f"The cheapest setting that is not shown to be worse than the best is {cheapest.name!r} "
        f"({_percent(cheapest.quality.estimate)}; the best, {best.name!r}: {_percent(best.quality.estimate)}).{saved}"
    )
    if firm(sweep):
        return f"{told} It is worse by {_points(sweep.worse_by, sign=False)} at most: take it."
    more = f" About {sweep.needed:,} examples in all would tell the two apart." if sweep.needed is not None else ""
    return (
        f"{told} But not shown to be worse is not shown to be as good: it may be worse by up to "
        f"{_points(sweep.worse_by, sign=False)}.{more}"
    )


def _today(sweep: Sweep) -> Sequence[str]:
    today = next(tried for tried in sweep.settings if tried.today)
    if today.name == sweep.cheapest:
        return ["It is what is configured: there is nothing to change."]
    if today.dropped_for:
        return [f"What is configured today, {today.name!r}, is worse than {today.dropped_for!r}, which costs no more."]
    return []


def _row(tried: Tried, sweep: Sweep) -> tuple[str, ...]:
    quality = tried.quality
    marks = []
    if tried.name == sweep.cheapest:
        marks.append("take" if firm(sweep) else "cheapest")
    if tried.name == sweep.best:
        marks.append("best")
    if tried.frontier:
        marks.append("frontier")
    if tried.dropped_for:
        marks.append(f"behind {tried.dropped_for}")
    elif not tried.contender and not tried.frontier:
        marks.append("worse")
    if tried.failed:
        marks.append(f"{tried.failed} failed")
    return (
        tried.name,
        _percent(quality.estimate) if quality else "-",
        f"{_percent(quality.low)} to {_percent(quality.high)}" if quality else "-",
        money(tried.cost_per_1000),
        f"{tried.p95_ms:,.0f} ms",
        f"{tried.rounds} of {len(sweep.sizes)}",
        str(quality.count) if quality else "0",
        ", ".join(marks),
    )


def _order(tried: Tried) -> tuple[bool, float, float]:
    cost = math.inf if tried.cost_per_1000 is None else tried.cost_per_1000
    return bool(tried.dropped_for), -(tried.quality.estimate if tried.quality else -1.0), cost


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float, *, sign: bool = True) -> str:
    return f"{100 * share:{'+' if sign else ''}.1f} points"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
