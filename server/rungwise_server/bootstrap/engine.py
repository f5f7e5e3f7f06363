"""The engine: workloads, candidates and the ways to name them."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rungwise_server.bootstrap.judges import Bench, judge_settings
from rungwise_server.bootstrap.models import open_model, price_of, with_fallback
from rungwise_server.bootstrap.retrieval import open_retriever, open_search
from rungwise_server.bootstrap.routing import JudgeByName, open_router, open_shadow, open_verifier
from rungwise_server.config.settings import Settings, WorkloadSettings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import Prompt, load_prompt
from rungwise_server.protocols import Embedder, InferenceLog, Judge, PassageIndex, Router, Verifier
from rungwise_server.records import Inference
from rungwise_server.routing.rules import Pinned

if TYPE_CHECKING:
    from rungwise_server.judging.trust import Trust


def build_engine(
    settings: Settings,
    index: PassageIndex,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
    observe: Callable[[Inference], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
    trust: "Trust | None" = None,
    left_out: Callable[[str, str], None] = lambda *_: None,
) -> Engine:
    """The engine over opened parts. Without `trust` no cascade leans on a judge. `left_out` is told the workload of
    each answer that was not shadowed, and why.
    """
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

    def judge(name: str) -> Judge:
        chosen = judge_settings(settings).get(name)
        if chosen is None:
            raise ConfigError(f"there is no judge {name!r}: it needs a candidate that can write a verdict")
        return Bench(settings, embedder, log, client=client, observe=observe, environ=environ).judge(name, chosen)

    workloads = {
        name: Workload(
            name,
            open_router(chosen, settings, candidates),
            tuple(chosen.candidates),
            _prompt(chosen, prompts),
            open_retriever(index, embedder, tuple(chosen.collections)) if chosen.collections else None,
            chosen.passages,
            _verifier(chosen, embedder, judge, trust),
            open_shadow(name, chosen, settings, candidates, log, partial(left_out, name)),
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


def _verifier(
    workload: WorkloadSettings, embedder: Embedder, judge: JudgeByName, trust: "Trust | None"
) -> Verifier | None:
    cascade = workload.route.cascade
    if workload.route.policy != "cascade" or cascade is None:
        return None
    return open_verifier(cascade, embedder, judge, trust)
