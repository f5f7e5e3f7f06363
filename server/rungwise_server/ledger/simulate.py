"""The year again, at other volumes: what each rung costs then, and where they cross."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from rungwise_server.errors import BadRequest
from rungwise_server.ledger.climb import Ground, Plan, plan_of
from rungwise_server.ledger.facts import Rung
from rungwise_server.ledger.sheet import Line
from rungwise_server.ledger.today import Today, above, today_of

_TIMES = re.compile(r"(\d+(?:\.\d+)?)x")
_DAILY = re.compile(r"(\d+(?:\.\d+)?)(?:/day)?")
_MOST = 12
_CURVE = 25


class Volume(Struct, frozen=True):
    """What is asked for: so many times today's volume, or so many requests a day."""

    times: float = 0.0
    daily: float = 0.0


class World(Struct, frozen=True):
    """The year at one volume. `today` and each rung's plan are the same sums as those of today's volume."""

    label: str
    daily: float
    today: Line
    plans: tuple[Plan, ...]


class Crossing(Struct, frozen=True):
    """From this volume on, the first year of `rung`, what it takes to get there included, costs less than today's."""

    rung: Rung
    daily: float


class Curve(Struct, frozen=True):
    """The cost of the first year over requests a day: `today`, and by rung."""

    daily: tuple[float, ...]
    today: tuple[float, ...]
    rungs: Mapping[Rung, tuple[float, ...]]


class Simulation(Struct, frozen=True):
    """The year at other volumes."""

    worlds: tuple[World, ...]
    curve: Curve
    crossings: tuple[Crossing, ...]


def parse_volumes(text: str) -> tuple[Volume, ...]:
    """`2x,10x` or `5000/day`. Raises BadRequest."""
    found = []
    for part in filter(None, (piece.strip().replace(" ", "") for piece in text.split(","))):
        if times := _TIMES.fullmatch(part):
            found.append(Volume(times=float(times[1])))
        elif daily := _DAILY.fullmatch(part):
            found.append(Volume(daily=float(daily[1])))
        else:
            raise BadRequest(f"{part!r} is no volume: write 2x, or 5000/day.", param="simulate")
    if len(found) > _MOST or any(one.times > 1e6 or one.daily > 1e9 for one in found):
        raise BadRequest(f"At most {_MOST} volumes, of at most 1,000,000x or a billion a day.", param="simulate")
    if any(not one.times and not one.daily for one in found):
        raise BadRequest("A volume must be above 0.", param="simulate")
    return tuple(found)


def simulate(ground: Ground, rung: Rung, volumes: Sequence[Volume]) -> Simulation | None:
    """The year at each volume; None where nothing has been asked, so that there is no volume to multiply, and where
    nobody knows what today's costs.
    """
    now = today_of(ground.evidence, ground.traffic, ground.quality, ground.facts, certain=True)
    base = now.volume.value
    if base <= 0 or not now.known:
        return None

    def world(factor: float, *, certain: bool = True) -> tuple[Today, tuple[Plan, ...]]:
        today = today_of(ground.evidence, ground.traffic, ground.quality, ground.facts, factor, certain=certain)
        return today, tuple(plan_of(one, ground, today) for one in above(rung))

    worlds = []
    for volume in volumes:
        factor = volume.times or volume.daily / base
        today, plans = world(factor, certain=False)
        label = f"{volume.times:g}x" if volume.times else f"{volume.daily:,.0f}/day"
        worlds.append(World(label, base * factor, today.year.line, plans))
    spread = [world.daily / base for world in worlds] or [1.0]
    factors = np.geomspace(min(0.1, *spread), max(1000.0, *spread), _CURVE)
    at = [world(float(factor)) for factor in factors]
    costs = {one: tuple(_first_year(plans, one) for _, plans in at) for one in above(rung)}
    curve = Curve(tuple(base * float(f) for f in factors), tuple(today.year.value for today, _ in at), costs)
    crossings = []
    for one in above(rung):
        gaps = [cost - now for cost, now in zip(costs[one], curve.today, strict=True)]
        first = next((i for i in range(1, len(gaps)) if gaps[i - 1] > 0 >= gaps[i]), None)
        if first is not None:

            def gap(factor: float, one: Rung = one) -> float:
                today, plans = world(factor)
                return _first_year(plans, one) - today.year.value

            crossings.append(Crossing(one, base * _bisected(gap, float(factors[first - 1]), float(factors[first]))))
    return Simulation(tuple(worlds), curve, tuple(crossings))


def _first_year(plans: Sequence[Plan], rung: Rung) -> float:
    plan = next(plan for plan in plans if plan.rung == rung)
    return (plan.upfront.value or 0.0) + (plan.year.value or 0.0)


def _bisected(gap: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(12):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if gap(middle) > 0 else (low, middle)
    return high
