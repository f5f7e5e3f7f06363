"""The engine: workloads, candidates and the ways to name them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rungwise_server.bootstrap.models import open_model, price_of, with_fallback
from rungwise_server.bootstrap.retrieval import open_retriever, open_search
from rungwise_server.config.settings import CandidateSettings, RouteSettings, Settings, WorkloadSettings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import Prompt, load_prompt
from rungwise_server.protocols import Embedder, InferenceLog, PassageIndex, Router
from rungwise_server.records import Inference
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned, Rules, When


def build_engine(
    settings: Settings,
    index: PassageIndex,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
    observe: Callable[[Inference], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Engine:
    """The engine over opened parts."""
    if not settings.workloads:
        raise ConfigError("there is no workload: name one under `workloads`")
    prompts = settings.base / "prompts"
    models = {name: open_model(c, settings, embedder, client, environ) for name, c in settings.candidates.items()}
    prices = Prices()
    candidates = {
        name: Candidate(
            name,
            with_fallback(name, settings, models),
            load_prompt(chosen.prompt, prompts) if chosen.prompt else None,
            price_of(chosen, prices),
            generates=chosen.kind != "extractive",
        )
        for name, chosen in settings.candidates.items()
    }
    workloads = {
        name: Workload(
            name,
            _router(chosen, settings, candidates),
            tuple(chosen.candidates),
            _prompt(chosen, prompts),
            open_retriever(index, embedder, tuple(chosen.collections)) if chosen.collections else None,
            chosen.passages,
        )
        for name, chosen in settings.workloads.items()
    }
    first = next(iter(workloads.values()))
    pins: dict[str, tuple[Router, Workload]] = {}
    for name in candidates:
        home = next((w for w in workloads.values() if name in w.candidates), first)
        pins[name] = (Pinned(name, "the client asked for it by name"), home)
        for workload in workloads.values():
            pins[f"{workload.name}/{name}"] = (Pinned(name, "the client asked for it by name"), workload)
    return Engine(
        workloads,
        candidates,
        pins,
        log,
        observe,
        lambda search: open_search(index, embedder, search),
        load_prompt("grounded", prompts),
    )


def _prompt(workload: WorkloadSettings, folder: Path) -> Prompt | None:
    if workload.prompt:
        return load_prompt(workload.prompt, folder)
    return load_prompt("grounded", folder) if workload.collections else None


def _router(workload: WorkloadSettings, settings: Settings, candidates: Mapping[str, Candidate]) -> Router:
    route: RouteSettings = workload.route
    able = {name: _asks(settings.candidates[name]) for name in workload.candidates}
    router: Router
    if route.policy == "pinned":
        router = Pinned(workload.candidates[0], "the workload's policy is pinned")
    else:
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
        router = Rules(able, rules)
    return Housekeeping(router, _cheapest([candidates[name] for name in workload.candidates]))


def _asks(candidate: CandidateSettings) -> frozenset[str]:
    return frozenset() if candidate.kind == "extractive" else frozenset(candidate.asks)


def _cheapest(candidates: list[Candidate]) -> str:
    """The cheapest that can write a title; one whose price is not known is taken to be dear."""

    def dearness(candidate: Candidate) -> tuple[bool, bool, float]:
        price = candidate.price
        return (not candidate.generates, price is None, price.input + price.output if price else 0.0)

    return min(candidates, key=dearness).name
