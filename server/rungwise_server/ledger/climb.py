"""What each rung above would take, cost and pay back: one sheet a rung."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from rungwise_server.ledger import assumptions as a
from rungwise_server.ledger.evidence import Evidence
from rungwise_server.ledger.facts import NAMES, CandidateFacts, Facts, Rung, WorkloadFacts
from rungwise_server.ledger.needs import Need, documents_of, examples_of, grades_of, tokens_of
from rungwise_server.ledger.outlays import building, finetune_hours, grading, making, put_terms, reading_hours, training
from rungwise_server.ledger.quality import Quality
from rungwise_server.ledger.sheet import (
    Figure,
    Line,
    Sheet,
    Source,
    assumed,
    configured,
    matters_most,
    priced_by,
    shares,
)
from rungwise_server.ledger.today import HOURS, Machine, Today, load_of
from rungwise_server.ledger.traffic import Traffic

_GAINS: Mapping[Rung, str] = {
    "rag": "Answers rest on your own documents and cite them; each costs more. It is climbed for quality.",
    "finetuned": "A small model that has learnt your answers: cheaper and quicker for what it can take over.",
    "continued": "A model that has read your field or language before it is finetuned: for where every model is weak.",
    "scratch": "A model of your own all through: for a language, a field or a duty that no published model serves.",
}


class Plan(Struct, frozen=True):
    """A rung above, reckoned through. `payback` is in months; `saving` in money a year, below zero where it costs."""

    rung: Rung
    name: str
    needs: tuple[Need, ...]
    upfront: Line
    year: Line
    saving: Line
    payback: Line
    driver: str
    """The input that the saving's range comes from most; empty where none varies."""
    lines: tuple[Line, ...]
    gains: str
    """What it brings that is no money."""


@dataclass(frozen=True)
class Ground:
    """All that plans are made from."""

    evidence: Evidence
    workload: WorkloadFacts
    traffic: Traffic
    quality: Quality
    qualities: Mapping[str, Quality]
    """Each candidate's own."""
    facts: Facts

    @property
    def ours(self) -> bool:
        """Whether it is no workload: a name (`judge:NAME`) under which our own programs asked, and nobody else."""
        return not self.workload.configured and not self.traffic.requests


def plan_of(rung: Rung, ground: Ground, today: Today) -> Plan:
    """The sheet of one rung above today's."""
    sheet = Sheet(f"{ground.evidence.workload}/{rung}", certain=today.sheet.certain)
    put_terms(sheet, ground.facts.terms)
    needs, upfront, year = (_rag if rung == "rag" else _own)(sheet, rung, ground, today)
    formula = "a year as today − a year on this rung"
    saving = sheet.reckon("saving", "Saved in a year", formula, "money/year", lambda t, n: t - n, today.year, year)
    payback = sheet.reckon(
        "payback",
        "Paid back after",
        "12 × to get there ÷ saved in a year; never, where nothing is saved",
        "months",
        lambda u, s: np.where(s > 0, 12 * u / np.where(s > 0, s, 1.0), np.inf),
        upfront,
        saving,
    )
    if not today.known:
        year, saving, payback = (sheet.not_known(figure) for figure in (year, saving, payback))
    given = [figure for figure in (*today.sheet.figures, *sheet.figures) if figure.line.source.kind != "lines"]
    most = None if sheet.certain or not today.known else matters_most(saving, given)
    return Plan(
        rung,
        NAMES[rung],
        needs,
        upfront.line,
        year.line,
        saving.line,
        payback.line,
        most.line.label if most else "",
        sheet.lines,
        _GAINS[rung],
    )


_Made = tuple[tuple[Need, ...], Figure, Figure]


