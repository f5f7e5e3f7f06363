"""A certificate as people read it: rows of a table, and lines below it."""

from collections.abc import Iterator

from rungwise_server.judging.certificates.certificate import Certificate
from rungwise_server.judging.certificates.intervals import Interval

Row = tuple[str, str, str, str]
COLUMNS: Row = ("", "estimate", "interval", "of")


def rows_of(certificate: Certificate) -> Iterator[Row]:
    """The numbers, each with its interval and the number of items behind it."""
    estimates, agreement, biases = certificate.estimates, certificate.agreement, certificate.biases
    percent = (
        ("quality", estimates.quality),
        ("  of just these items", estimates.quality_of_these),
        ("  human grades alone", estimates.humans_alone),
        ("  judge alone", estimates.judge_alone),
        ("judge minus people", estimates.bias),
        ("agreement", agreement.agreement),
        ("true positive rate", agreement.true_positive_rate),
        ("true negative rate", agreement.true_negative_rate),
    )
    for name, interval in percent:
        yield _row(name, interval, 100, 1)
    yield _row("kappa", agreement.kappa, 1, 2)
    several = (
        ("weighted kappa", agreement.weighted_kappa, 1, 2),
        ("same in both orders", biases.consistency, 100, 1),
        ("for the answer shown first", biases.position, 100, 1),
        ("for long answers", biases.length, 100, 1),
        ("for its own answers", biases.own, 100, 1),
    )
    for name, interval, times, digits in several:
        if interval:
            yield _row(name, interval, times, digits)
    if certificate.alpha is not None:
        yield ("alpha among people", f"{certificate.alpha:.2f}", "", "")


def lines_of(certificate: Certificate, *, ids: bool = True) -> Iterator[str]:
    """The verdict with its reasons, what was noticed, and what to grade next, by name where `ids` are wanted."""
    verdict, counts = certificate.verdict, certificate.counts
    who = f"{certificate.system}: " if certificate.system else ""
    thin = ", as far as so few grades tell" if verdict.thin else ""
    yield f"{who}{verdict.word} this judge{thin}. {counts.items} items, {counts.human} graded by people."
    yield from (f"- {reason}" for reason in verdict.reasons)
    yield from (f"- {note}" for note in certificate.notes)
    advice = certificate.advice
    if advice and advice.ids and certificate.estimates.quality.half_width > certificate.terms.margin:
        named = f": {', '.join(advice.ids)}" if ids else "."
        yield f"Grade next ({len(advice.ids)}), for ±{100 * advice.half_width:.1f} points{named}"
        if advice.needed is None:
            yield f"±{100 * certificate.terms.margin:g} points take more items than this file has."
        else:
            yield f"±{100 * certificate.terms.margin:g} points take about {advice.needed} more grades."


def _row(name: str, interval: Interval | None, times: float, digits: int) -> Row:
    if interval is None:
        return (name, "unknown", "", "")
    low, high = (f"{times * end:.{digits}f}" for end in (interval.low, interval.high))
    return (name, f"{times * interval.estimate:.{digits}f}", f"{low} to {high}", str(interval.count))
