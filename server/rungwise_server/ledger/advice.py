"""What to do, in one sentence, and why."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from rungwise_server.ledger.assumptions import EXAMPLES_TO_TRY
from rungwise_server.ledger.cases import Case, may_pay, pays
from rungwise_server.ledger.climb import Ground, Plan
from rungwise_server.ledger.facts import Rung, named
from rungwise_server.ledger.quality import FEW, more_grades
from rungwise_server.ledger.show import money, months, percent, saved
from rungwise_server.ledger.today import Today

Word = Literal["stay", "climb", "measure", "gather"]
"""Stay on this rung; climb to `rung`; measure before anything can be said; gather what `rung` takes."""


class Advice(Struct, frozen=True):
    """`sentence` is for the person with the budget, `reasons` for who asks why."""

    word: Word
    rung: Rung
    """The rung that is meant: today's, or the one to climb to."""
    sentence: str
    reasons: tuple[str, ...]
    grade_more: int = 0
    """So many more grades would tell what is not known about the quality; 0 where enough is."""


def advise(ground: Ground, rung: Rung, today: Today, plans: Sequence[Plan], cases: Sequence[Case]) -> Advice:
    """The advice on one workload."""
    quality, terms = ground.quality, ground.facts.terms
    more = 0
    if not quality.known or quality.low < terms.target <= quality.high:
        more = more_grades(quality.estimate if quality.people else None, quality.people, terms.target)
    reasons = (*_reasons(ground, today, more), *(case.told for case in cases if case.found))
    asked = ground.traffic.requests
    if ground.ours:
        return Advice("stay", rung, "This is no workload: it is what judges and other programs of ours asked.", ())
    if not asked:
        return Advice("stay", rung, "Stay: nobody has asked it anything in these days.", reasons)
    if not any(row.ok for row in ground.traffic.candidates):
        told = f"Stay, and mend it: not one of {asked:,} requests was answered. `rungwise doctor` says what is wrong."
        return Advice("stay", rung, told, reasons)
    weak = quality.known and quality.high < terms.target
    if not weak and not today.known:
        return Advice("measure", rung, _priceless(ground, today), reasons, more)
    word, chosen, sentence = _weak(ground, rung, plans) if weak else _money(ground, plans, rung, more)
    return Advice(word, chosen, sentence + _besides(chosen, cases, plans), reasons, more)


def _besides(chosen: Rung, cases: Sequence[Case], plans: Sequence[Plan]) -> str:
    """What money and mean quality do not tell, for a sentence after the first."""
    own = next((plan for plan in plans if plan.rung != "rag"), None)
    found = {case.kind for case in cases if case.found}
    if own is None:
        return ""
    if chosen == own.rung:
        return "".join(f" {case.told}" for case in cases if case.found and case.kind == "field")
    if "field" in found:
        return f" But there is a language or topic where every model is weak: the case for {named(own.rung)}."
    if "latency" in found:
        return f" But no model is quick enough: the case for {named(own.rung)}, which may be small."
    return ""


def _weak(ground: Ground, rung: Rung, plans: Sequence[Plan]) -> tuple[Word, Rung, str]:
    """The answers are shown to be worse than they must be."""
    quality, target = ground.quality, ground.facts.terms.target
    short = (
        f"only {percent(quality.low)} to {percent(quality.high)} of the answers are good, {percent(target)} is wanted"
    )
    if not plans:
        return "stay", rung, f"Stay, and mend what is there: {short}, and there is no rung above."
    plan = plans[0]
    if plan.rung == "rag":
        if plan.needs[0].missing:
            return "gather", "rag", f"Gather documents for RAG: {short}, and there are none to answer from yet."
        return "climb", "rag", f"Climb to RAG: {short}, and there are documents to answer from."
    best = max(
        ((name, one) for name, one in ground.qualities.items() if one.known and name in ground.workload.candidates),
        key=lambda pair: pair[1].low,
        default=None,
    )
    if best is not None and best[1].low >= quality.high and not ground.traffic.share(best[0]) > 0.5:
        return "stay", rung, f"Stay, and let {best[0]} answer: {short}, and it is shown to be better."
    sweep = f"Sweep prompts, passages and models first (`rungwise sweep {ground.workload.name}`): {short}."
    examples = next((need for need in plan.needs if need.unit == "examples"), None)
    if plan.rung == "finetuned" and examples is not None and examples.at_hand < EXAMPLES_TO_TRY:
        lack = f"{EXAMPLES_TO_TRY - examples.at_hand:,.0f} corrections or liked answers"
        return "gather", plan.rung, f"{sweep} Before a finetune is worth a try, gather {lack}."
    currency = ground.facts.terms.currency
    does = f"it takes {money(plan.upfront, currency)} to get there, and then it {saved(plan.saving, currency)}"
    after = f"If nothing reaches it, the rung {named(plan.rung)} may; nothing has shown that yet, and {does}."
    return "measure", plan.rung, f"{sweep} {after}"


def _priceless(ground: Ground, today: Today) -> str:
    names = [row.candidate for row in ground.traffic.candidates if row.ok and row.unpriced == row.requests]
    keys = " and ".join(f"`candidates.{name}.price`" for name in names)
    share = percent(today.unpriced_share)
    return f"Say first what an answer costs ({keys}, or `hosting`): of {share} of the answers nobody knows."


def _money(ground: Ground, plans: Sequence[Plan], rung: Rung, more: int) -> tuple[Word, Rung, str]:
    """The answers are good, or nobody knows: what saves?"""
    known, currency = ground.quality.known, ground.facts.terms.currency
    stay = f"Stay on the rung {named(rung)}"
    good = next((plan for plan in plans if pays(plan)), None)
    if good is not None:
        does = (
            f"once it serves it would save {money(good.saving, currency)} a year and pay back in {months(good.payback)}"
        )
        if known:
            check = "Give it only what an eval run shows it to answer as well."
            return "climb", good.rung, f"Climb to {named(good.rung)}: {does}. {check}"
        told = f"Grade {more} answers first: {named(good.rung)} looks worth it ({does}), but without grades nobody can "
        return "measure", good.rung, f"{told}tell whether its answers are as good."
    maybe = next((plan for plan in plans if may_pay(plan)), None)
    if maybe is not None:
        told = f"{maybe.name} may pay back in {months(maybe.payback)}; settle first: {maybe.driver.lower()}"
        return "measure", maybe.rung, f"{stay} until more is known. {told}."
    if not known:
        return (
            "stay",
            rung,
            f"{stay}: nothing above pays back within a year. How good it is nobody knows: grade {more}.",
        )
    return "stay", rung, f"{stay}: nothing above pays back within a year."


def _reasons(ground: Ground, today: Today, more: int) -> list[str]:
    quality = ground.quality
    currency = ground.facts.terms.currency
    told = ["What a year as today costs is not known."]
    if today.known:
        told = [f"A year as today costs {money(today.year.line, currency)}."]
    if today.unpriced_share:
        told.append(
            f"Of {percent(today.unpriced_share)} of the answers nobody knows the price, and they are not in that sum: "
            "give their candidates a `price` or `hosting`."
        )
    if quality.estimate is None:
        told.append("Nothing is known of the quality.")
    else:
        if quality.note:
            told.append(quality.note[0].upper() + quality.note[1:] + ".")
        if 0 < quality.count < 6 * FEW:
            told.append(f"That stands on {quality.count} only.")
    if more and any(row.ok for row in ground.traffic.candidates):
        told.append(f"`rungwise eval grade {ground.workload.name}` shows answers to grade: {more} more would tell.")
    return told
