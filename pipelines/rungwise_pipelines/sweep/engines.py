"""An engine a setting: the one that serves, with another workload in it. Models, index and log are shared by all."""

from collections.abc import Sequence

from msgspec.structs import replace

from rungwise_pipelines.sweep.grid import Setting
from rungwise_server.bootstrap import House, build_engine
from rungwise_server.engine import Engine


def engines_of(house: House, workload: str, settings: Sequence[Setting]) -> list[Engine]:
    """One for each of `settings`, in their order. Each serves `workload` under its own name, so that the log says whose
    question it was; nothing else can be asked of it.

    Raises:
        SetupError: a part cannot be opened as configured; the message says what to do.
    """
    variants = {f"{number}": setting.workload for number, setting in enumerate(settings)}
    varied = house.settings.model_copy(update={"workloads": variants})
    built = build_engine(varied, house.index, house.embedder, house.log, client=house.client)
    engines = []
    for number, setting in enumerate(settings):
        chosen = replace(built.workloads[f"{number}"], name=workload)
        candidates = {name: built.candidates[name] for name in chosen.candidates}
        if setting.prompt is not None:
            chosen = replace(chosen, prompt=setting.prompt)
            candidates = {name: replace(candidate, prompt=None) for name, candidate in candidates.items()}
        engines.append(Engine({workload: chosen}, candidates, {}, house.log))
    return engines
