"""What to do with a judge, in words: trust it, correct it, or do not use it."""

from typing import Literal

from msgspec import Struct

from rungwise_server.judging.certificates.agreement import Agreement
from rungwise_server.judging.certificates.biases import Biases
from rungwise_server.judging.certificates.sums import Estimates

Word = Literal["trust", "correct", "do not use"]

WEAK = 0.4
"""A kappa below which agreement is at best fair (Landis and Koch, 1977)."""


class Verdict(Struct, frozen=True):
    """`word` holds on the evidence there is. `thin` says that more grades may well change it."""

    word: Word
    thin: bool
    reasons: tuple[str, ...]


def verdict_of(estimates: Estimates, agreement: Agreement, biases: Biases, *, margin: float) -> Verdict:
    """Trust: kappa is shown to be above `WEAK`, and the judge's mean within `margin` of people's. Correct: it agrees
    with people beyond chance, and its mean is off or not shown to be near. Do not use: agreement is not shown to be
    beyond chance. It is the mean that is trusted or corrected: of a single verdict, the agreement is told beside it.
    """
    word, thin, reasons = _word(estimates, agreement, margin)
    return Verdict(word, thin, (*reasons, *_saved(estimates), *_of_biases(biases)))


def _word(estimates: Estimates, agreement: Agreement, margin: float) -> tuple[Word, bool, list[str]]:
    kappa, bias = agreement.kappa, estimates.bias
    if bias is None or agreement.agreement is None:
        return "do not use", True, ["No item has both a person's grade and the judge's: nothing is known of the judge."]
    if kappa is None:
        return (
            "do not use",
            True,
            [
                "People and judge gave all graded items the same verdict: nothing shows that the judge would see a "
                "difference. Grade some that look otherwise."
            ],
        )
    if kappa.low <= 0:
        thin = kappa.high > WEAK
        more = "more grades may show it" if thin else "and more grades will hardly change that"
        return (
            "do not use",
            thin,
            [
                "Agreement with people is not shown to be better than chance "
                f"(kappa {_between(kappa.low, kappa.high)}); {more}."
            ],
        )
    share = agreement.agreement
    reasons = [
        f"It agrees with people beyond chance (kappa {_between(kappa.low, kappa.high)}); a single verdict of it is "
        f"people's in {100 * share.low:.0f} to {100 * share.high:.0f} % of cases."
    ]
    where = f"{_points(bias.low)} to {_points(bias.high)} points against people"
    if -margin <= bias.low and bias.high <= margin and kappa.low > WEAK:
        return "trust", False, [*reasons, f"Its mean is within {100 * margin:g} points of people's: {where}."]
    if bias.low > 0 or bias.high < 0:
        kind = "too high" if bias.low > 0 else "too low"
        return "correct", False, [*reasons, f"It grades {kind}: {where}. Correcting is needed, and done in `quality`."]
    return (
        "correct",
        True,
        [
            *reasons,
            f"Whether it can be trusted is not known: {where}. Correcting may cost a good judge a point or two, and is "
            "the safe side until more grades tell.",
        ],
    )


def _saved(estimates: Estimates) -> list[str]:
    """What the judge brings, in the coin that people pay in."""
    alone = estimates.humans_alone
    if alone is None or alone.half_width <= 0 or estimates.quality.half_width <= 0:
        return []
    times = (alone.half_width / estimates.quality.half_width) ** 2
    if times < 1.1:
        return ["Together with the judge, the human grades tell no more than they do alone."]
    return [f"With the judge, {alone.count} human grades are worth about {times * alone.count:.0f}."]


def _of_biases(biases: Biases) -> list[str]:
    told = []
    if (position := biases.position) and not position.low <= 0 <= position.high:
        where = "first" if position.low > 0 else "second"
        told.append(f"It favours the answer shown {where}: the mean of both orders favours neither.")
    if (length := biases.length) and not length.low <= 0 <= length.high:
        told.append(f"It likes {'long' if length.low > 0 else 'short'} answers more than people do.")
    if (own := biases.own) and not own.low <= 0 <= own.high:
        told.append(f"It {'favours' if own.low > 0 else 'marks down'} what its own model wrote.")
    return told


def _between(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
