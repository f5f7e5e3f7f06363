"""A certificate as programs get it: one JSON object, told in docs/explanation/judging.md.

`kappa`, `agreement` and both rates are plain numbers; their intervals stand under `intervals` by the same names.
"""

from collections.abc import Mapping

import msgspec

from rungwise_server.judging.certificates.certificate import Certificate
from rungwise_server.judging.certificates.intervals import Interval


def as_json(certificate: Certificate) -> Mapping[str, object]:
    """The certificate of plain values: what is not known is null."""
    told: dict[str, object] = {**_one(certificate), "systems": [_one(each) for each in certificate.systems]}
    told["ranking"] = msgspec.to_builtins(certificate.ranking)
    return told


def _one(certificate: Certificate) -> Mapping[str, object]:
    estimates, agreement, verdict = certificate.estimates, certificate.agreement, certificate.verdict
    shares = {
        "agreement": agreement.agreement,
        "kappa": agreement.kappa,
        "weighted_kappa": agreement.weighted_kappa,
        "true_positive_rate": agreement.true_positive_rate,
        "true_negative_rate": agreement.true_negative_rate,
    }
    return {
        "system": certificate.system or None,
        "verdict": verdict.word,
        "thin": verdict.thin,
        "reasons": list(verdict.reasons),
        "quality": _interval(estimates.quality),
        "quality_of_these": _interval(estimates.quality_of_these),
        "humans_alone": _interval(estimates.humans_alone),
        "judge_alone": _interval(estimates.judge_alone),
        "judge_bias": _interval(estimates.bias),
        "ppi": estimates.ppi,
        "rogan_gladen": estimates.rogan_gladen,
        **{name: share.estimate if share else None for name, share in shares.items()},
        "intervals": {name: _interval(share) for name, share in shares.items()},
        "alpha": certificate.alpha,
        "biases": msgspec.to_builtins(certificate.biases),
        "grade_next": msgspec.to_builtins(certificate.advice),
        "slices": msgspec.to_builtins(certificate.slices),
        "counts": msgspec.to_builtins(certificate.counts),
        "terms": msgspec.to_builtins(certificate.terms),
        "notes": list(certificate.notes),
        "judge_hash": certificate.judge_hash or None,
        "grades_hash": certificate.grades_hash or None,
    }


def _interval(interval: Interval | None) -> object:
    return msgspec.to_builtins(interval)
