"""How a workload's candidates are chosen from, and what verifies and shadows their answers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rungwise_server.config.settings import (
    CandidateSettings,
    CascadeSettings,
    RouteSettings,
    Settings,
    WorkloadSettings,
)
from rungwise_server.engine import Candidate
from rungwise_server.errors import ConfigError
from rungwise_server.protocols import Embedder, InferenceLog, Judge, Router, Verifier
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned, Rules, When
from rungwise_server.shadow import Shadow, Why

if TYPE_CHECKING:
    from rungwise_server.judging.trust import Trust

JudgeByName = Callable[[str], Judge]

_LEAST = {"groundedness": 0.45, "judge": 0.5, "logprobs": 0.8, "consistency": 0.6}
"""What a draft must reach where nobody said."""


def open_router(workload: WorkloadSettings, settings: Settings, candidates: Mapping[str, Candidate]) -> Router:
    """The policy, and around it what the route asks for: chance first, then who is on trial, then what stays."""
    route: RouteSettings = workload.route
    able = {name: asks_of(settings.candidates[name]) for name in workload.candidates}
    router = _policy(workload, able)
    if route.explore is not None:
        from rungwise_server.routing.explore import Explore

        router = Explore(router, able, route.explore.share, route.explore.kind)
    if route.canary is not None:
        from rungwise_server.routing.canary import Canary

        canary = route.canary
        router = Canary(router, canary.candidate, canary.share, able[canary.candidate], canary.by)
    if route.sticky is not None:
        from rungwise_server.routing.sticky import Sticky

        sticky = route.sticky
        router = Sticky(router, able, gain=sticky.gain, seconds=60 * sticky.minutes, size=sticky.conversations)
    return Housekeeping(router, _cheapest([candidates[name] for name in workload.candidates]))


def open_verifier(cascade: CascadeSettings, embedder: Embedder, judge: JudgeByName, trust: "Trust | None") -> Verifier:
    """What the drafts of a cascade must stand. Without `trust` no certificate can be looked up, so that no judge is
    leant on.
    """
    from rungwise_server.judging import verifying

    least = _LEAST[cascade.verify] if cascade.threshold is None else cascade.threshold
    match cascade.verify:
        case "groundedness":
            return verifying.ByEvidence(embedder, least)
        case "judge":
            return verifying.ByJudge(judge(cascade.judge), trust, least)
        case "logprobs":
            return verifying.ByTokens(least)
        case "consistency":
            return verifying.ByRepeating(embedder, least, cascade.samples)


def open_shadow(
    name: str,
    workload: WorkloadSettings,
    settings: Settings,
    candidates: Mapping[str, Candidate],
    log: InferenceLog,
    left_out: Callable[[Why], None],
) -> Shadow | None:
    """What answers in silence beside the workload `name`.

    Raises:
        ConfigError: its price is not known, so that its money could not be counted.
    """
    shadow = workload.route.shadow
    if shadow is None:
        return None
    if candidates[shadow.candidate].price is None:
        raise ConfigError(
            f"workloads.{name}.route.shadow: the price of {shadow.candidate!r} is not known, so `daily` could not be "
            f"kept: write candidates.{shadow.candidate}.price (0 on hardware of your own)"
        )
    return Shadow(
        f"{name}/{shadow.candidate}",
        shadow.candidate,
        asks_of(settings.candidates[shadow.candidate]),
        shadow.daily,
        log,
        share=shadow.share,
        concurrent=shadow.concurrent,
        left_out=left_out,
    )


def asks_of(candidate: CandidateSettings) -> frozenset[str]:
    """What a candidate can do."""
    return frozenset() if candidate.kind == "extractive" else frozenset(candidate.asks)


def _policy(workload: WorkloadSettings, able: Mapping[str, frozenset[str]]) -> Router:
    route = workload.route
    if route.policy == "pinned":
        return Pinned(workload.candidates[0], "the workload's policy is pinned")
    if route.policy == "cascade":
        from rungwise_server.routing.cascade import Cascade

        return Cascade(able, route.cascade.drafting if route.cascade is not None else ())
    rules = [
        (
            When(
                frozenset(rule.when.groups),
                frozenset(rule.when.users),
                rule.when.min_chars,
                rule.when.max_chars,
                rule.when.evidence,
                frozenset(rule.when.asks),
            ),
            rule.use,
        )
        for rule in route.rules
    ]
    return Rules(able, rules)


def _cheapest(candidates: list[Candidate]) -> str:
    """The cheapest that can write a title; one whose price is not known is taken to be dear."""

    def dearness(candidate: Candidate) -> tuple[bool, bool, float]:
        price = candidate.price
        return (not candidate.generates, price is None, price.input + price.output if price else 0.0)

    return min(candidates, key=dearness).name
