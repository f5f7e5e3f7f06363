"""What must be paid once for a rung: training, examples, grading, building."""

import numpy as np

from rungwise_server.ledger import assumptions as a
from rungwise_server.ledger.evidence import Evidence
from rungwise_server.ledger.facts import Rung, Terms
from rungwise_server.ledger.needs import examples_of
from rungwise_server.ledger.sheet import Figure, Sheet, configured, logged
from rungwise_server.ledger.today import rows_of
from rungwise_server.ledger.traffic import Traffic


def put_terms(sheet: Sheet, terms: Terms) -> None:
    """What people and hardware cost, as configured: `person-hour`, `grades-an-hour`, `gpu-hour`."""
    for name, label, value, key in (
        ("person-hour", "An hour of a person", terms.person_hour, "person_hour"),
        ("grades-an-hour", "Answers that a person grades in an hour", terms.grades_per_hour, "grades_per_hour"),
        ("gpu-hour", "An hour of one GPU", terms.gpu_hour, "gpu_hour"),
    ):
        unit = "count" if key == "grades_per_hour" else "money"
        sheet.given(name, label, "as configured", value, unit, configured(f"ledger.{key}"))  # type: ignore[arg-type]


def grading(sheet: Sheet) -> Figure:
    """People who grade the new rung's answers."""
    return sheet.reckon(
        "grading",
        "Grading, to know that it is as good",
        "answers ÷ grades an hour × an hour of a person",
        "money",
        lambda n, p, h: n / p * h,
        sheet.assume("grades", "Answers of the new rung to grade", a.EVALUATION),
        sheet["grades-an-hour"],
        sheet["person-hour"],
    )


def building(sheet: Sheet, rung: Rung) -> Figure:
    """People who build it."""
    hours = sheet.assume("building-hours", "Hours of building", a.BUILDING[rung])
    return sheet.reckon(
        "building", "Building", "hours × an hour of a person", "money", lambda n, h: n * h, hours, sheet["person-hour"]
    )


def finetune_hours(sheet: Sheet, evidence: Evidence, traffic: Traffic, size: Figure) -> Figure:
    """GPU hours of one finetune by LoRA. Puts down `examples` and `tokens-each` as well."""
    answers = logged("the traffic", rows_of(evidence, traffic.requests))
    return sheet.reckon(
        "tuning-hours",
        "GPU hours of one finetune",
        "4 × parameters × examples × tokens × times, over 989 TFLOP/s × use; an hour at least (LoRA: two thirds of "
        "the 6 of full training, since frozen weights need no gradients)",
        "hours",
        lambda n, x, t, e, u: np.maximum(4 * n * 1e9 * x * t * e / (a.PEAK_FLOPS * u) / 3600, 1.0),
        size,
        sheet.assume("examples", "Examples to train on", a.EXAMPLES),
        sheet.given(
            "tokens-each", "Tokens of an answer", "in and out, the log's mean", traffic.tokens_each, "tokens", answers
        ),
        sheet.assume("epochs", "Times that each is seen", a.EPOCHS),
        sheet.assume("training-use", "Use of the hardware in training", a.TRAINING_USE),
    )


def reading_hours(sheet: Sheet, rung: Rung, size: Figure) -> Figure:
    """GPU hours of pretraining. Puts down `corpus`, the tokens to read."""
    if rung == "continued":
        corpus = sheet.assume("corpus", "Tokens to read", a.CONTINUED_TOKENS)
    else:
        ratio = sheet.assume("tokens-a-parameter", "Tokens for each parameter", a.CHINCHILLA)
        formula = "parameters × tokens for each"
        corpus = sheet.reckon("corpus", "Tokens to read", formula, "tokens", lambda n, r: n * 1e9 * r, size, ratio)
    return sheet.reckon(
        "reading-hours",
        "GPU hours of pretraining",
        "6 × parameters × tokens, over 989 TFLOP/s × use (Kaplan et al., 2020)",
        "hours",
        lambda n, t, u: 6 * n * 1e9 * t / (a.PEAK_FLOPS * u) / 3600,
        size,
        corpus,
        sheet["training-use"],
    )


def training(sheet: Sheet, rung: Rung, *hours: Figure) -> Figure:
    """All runs, in money."""
    return sheet.reckon(
        "training",
        "Training",
        "GPU hours × runs × an hour of one GPU",
        "money",
        lambda r, g, *each: sum(each, np.float64(0.0)) * r * g,
        sheet.assume("runs", "Runs", a.RUNS[rung]),
        sheet["gpu-hour"],
        *hours,
    )


def making(sheet: Sheet, evidence: Evidence, quality: Figure) -> Figure:
    """People who make the examples that are missing, of logged answers: they look at each and write those that are
    wrong.
    """
    need = examples_of(evidence)
    return sheet.reckon(
        "making",
        "Making the missing examples",
        "(wanted − at hand) × (1 + share of bad answers × time to write one) ÷ grades an hour × an hour of a person",
        "money",
        lambda w, n, q, t, p, h: np.maximum(w - n, 0) * (1 + (1 - q) * t) / p * h,
        sheet["examples"],
        sheet.given(
            "at-hand",
            "Examples at hand",
            "answers that were corrected, liked, preferred or graded well, each once",
            need.at_hand,
            "count",
            logged("feedback and grades", *need.rows),
        ),
        quality,
        sheet.assume("writing", "Grades' time to write an answer", a.WRITING),
        sheet["grades-an-hour"],
        sheet["person-hour"],
    )
