"""A page of the ledger as programs get it: one JSON object. What is not known is null; so is a payback that never
comes, and `never` says so.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from rungwise_server.ledger.book import Page
from rungwise_server.ledger.climb import Plan
from rungwise_server.ledger.needs import Need
from rungwise_server.ledger.quality import TOLD, Quality
from rungwise_server.ledger.sheet import Line, Rows, Source
from rungwise_server.ledger.show import spanned
from rungwise_server.ledger.simulate import Simulation, World
from rungwise_server.ledger.traffic import Traffic

Json = Mapping[str, object]


def page_json(page: Page) -> Json:
    """The whole page."""
    return {
        "object": "ledger",
        "workload": page.workload,
        "description": page.description,
        "configured": page.configured,
        "currency": page.currency,
        "since": page.since,
        "until": page.until,
        "rung": page.rung,
        "rung_why": page.rung_why,
        "advice": msgspec.to_builtins(page.advice),
        "traffic": _traffic(page.traffic),
        "spent": [line_json(line) for line in page.spent],
        "quality": {**quality_json(page.quality), "target": page.target},
        "quality_by_candidate": [{"candidate": name, **quality_json(one)} for name, one in page.qualities],
        "latency": msgspec.to_builtins(page.speeds),
        "looked_at": page.looked_at,
        "segments": msgspec.to_builtins(page.segments),
        "cases": msgspec.to_builtins(page.cases),
        "today": [line_json(line) for line in page.today],
        "rungs": [_plan(plan) for plan in page.plans],
        "simulation": None if page.simulation is None else simulation_json(page.simulation),
        "notes": list(page.notes),
    }


def line_json(line: Line) -> Json:
    """A line: `text` is its figure as people read it."""
    return {
        "name": line.name,
        "label": line.label,
        "formula": line.formula,
        "value": _finite(line.value),
        "low": _finite(line.low),
        "high": _finite(line.high),
        **({"never": math.isinf(line.value or 0.0)} if line.unit == "months" else {}),
        "unit": line.unit,
        "text": spanned(line),
        "source": source_json(line.source),
    }


def source_json(source: Source) -> Json:
    """Where a line is from."""
    return {
        "kind": source.kind,
        "told": source.told,
        "rows": [rows_json(rows) for rows in source.rows],
        "lines": list(source.lines),
    }


def rows_json(rows: Rows) -> Json:
    """A query of the log, as far as it says anything, and how many rows it finds."""
    query = {name: value for name, value in msgspec.to_builtins(rows.query).items() if value}
    narrowed = {
        "candidate": rows.candidate,
        "kinds": list(rows.kinds),
        "above": rows.above,
        "people": rows.people,
        "rubric": rows.rubric,
        "only_own": rows.only_own,
        "only_housekeeping": rows.only_housekeeping,
    }
    return {"count": rows.count, "query": query, **{key: value for key, value in narrowed.items() if value}}


def quality_json(quality: Quality) -> Json:
    """Quality, with how it is known in words."""
    return {**msgspec.to_builtins(quality), "known_from": TOLD[quality.how], "known": quality.known}


def simulation_json(simulation: Simulation) -> Json:
    """The year at other volumes."""
    return {
        "worlds": [_world(world) for world in simulation.worlds],
        "crossings": msgspec.to_builtins(simulation.crossings),
        "curve": msgspec.to_builtins(simulation.curve),
    }


def _traffic(traffic: Traffic) -> Json:
    return {
        "requests": traffic.requests,
        "unpriced": traffic.unpriced,
        "money": traffic.money,
        "candidates": [
            {**msgspec.to_builtins(row), "money": row.money, "share": traffic.share(row.candidate)}
            for row in traffic.candidates
        ],
        "days": msgspec.to_builtins(traffic.days),
    }


def _plan(plan: Plan) -> Json:
    return {
        "rung": plan.rung,
        "name": plan.name,
        "gains": plan.gains,
        "needs": [_need(need) for need in plan.needs],
        **_closing(plan),
        "driver": plan.driver,
        "lines": [line_json(line) for line in plan.lines],
    }


def _closing(plan: Plan) -> Json:
    closing: Sequence[tuple[str, Line]] = (
        ("upfront", plan.upfront),
        ("year", plan.year),
        ("saving", plan.saving),
        ("payback_months", plan.payback),
    )
    return {name: _span(line) for name, line in closing}


def _span(line: Line) -> Json:
    span = {"value": _finite(line.value), "low": _finite(line.low), "high": _finite(line.high)}
    return {**span, "text": spanned(line), "line": line.name}


def _need(need: Need) -> Json:
    told = msgspec.to_builtins(msgspec.structs.replace(need, rows=()))
    return {**told, "missing": need.missing, "rows": [rows_json(rows) for rows in need.rows]}


def _world(world: World) -> Json:
    return {
        "label": world.label,
        "requests_per_day": world.daily,
        "today": _span(world.today),
        "rungs": [{"rung": plan.rung, **_closing(plan)} for plan in world.plans],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
