"""Engines whose workloads are a sweep's settings: models, index and log are those that serve."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rungwise_pipelines.sweep.grid import Setting
from rungwise_server.bootstrap import build_engine
from rungwise_server.config.settings import Settings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.http.client import HttpClient
from rungwise_server.protocols import Embedder, InferenceLog, PassageIndex, Retriever, Router
from rungwise_server.routing.rules import Pinned
from rungwise_server.types import Caller, Passage


def engines_of(
    settings: Settings,
    workload: str,
    variants: Sequence[Setting],
    index: PassageIndex,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
) -> list[Engine]:
    """The engine of each of `variants`, which serves it under its number ("0", "1", ...), and `NUMBER/CANDIDATE` too.
    In the log all are `workload`. Settings that bring their own prompt share an engine whose candidates have none.

    Raises:
        SetupError: a part cannot be opened as configured; the message says what to do.
    """
    keys = {str(number): variant for number, variant in enumerate(variants)}
    # A prompt that a variant brings may stand in no file yet.
    workloads = {
        key: variant.workload.model_copy(update={"prompt": ""}) if variant.prompt else variant.workload
        for key, variant in keys.items()
    }
    varied = settings.model_copy(update={"workloads": workloads})
    built = build_engine(varied, index, embedder, log, client=client)
    bare = {name: replace(candidate, prompt=None) for name, candidate in built.candidates.items()}
    memories: dict[tuple[str, ...], Remembering] = {}
    served: dict[str, Workload] = {}
    for key, variant in keys.items():
        chosen = replace(built.workloads[key], name=workload)
        if chosen.retriever is not None:
            memory = memories.setdefault(variant.workload.collections, Remembering(chosen.retriever))
            chosen = replace(chosen, retriever=memory)
        served[key] = chosen if variant.prompt is None else replace(chosen, prompt=variant.prompt)
    configured = _engine({k: w for k, w in served.items() if keys[k].prompt is None}, built.candidates, log)
    rewritten = _engine({k: w for k, w in served.items() if keys[k].prompt is not None}, bare, log)
    return [configured if variant.prompt is None else rewritten for variant in variants]


def _engine(served: Mapping[str, Workload], candidates: Mapping[str, Candidate], log: InferenceLog) -> Engine:
    pins: dict[str, tuple[Router, Workload]] = {
        f"{key}/{name}": (Pinned(name, "the sweep asks it"), workload)
        for key, workload in served.items()
        for name in workload.candidates
    }
    return Engine(served, candidates, pins, log)


class Remembering:
    """A retriever that finds once what is asked for again: settings that differ in other things share it. What one
    caller found is another's only where both may read the same.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._found: dict[tuple[str, frozenset[str], int], list[Passage]] = {}

    async def retrieve(self, query: str, caller: Caller, limit: int) -> list[Passage]:
        """See Retriever."""
        key = query, caller.principals, limit
        if key not in self._found:
            self._found[key] = await self._retriever.retrieve(query, caller, limit)
        return list(self._found[key])