def _rag(sheet: Sheet, rung: Rung, ground: Ground, today: Today) -> _Made:
    """The same models, with passages in their prompts."""
    count = ground.workload.passages
    upfront = sheet.total(
        "upfront", "To get there", "building + grading", "money", building(sheet, rung), grading(sheet)
    )
    price, source = _input_price(ground)
    more = sheet.reckon(
        "passages",
        "Passages in the prompts of a year",
        f"365 × requests a day × {count} passages × tokens of one × price of a token × price over the year",
        "money/year",
        lambda v, t, p, d: 365 * v * count * t * p * d,
        today.volume,
        sheet.assume("passage-tokens", "Tokens of a passage", a.PASSAGE_TOKENS),
        sheet.given("input-price", "A token more in the prompt", "of those that answer", price, "money", source),
        today.drift,
    )
    formula = "a year as today + passages"
    year = sheet.total("next-year", "A year on this rung", formula, "money/year", today.year, more)
    return (documents_of(ground.evidence.corpora), grades_of(ground.evidence)), upfront, year


def _input_price(ground: Ground) -> tuple[float, Source]:
    known = {
        name: one
        for name, one in ground.facts.candidates.items()
        if one.price is not None and (ground.traffic.share(name) or name in ground.workload.candidates)
    }
    if not known:
        return 0.0, assumed("no candidate's price is known: passages are reckoned as free")
    shares = [ground.traffic.share(name) for name in known]
    prices = [one.price.input for one in known.values() if one.price is not None]
    price = float(np.average(prices, weights=shares if sum(shares) else None)) / 1e6
    return price, priced_by(", ".join(dict.fromkeys(one.price_from for one in known.values())))


def _own(sheet: Sheet, rung: Rung, ground: Ground, today: Today) -> _Made:
    """A model of one's own takes over a part of the traffic."""
    base = _base(ground)
    size = _size(sheet, ground, base)
    hours = [finetune_hours(sheet, ground.evidence, ground.traffic, size)]
    needs = [examples_of(ground.evidence), grades_of(ground.evidence)]
    if rung != "finetuned":
        hours.append(reading_hours(sheet, rung, size))
        rule = (a.CONTINUED_TOKENS if rung == "continued" else a.CHINCHILLA).told
        needs.insert(0, tokens_of(ground.evidence.corpora, sheet["corpus"].value, rule))
    outlays = (
        training(sheet, rung, *hours),
        making(sheet, ground.evidence, today.quality),
        grading(sheet),
        building(sheet, rung),
    )
    upfront = sheet.total("upfront", "To get there", "training + examples + grading + building", "money", *outlays)
    moved = _moved(sheet, rung, ground, base)
    upkeep = sheet.reckon(
        "upkeep",
        "Upkeep in a year",
        "to get there × part that is due again",
        "money/year",
        lambda u, p: u * p,
        upfront,
        sheet.assume("upkeep-part", "Part that is due again each year", a.UPKEEP),
    )
    formula = "tokens in a year × (1 − share that moves)"
    stays = sheet.reckon(
        "stays", "Tokens of what stays", formula, "money/year", lambda y, m: y * (1 - m), today.tokens, moved
    )
    kept = [machine.year for name, machine in today.machines.items() if base is None or name != base.name]
    hardware = _hardware(sheet, ground, today, base, size, moved)
    formula = "tokens of what stays + hardware + upkeep" + (" + hardware that is there and kept" if kept else "")
    year = sheet.total("next-year", "A year on this rung", formula, "money/year", stays, hardware, upkeep, *kept)
    return tuple(needs), upfront, year


def _base(ground: Ground) -> CandidateFacts | None:
    """The candidate on hardware of one's own that would be trained: the workload's, else anybody's."""
    ours = [one for one in ground.facts.candidates.values() if one.hourly is not None]
    return max(ours, key=lambda one: (one.name in ground.workload.candidates, one.billions > 0), default=None)


