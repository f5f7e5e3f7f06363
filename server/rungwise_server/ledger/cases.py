"""The cases for a model of one's own: a field or language where all are weak, latency that none meets, volume."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from rungwise_server.ledger.climb import Plan
from rungwise_server.ledger.speed import FEW, Speed
from rungwise_server.ledger.weak import Segment

PAYS_WITHIN = 12.0
"""Months: what pays back within a year, pays."""


class Case(Struct, frozen=True):
    """A reason for a custom model, found or not. `found` is None where nobody can tell yet."""

    kind: Literal["field", "latency", "volume"]
    found: bool | None
    told: str


def cases_of(
    segments: Sequence[Segment], speeds: Sequence[Speed], plans: Sequence[Plan], latency_ms: float
) -> tuple[Case, ...]:
    """All three, each with why."""
    return _field(segments), _latency(speeds, latency_ms), _volume(plans)


def pays(plan: Plan) -> bool:
    """Whether nine draws of ten and more pay back within `PAYS_WITHIN`."""
    return plan.payback.high is not None and plan.payback.high <= PAYS_WITHIN


def may_pay(plan: Plan) -> bool:
    """Whether it would, were every figure as most likely, and cannot be leant on."""
    return plan.payback.value is not None and plan.payback.value <= PAYS_WITHIN and not pays(plan)


def _field(segments: Sequence[Segment]) -> Case:
    weak = [one for one in segments if one.standing == "weak"]
    if weak:
        names = ", ".join(f"{one.kind} {one.name} ({one.low:.0%} to {one.high:.0%})" for one in weak)
        return Case("field", True, f"Every candidate that was graded there is below the target: {names}.")
    unknown = [one for one in segments if one.standing == "unknown"]
    if unknown or not segments:
        more = ", ".join(f"{one.more} more of {one.kind} {one.name}" for one in unknown[:4])
        told = (
            f"Not enough to say: grade {more}." if more else "Not enough to say: no language or topic has five grades."
        )
        return Case("field", None, told)
    return Case("field", False, "In every language and topic that was graded, some candidate reaches the target.")


def _latency(speeds: Sequence[Speed], target: float) -> Case:
    if not target:
        return Case("latency", False, "No target is set (`ledger.latency_ms`).")
    known = [one for one in speeds if one.count >= FEW]
    if not known:
        return Case("latency", None, f"Not enough to say: no candidate has {FEW} answers that were looked at.")
    best = min(known, key=lambda one: one.median)
    told = f"the quickest, {best.candidate}, begins after {best.median:,.0f} ms ({best.low:,.0f} to {best.high:,.0f})"
    if all(one.misses(target) for one in known):
        return Case("latency", True, f"No candidate begins half of its answers within {target:,.0f} ms: {told}.")
    return Case("latency", False, f"The target is {target:,.0f} ms, and {told}.")


def _volume(plans: Sequence[Plan]) -> Case:
    own = [plan for plan in plans if plan.rung != "rag"]
    good = [plan for plan in own if pays(plan)]
    if good:
        return Case("volume", True, f"{good[0].name}: at today's volume it pays back within a year.")
    maybe = [plan for plan in own if may_pay(plan)]
    if maybe:
        return Case("volume", None, f"{maybe[0].name} may pay back within a year; what decides it: {maybe[0].driver}.")
    return Case("volume", False, "At today's volume no model of your own pays back within a year.")
