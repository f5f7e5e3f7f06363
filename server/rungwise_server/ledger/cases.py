"""The cases for a model of one's own: a field or language where all are weak, latency that none meets, volume."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from rungwise_server.ledger.climb import Plan
from rungwise_server.ledger.show import percent
from rungwise_server.ledger.speed import FEW, Speed
from rungwise_server.ledger.weak import Segment

PAYS_WITHIN = 12.0
"""Months: what pays back within a year, pays."""


_SHOWN = 4


class Case(Struct, frozen=True):
    """A reason for a custom model, found or not. `found` is None where nobody can tell yet."""

    kind: Literal["field", "latency", "volume"]
    found: bool | None
    told: str


def cases_of(
    segments: Sequence[Segment],
    speeds: Sequence[Speed],
    plans: Sequence[Plan],
    latency_ms: float,
    candidates: Sequence[str] = (),
) -> tuple[Case, ...]:
    """All three, each with why. `candidates` are those that might answer."""
    return _field(segments, candidates), _latency(speeds, latency_ms), _volume(plans)


def pays(plan: Plan) -> bool:
    """Whether nine draws of ten and more pay back within `PAYS_WITHIN`."""
    return plan.payback.high is not None and plan.payback.high <= PAYS_WITHIN


def may_pay(plan: Plan) -> bool:
    """Whether it would, were every figure as most likely, and cannot be leant on."""
    return plan.payback.value is not None and plan.payback.value <= PAYS_WITHIN and not pays(plan)


def _field(segments: Sequence[Segment], candidates: Sequence[str]) -> Case:
    uneven = {one.kind for one in segments if one.standing != "weak"}
    weak = [one for one in segments if one.standing == "weak" and one.kind in uneven]
    if weak:
        names = ", ".join(f"{one.kind} {one.name} ({percent(one.low)} to {percent(one.high)})" for one in weak[:_SHOWN])
        graded = dict.fromkeys(name for one in weak for name in one.candidates)
        left = [name for name in candidates if name not in graded]
        also = f" Not graded there yet: {', '.join(left)}." if left else ""
        return Case("field", True, f"{_all(tuple(graded))} below the target: {names}.{also}")
    if segments and not uneven:
        return Case(
            "field", False, "No language or topic is the weak one: the target is missed in all that was graded."
        )
    unknown = [one for one in segments if one.standing == "unknown"]
    if unknown or not segments:
        more = ", ".join(f"{one.more} more of {one.kind} {one.name}" for one in unknown[:_SHOWN])
        told = (
            f"Whether a language or topic is weak nobody knows yet: grade {more}."
            if more
            else "Whether a language or topic is weak nobody knows: none has five grades."
        )
        return Case("field", None, told)
    return Case("field", False, "In every language and topic that was graded, some candidate reaches the target.")


def _all(names: Sequence[str]) -> str:
    return f"The one candidate that was graded there, {names[0]}, is" if len(names) == 1 else "All candidates are"


def _latency(speeds: Sequence[Speed], target: float) -> Case:
    if not target:
        return Case("latency", False, "No target of latency is set (`ledger.latency_ms`).")
    known = [one for one in speeds if one.count >= FEW]
    if not known:
        return Case("latency", None, f"Whether {target:,.0f} ms are met nobody knows: no candidate has {FEW} answers.")
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
    if own and own[0].saving.value is None:
        return Case("volume", None, "Whether a model of your own pays nobody knows, nor what answers cost.")
    return Case("volume", False, "At today's volume no model of your own pays back within a year.")