def _size(sheet: Sheet, ground: Ground, base: CandidateFacts | None) -> Figure:
    own = (ground.facts.candidates[name] for name in ground.workload.candidates if name in ground.facts.candidates)
    sized = next((one for one in ([base] if base else own) if one.billions), None)
    if sized is None:
        source = assumed("a small model, since no candidate of your own says its `parameters`")
        return sheet.given("size", "Billions of parameters", "assumed", a.BILLIONS, "", source)
    source = configured(f"candidates.{sized.name}.parameters")
    return sheet.given("size", f"Billions of parameters, as {sized.name}", "as configured", sized.billions, "", source)


def _moved(sheet: Sheet, rung: Rung, ground: Ground, base: CandidateFacts | None) -> Figure:
    """Measured, where the base was graded beside today's models; else assumed."""
    label = "Share of the traffic that moves"
    ours = ground.qualities.get(base.name) if base is not None else None
    if rung != "finetuned" or ours is None or not ours.comparable(ground.quality):
        return sheet.assume("moved", label, a.MOVED[rung])
    best = max(ground.quality.estimate or 0.0, 0.01)
    low, value, high = (min(end / best, 1.0) for end in (ours.low, ours.estimate or 0.0, ours.high))
    source = Source("kept", f"{ours.count} graded answers of {base.name if base else ''}, not yet finetuned")
    formula = "its share of good answers over today's, at most all"
    draws = shares("moved", value, low, high)
    return sheet.given("moved", label, formula, value, "share", source, draws=draws)


def _hardware(
    sheet: Sheet, ground: Ground, today: Today, base: CandidateFacts | None, size: Figure, moved: Figure
) -> Figure:
    """A year of the hardware that the new model runs on: what the base has already, or more of it, or new."""
    machine = today.machines.get(base.name) if base is not None else None
    hourly, capacity = _machine(sheet, base, size, machine)
    share = machine.share if machine else 0.0
    also = f" (it has {share:.4g} of it already)" if share else ""
    return sheet.reckon(
        "hardware",
        "Hardware in a year",
        "8,760 hours × an hour of it × price over the year × as many as the busiest hour needs, one at least, for the "
        f"share that moves{also}",
        "money/year",
        lambda h, d, v, m, k, c: HOURS * h * d * load_of(v * (share + m * (1 - share)), k, c),
        hourly,
        today.gpu_drift,
        today.volume,
        moved,
        today.peak,
        capacity,
    )


def _machine(sheet: Sheet, base: CandidateFacts | None, size: Figure, machine: Machine | None) -> tuple[Figure, Figure]:
    """What an hour of the hardware costs, and how many requests it takes in that hour."""
    gpus = max(int(np.ceil(size.value * 1e9 * 2 * 1.2 / a.GPU_BYTES)), 1)
    if machine is not None:
        hourly = machine.hourly
    elif base is not None and base.hourly is not None:
        source = configured(f"candidates.{base.name}.hosting.hourly")
        label = f"An hour of the hardware of {base.name}"
        hourly = sheet.given("hour", label, "as configured", base.hourly, "money", source)
    else:
        formula = f"{gpus} × an hour of one GPU: of 80 GB, for 2 bytes a parameter and a fifth more"
        hourly = sheet.reckon(
            "hour", "An hour of its hardware", formula, "money", lambda g: g * gpus, sheet["gpu-hour"]
        )
    known = machine.capacity if machine is not None else base.requests_per_hour if base is not None else 0.0
    label = "Requests that it answers in an hour"
    if known and base is not None:
        source = configured(f"candidates.{base.name}.hosting.requests_per_hour")
        formula = "as configured, this workload's part" if machine is not None else "as configured"
        return hourly, sheet.given("capacity", label, formula, known, "count", source)
    return hourly, sheet.reckon(
        "capacity",
        label,
        f"3,600 × 989 TFLOP/s × {gpus} × use, over 2 × parameters × tokens of an answer",
        "count",
        lambda u, n, t: 3600 * a.PEAK_FLOPS * gpus * u / (2 * n * 1e9 * np.maximum(t, 1.0)),
        sheet.assume("serving-use", "Use of the hardware in serving", a.SERVING_USE),
        size,
        sheet["tokens-each"],
    )
