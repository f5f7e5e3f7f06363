"""The certificate: all that is known of a judge from a file of grades."""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.agreement import Agreement, agreement_of, krippendorff_alpha
from rungwise_server.judging.certificates.biases import Biases, biases_of
from rungwise_server.judging.certificates.grades import Graded, Item
from rungwise_server.judging.certificates.next_grades import Advice, advice_of
from rungwise_server.judging.certificates.quality import Posterior, Strata
from rungwise_server.judging.certificates.ranking import Rank, ranking_of
from rungwise_server.judging.certificates.sampling import fair_weights
from rungwise_server.judging.certificates.strata import Indexes, strata_of
from rungwise_server.judging.certificates.sums import Columns, Estimates, columns_of, estimates_of, summed
from rungwise_server.judging.certificates.verdict import Verdict, verdict_of


class Terms(Struct, frozen=True):
    """What a certificate is asked for."""

    level: float = 0.95
    """Of every interval, by itself."""
    margin: float = 0.05
    """How near a judge's mean must be to people's to be trusted, and the half-width to aim at."""
    threshold: float = 0.5
    """A grade passes from here on."""
    next: int = 20
    """At most so many items are named to be graded next."""


class Counts(Struct, frozen=True):
    """How many items there are, of which people graded some, the judge some, and both some."""

    items: int
    human: int
    judge: int
    both: int


class Slice(Struct, frozen=True):
    """Items that the judge grades alike: what it says of them, and what people do, for a reliability picture."""

    items: int
    graded: int
    judge: float | None
    human: float | None
    low: float
    high: float


class Certificate(Struct, frozen=True):
    """A judge against people, on the answers of one system, or of all in the file."""

    system: str
    """Empty for all systems together, or where none is named."""
    counts: Counts
    terms: Terms
    estimates: Estimates
    agreement: Agreement
    alpha: float | None
    """Krippendorff's alpha among several people; None where no item has two people's grades."""
    biases: Biases
    verdict: Verdict
    slices: tuple[Slice, ...]
    advice: Advice | None
    """None where people graded everything, and for several systems together: each has its own."""
    notes: tuple[str, ...] = ()
    judge_hash: str = ""
    """The hash of what the judge is made of; with another one, this certificate says nothing."""
    grades_hash: str = ""
    systems: tuple["Certificate", ...] = ()
    ranking: tuple[Rank, ...] = ()


def certify(graded: Graded, terms: Terms, *, judge_hash: str = "", grades_hash: str = "") -> Certificate:
    """The certificate of a judge on all items together and, where they are of several systems, on each."""
    names = sorted({item.system for item in graded.items})
    together = _certificate(graded.items, names[0] if len(names) == 1 else "", terms, len(names))
    each: tuple[Certificate, ...] = ()
    if len(names) > 1:
        each = tuple(_certificate([i for i in graded.items if i.system == name], name, terms, 1) for name in names)
    hashed = [msgspec.structs.replace(one, judge_hash=judge_hash, grades_hash=grades_hash) for one in (together, *each)]
    return msgspec.structs.replace(
        hashed[0],
        notes=(*graded.notes, *together.notes),
        systems=tuple(hashed[1:]),
        ranking=ranking_of([(one.system, one.estimates.quality) for one in each], terms.level),
    )


def _certificate(items: Sequence[Item], name: str, terms: Terms, systems: int) -> Certificate:
    columns = columns_of(items)
    estimates = estimates_of(columns, threshold=terms.threshold, level=terms.level)
    weight, uneven = fair_weights(columns, terms.threshold)
    both = columns.graded & ~np.isnan(columns.judge)
    agreement = agreement_of(
        columns.human[both], columns.judge[both], weight[both], threshold=terms.threshold, level=terms.level
    )
    biases = biases_of(columns.items, terms.level)
    parts = strata_of(columns.judge, columns.graded, terms.threshold)
    strata, posterior = summed(columns, parts)
    advice = None
    if systems == 1 and not columns.graded.all():
        advice = advice_of(columns, parts, strata, posterior, most=terms.next, margin=terms.margin, level=terms.level)
    notes = []
    if uneven:
        notes.append(
            "People graded the judge's passes and fails at different rates: agreement, kappa and both rates are "
            "weighted back to all items. `quality` needs no such weights; `humans_alone` is bent by it."
        )
    if systems > 1:
        notes.append("This is of all systems together; each has its own certificate under `systems`.")
    return Certificate(
        system=name,
        counts=Counts(len(items), int(columns.graded.sum()), int((~np.isnan(columns.judge)).sum()), int(both.sum())),
        terms=terms,
        estimates=estimates,
        agreement=agreement,
        alpha=krippendorff_alpha([item.graders for item in columns.items]),
        biases=biases,
        verdict=verdict_of(estimates, agreement, biases, margin=terms.margin),
        slices=_slices(columns, parts, strata, posterior, terms.level),
        advice=advice,
        notes=tuple(notes),
    )


def _slices(
    columns: Columns, parts: Sequence[Indexes], strata: Strata, posterior: Posterior, level: float
) -> tuple[Slice, ...]:
    low = beta.quantile((1 - level) / 2, posterior.passed, posterior.failed)
    high = beta.quantile((1 + level) / 2, posterior.passed, posterior.failed)
    return tuple(
        Slice(
            items=part.size,
            graded=int(columns.graded[part].sum()),
            judge=None if np.isnan(strata.judged[i]) else float(strata.judged[i]),
            human=float(strata.mean[i]) if strata.graded[i] else None,
            low=float(low[i]) if strata.graded[i] else 0.0,
            high=float(high[i]) if strata.graded[i] else 1.0,
        )
        for i, part in enumerate(parts)
    )
