"""What a valid `route:` can still get wrong: candidates that are not the workload's, and keys without effect."""

from collections.abc import Collection, Iterator, Mapping

from rungwise_server.config.checks import Finding, nearest
from rungwise_server.config.defaults import ambient
from rungwise_server.config.settings import CandidateSettings, CascadeSettings, Settings, WorkloadSettings
from rungwise_server.config.yaml_tree import KeyPath

BUILT_IN = frozenset(
    {"exact", "contains", "f1", "groundedness", "correct", "grounded", "complete", "cites", "declines"}
)
"""Judges that are there by themselves; see bootstrap.judges, which this may not import."""


def route_findings(
    settings: Settings, declared: Mapping[str, Collection[str]], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Everything wrong with the routes beyond their rules. `declared` are the names in the file, those of broken
    entries included.
    """
    there = {**ambient(settings, environ), **settings.candidates}
    for name, workload in settings.workloads.items():
        path: KeyPath = ("workloads", name, "route")
        route = workload.route
        if route.policy == "cascade":
            yield from _cascade(path, workload, settings, declared["judges"], there)
        elif route.cascade is not None:
            yield (*path, "cascade"), f"has no effect with `policy: {route.policy}`: it is for `policy: cascade`"
        for key, chosen in (("canary", route.canary), ("shadow", route.shadow)):
            if chosen is not None:
                yield from _one_of((*path, key, "candidate"), chosen.candidate, workload.candidates)
        if len(workload.candidates) == 1:
            for key in ("sticky", "explore"):
                if getattr(route, key) is not None:
                    yield (*path, key), "has no effect: the workload has one candidate alone"
        elif route.explore is not None and route.policy == "pinned":
            yield (*path, "explore"), "has no effect: `policy: pinned` always takes the first candidate"


def _cascade(
    path: KeyPath,
    workload: WorkloadSettings,
    settings: Settings,
    judges: Collection[str],
    there: Mapping[str, CandidateSettings],
) -> Iterator[Finding]:
    if workload.route.rules:
        yield (*path, "rules"), "never reached: `policy: cascade` asks `cascade.drafting` in order"
    cascade = workload.route.cascade
    path = (*path, "cascade")
    if cascade is None or not cascade.drafting:
        yield (*path, "drafting"), "is missing: `policy: cascade` needs the candidates that draft, cheapest first"
        return
    strongest = workload.candidates[0]
    for at, name in enumerate(cascade.drafting):
        yield from _one_of((*path, "drafting", at), name, workload.candidates)
        if name == strongest:
            yield (
                (*path, "drafting", at),
                f"{name!r} is the workload's first candidate: it answers where no draft holds",
            )
        elif name in cascade.drafting[:at]:
            yield (*path, "drafting", at), f"{name!r} stands here twice"
        if cascade.verify == "logprobs" and name in there and "logprobs" not in _asks(there[name]):
            yield (*path, "verify"), f"{name!r} tells no logprobs: choose another way to verify"
    yield from _verify(path, cascade, workload, settings, judges)


def _verify(
    path: KeyPath, cascade: CascadeSettings, workload: WorkloadSettings, settings: Settings, judges: Collection[str]
) -> Iterator[Finding]:
    known = {*judges, *BUILT_IN}
    if cascade.verify == "judge":
        if not cascade.judge:
            yield (*path, "judge"), f"is missing: `verify: judge` needs one{nearest('', judges or known)}"
        elif cascade.judge not in known:
            yield (*path, "judge"), f"there is no judge {cascade.judge!r}{nearest(cascade.judge, known)}"
        elif cascade.judge in settings.judges and settings.judges[cascade.judge].kind == "pair":
            yield (*path, "judge"), f"{cascade.judge!r} is of `kind: pair`: it grades no answer by itself"
    elif cascade.judge:
        yield (*path, "judge"), f"has no effect with `verify: {cascade.verify}`"
    if cascade.verify != "consistency" and "samples" in cascade.model_fields_set:
        yield (*path, "samples"), f"has no effect with `verify: {cascade.verify}`"
    if cascade.verify == "groundedness" and not workload.collections:
        yield (*path, "verify"), "the workload has no collections: there is nothing that answers could be held against"


def _one_of(path: KeyPath, name: str, candidates: Collection[str]) -> Iterator[Finding]:
    if name not in candidates:
        yield path, f"{name!r} is not among the workload's candidates{nearest(name, candidates)}"


def _asks(candidate: CandidateSettings) -> frozenset[str]:
    return frozenset() if candidate.kind == "extractive" else frozenset(candidate.asks)
