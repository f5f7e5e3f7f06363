"""A router's report for people: tables, a reliability curve in text and as a picture, and the same for programs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from rungwise_pipelines.routing.calibrate import Calibration
from rungwise_pipelines.routing.report import ROUTER, Interval, Pair, Report, Row

NAMES: Mapping[str, str] = {
    ROUTER: "this router",
    "random": "chance",
    "length": "prompt length (longer to the better)",
    "single": "best single model",
    "category": "best model of each category",
    "tfidf": "TF-IDF ridge",
    "oracle": "oracle (knows the outcomes)",
}
"""The methods as people know them, in the order of a table."""

_SIDE = 320
_BAR = 40


def methods_of(found: Mapping[str, object]) -> list[str]:
    """The methods of a table that there are, in its order."""
    return [name for name in NAMES if name in found]


def pair_rows(pair: Pair) -> Iterator[tuple[str, str, str, str]]:
    """A line a method: APGR, CPT(50 %), CPT(80 %), each with its interval."""
    for method in methods_of(pair.methods):
        row = pair.methods[method]
        yield NAMES[method], _told(row.apgr), _told(row.cpt50), _told(row.cpt80)


def spent_rows(report: Report) -> Iterator[tuple[str, ...]]:
    """A line a method: cost of a request at each share of the best one's quality, and how that compares."""
    for method in methods_of(report.spent):
        cells = [
            "never" if one.cost is None or one.share is None else f"{one.cost:.6f} ({one.share:.0%})"
            for one in report.spent[method].values()
        ]
        yield (NAMES[method], *cells)


def reliability_lines(found: Calibration) -> list[str]:
    """The reliability curve as text: what was said, what was, and a bar of what was with a mark where it was said."""
    lines = ["   said     was   count"]
    for one in found.bins:
        bar = ["█" if i < round(one.was * _BAR) else "·" for i in range(_BAR + 1)]
        bar[min(_BAR, round(one.said * _BAR))] = "|"
        lines.append(f"{one.said:7.3f} {one.was:7.3f} {one.count:7,}  {''.join(bar)}")
    return lines


def picture_of(found: Calibration) -> str:
    """The reliability curve as SVG: on the diagonal, as many are good as was said."""
    line = "L".join(f"{one.said * _SIDE:.1f} {(1 - one.was) * _SIDE:.1f}" for one in found.bins)
    marks = "".join(
        f'<circle cx="{one.said * _SIDE:.1f}" cy="{(1 - one.was) * _SIDE:.1f}" r="4" fill="#1f5fbf"><title>said '
        f"{one.said:.3f}, was {one.was:.3f}, {one.count}</title></circle>"
        for one in found.bins
    )
    label = escape(f"Share of good answers over estimated probability, {len(found.bins)} bins; ECE {found.ece:.3f}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-40 -16 {_SIDE + 56} {_SIDE + 44}" width="{_SIDE + 56}" '
        f'role="img" aria-label="{label}" font-size="12" font-family="sans-serif"><rect width="{_SIDE}" '
        f'height="{_SIDE}" fill="#fff" stroke="#bbb"/><path d="M0 {_SIDE}L{_SIDE} 0" stroke="#bbb" '
        f'stroke-dasharray="4"/><path d="M{line}" fill="none" stroke="#1f5fbf"/>{marks}'
        f'<text x="0" y="{_SIDE + 18}">estimated 0</text><text x="{_SIDE}" y="{_SIDE + 18}" text-anchor="end">1</text>'
        f'<text x="-6" y="8" text-anchor="end">1</text><text x="-6" y="{_SIDE}" text-anchor="end">good</text></svg>\n'
    )


def as_json(report: Report) -> Mapping[str, object]:
    """The report for programs. The router's numbers on the first pair stand at the top, the baselines' beside them
    under the same names.
    """
    first = report.pairs[0]
    return {
        **_numbers(first.methods[ROUTER]),
        **_calibration(report.calibration),
        "strong": first.strong,
        "weak": first.weak,
        "baselines": {name: _numbers(first.methods[name]) for name in methods_of(first.methods) if name != ROUTER},
        "pairs": [
            {
                "strong": pair.strong,
                "weak": pair.weak,
                "methods": {name: _numbers(pair.methods[name]) for name in methods_of(pair.methods)},
            }
            for pair in report.pairs
        ],
        "cost_at_quality": {
            name: {quality: {"cost": one.cost, "share": one.share} for quality, one in report.spent[name].items()}
            for name in methods_of(report.spent)
        },
        "candidates": {
            name: {"score": mean, "cost": cost, **_calibration(report.each[name])}
            for name, mean, cost in zip(report.candidates, report.means, report.costs, strict=True)
        },
        "reliability": [{"said": one.said, "was": one.was, "count": one.count} for one in report.calibration.bins],
        "examples": report.examples,
        "folds": report.folds,
        "seeds": report.seeds,
        "notes": list(report.notes),
    }


def _numbers(row: Row) -> Mapping[str, object]:
    found = {"apgr": row.apgr, "cpt50": row.cpt50, "cpt80": row.cpt80}
    return {
        **{name: _number(one.estimate) for name, one in found.items()},
        "intervals": {name: [_number(one.low), _number(one.high)] for name, one in found.items()},
    }


def _calibration(found: Calibration) -> Mapping[str, float]:
    return {"ece": found.ece, "ece_of_chance": found.chance, "brier": found.brier}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _told(one: Interval) -> str:
    return f"{one.estimate:.3f} ({one.low:.3f} to {one.high:.3f})" if math.isfinite(one.estimate) else "—"


def candidate_rows(report: Report) -> Sequence[tuple[str, str, str, str, str]]:
    """A line a candidate: its mean score and cost, and how true its estimates are."""
    return [
        (
            name,
            f"{mean:.3f}",
            "unknown" if cost is None else f"{cost:.6f}",
            f"{report.each[name].ece:.3f} ({report.each[name].chance:.3f} by chance)",
            f"{report.each[name].brier:.4f}",
        )
        for name, mean, cost in zip(report.candidates, report.means, report.costs, strict=True)
    ]
