"""A report as one HTML file with a picture: each candidate's mean with its interval. It loads nothing."""

from datetime import UTC, datetime
from html import escape

from rungwise_pipelines.evaluation.report import Part, Report
from rungwise_pipelines.evaluation.words import (
    MEANING,
    PAIR_COLUMNS,
    columns_of,
    failures_of,
    lines_of,
    pair_rows,
    rows_of,
    topic_rows,
    worst_rows,
)
from rungwise_server.pages import document, heading, paragraphs, table

_WIDTH, _ROW, _LABELS = 420, 30, 150


def page_of(report: Report) -> str:
    """The whole page."""
    title = f"{report.workload}: {report.set}"
    when = datetime.fromtimestamp(report.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    judges = f" Judges: {', '.join(report.judges)}." if report.judges else ""
    failures = "".join(f"<li>{escape(line)}</li>" for line in failures_of(report))
    return document(
        title,
        f"{heading(title)}{paragraphs([f'Run {report.run}, {when}.{judges}'])}"
        f"{''.join(_section(part) for part in report.parts)}"
        f"{f'<h2>Without an answer</h2><ul>{failures}</ul>' if failures else ''}{_legend(report)}",
    )


def _section(part: Part) -> str:
    name = "Real examples" if part.origin == "real" else "Synthetic examples"
    said = paragraphs(lines_of(part))
    worst = list(worst_rows(part))
    topics = list(topic_rows(part))
    names = [one.candidate for one in part.standings]
    return "".join(
        (
            f"<h2>{name}</h2>{picture_of(part)}{said}",
            table(columns_of(part), rows_of(part)),
            f"<h3>Pairs</h3>{table(PAIR_COLUMNS, pair_rows(part))}" if part.pairs else "",
            f"<h3>By topic</h3>{table(('topic', 'examples', *names), topics)}" if topics else "",
            f"<h3>Worst</h3>{table(('example', 'question', part.headline, 'inferences'), worst)}" if worst else "",
        )
    )


def picture_of(part: Part) -> str:
    """Each candidate under the metric that is compared by, as SVG: a point and its interval between 0 and 1."""
    shown = [(one.candidate, one.metrics[part.headline]) for one in part.standings if part.headline in one.metrics]
    if not shown:
        return ""
    height = _ROW * len(shown)
    marks = []
    for row, (name, mean) in enumerate(shown):
        y = _ROW * row + _ROW / 2
        x, low, high = (round(value * _WIDTH, 1) for value in (mean.estimate, mean.low, mean.high))
        told = f"{name}: {100 * mean.estimate:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f}), n = {mean.count}"
        marks.append(
            f'<g><title>{escape(told)}</title><text x="-8" y="{y + 4}" text-anchor="end">{escape(name[:22])}</text>'
            f'<path d="M{low} {y}H{high}" stroke="#1f5fbf" stroke-width="2"/>'
            f'<circle cx="{x}" cy="{y}" r="5" fill="#1f5fbf"/></g>'
        )
    ticks = "".join(
        f'<path d="M{_WIDTH * t / 4} 0V{height}" stroke="#ddd"/>'
        f'<text x="{_WIDTH * t / 4}" y="{height + 16}" text-anchor="middle">{25 * t}</text>'
        for t in range(5)
    )
    label = f"{part.headline}: each candidate's mean with its 95 % interval, from 0 to 100"
    width = _WIDTH + _LABELS + 20
    return (
        f'<svg viewBox="-{_LABELS} -6 {width} {height + 28}" width="{width}" role="img" '
        f'aria-label="{escape(label)}" font-size="12">{ticks}{"".join(marks)}</svg>'
    )


def _legend(report: Report) -> str:
    there = {name for part in report.parts for one in part.standings for name in one.metrics}
    known = "; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items() if name in there)
    return (
        f"<p>{escape(known)}. All from 0 to 100, with 95 % intervals; p-values corrected for all pairs of a metric "
        "(Holm). Times are as many answers at once as the run had.</p>"
    )
