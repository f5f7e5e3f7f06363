"""The settings that a sweep tries: a grid over who answers, from what, how much of it, and with which prompt.

    candidates: [small, frontier]        # each answering alone
    passages: [3, 6, 12]
    collections: [[handbook, wiki], handbook, none]
    prompts: [grounded, terse]
    routes:                              # and these rules, as `workloads.W.route` takes them
      by-length:
        rules: [{when: {max_chars: 200}, use: small}]

An axis that is not given stays as the workload has it. The workload as it is configured is always among the settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BeforeValidator, Field, ValidationError

from rungwise_server.config.checks import nearest
from rungwise_server.config.settings import Name, RouteSettings, Section, Settings, WorkloadSettings
from rungwise_server.config.yaml_tree import Fault, KeyPath, Tree, read_yaml
from rungwise_server.errors import BadRequest, ConfigError
from rungwise_server.prompt import Prompt, load_prompt

NONE = "none"
TODAY = "as configured"
_AXES = {"candidate": "candidates", "prompt": "prompts", "collection": "collections"}
_MAX_BYTES = 1_000_000


def _several(given: object) -> object:
    """`none`, one name, or a list of names."""
    return ([] if given == NONE else given.split("+")) if isinstance(given, str) else given


class Grid(Section):
    """The values of each axis."""

    candidates: tuple[Name, ...] = ()
    passages: tuple[Annotated[int, Field(ge=1, le=50)], ...] = ()
    collections: tuple[Annotated[tuple[Name, ...], BeforeValidator(_several)], ...] = ()
    prompts: tuple[Name, ...] = ()
    routes: Mapping[Name, RouteSettings] = {}


class Setting(Struct, frozen=True):
    """One way to run the workload. `workload` is what the configuration would say."""

    name: str
    """For people: the values of the axes that differ."""
    axes: Mapping[str, str]
    """All of them: `answers`, `collections`, `passages`, `prompt`."""
    workload: WorkloadSettings
    prompt: Prompt | None = None
    """Takes the place of every prompt that is configured; None leaves them."""


def default_grid(settings: Settings, workload: WorkloadSettings) -> Grid:
    """What is worth knowing first: each candidate, half and twice the passages, and whether retrieval is worth it."""
    if not workload.collections:
        return Grid(candidates=workload.candidates)
    half, twice = max(1, workload.passages // 2), min(50, workload.passages * 2)
    writes = any(settings.candidates[name].kind != "extractive" for name in workload.candidates)
    return Grid(
        candidates=workload.candidates,
        passages=tuple(dict.fromkeys((half, workload.passages, twice))),
        collections=(workload.collections, ()) if writes else (workload.collections,),
    )


def read_grid(file: Path, settings: Settings) -> Grid:
    """The grid that a file declares. Raises ConfigError: one line for each thing to mend."""
    try:
        data = file.read_bytes()
        text = data.decode("utf-8-sig") if len(data) <= _MAX_BYTES else ""
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: this is not UTF-8 text; save the file as UTF-8") from None
    tree = read_yaml(text)
    if not text.strip() or not isinstance(tree.data, dict):
        given = tree.faults or [Fault(1, (), "the file must be a mapping of axes, such as `passages: [3, 6, 12]`")]
        raise ConfigError("\n".join(_told(str(file), fault) for fault in given))
    grid, faults = _checked(tree, settings)
    if faults:
        lines = dict.fromkeys(_told(str(file), fault) for fault in sorted(faults, key=lambda fault: fault.line))
        raise ConfigError("\n".join(lines))
    return grid


def grid_of(axes: Sequence[str], settings: Settings) -> Grid:
    """The grid of `--axis passages=3,6,12 --axis prompt=grounded,terse`. Raises BadRequest."""
    data: dict[str, object] = {}
    for axis in axes:
        name, equals, values = axis.partition("=")
        name = _AXES.get(name, name)
        if not equals or not values:
            raise BadRequest(f"{axis!r} is no axis: write NAME=VALUE,VALUE, such as passages=3,6,12.")
        data[name] = [int(v) if v.strip().isdecimal() else v.strip() for v in values.split(",")]
    grid, faults = _checked(Tree(data, {(): 0}, []), settings)
    if faults:
        raise BadRequest("\n".join(_told("--axis", fault) for fault in faults))
    return grid


def expand(grid: Grid, settings: Settings, name: str, written: Sequence[Prompt] = ()) -> list[Setting]:
    """Every setting once, the workload as it is first. `written` are prompts that stand in no file yet."""
    base = settings.workloads[name]
    prompts: list[Prompt | None] = [None]
    prompts = [load_prompt(prompt, settings.base / "prompts") for prompt in grid.prompts] or prompts
    prompts += written
    answers = [*_answers(grid, settings, base)] or [(_answering(base), base.candidates, base.route)]
    found = [Setting(TODAY, _axes(_answering(base), base, settings), base)]
    for who, candidates, route in answers:
        writes = _writes(settings, candidates, route)
        for collections in grid.collections or (base.collections,):
            if not collections and not writes:
                continue  # nothing to pick sentences from
            for passages in grid.passages if grid.passages and collections else (base.passages,):
                for given in prompts if writes else [None]:
                    prompt = None if given and _taken_anyway(given, base, collections, candidates, settings) else given
                    changed = {
                        "candidates": candidates,
                        "route": route,
                        "collections": collections,
                        "passages": passages,
                        "prompt": prompt.name if prompt else base.prompt,
                    }
                    workload = base.model_copy(update=changed)
                    found.append(Setting("", _axes(who, workload, settings), workload, prompt))
    return _named(_once(found))


def _taken_anyway(
    prompt: Prompt, base: WorkloadSettings, collections: Sequence[str], candidates: Sequence[str], settings: Settings
) -> bool:
    """Whether answers would be given with it in any case."""
    own = base.prompt or ("grounded" if collections else "")
    return prompt.name == own and not any(settings.candidates[name].prompt for name in candidates)


def _answers(
    grid: Grid, settings: Settings, base: WorkloadSettings
) -> Iterator[tuple[str, tuple[str, ...], RouteSettings]]:
    for name in grid.candidates:
        plain = name == base.candidates[0] and not base.route.rules
        others = tuple(other for other in base.candidates if other != name)
        yield name, (name, *others), base.route if plain else RouteSettings()
    for name, route in grid.routes.items():
        used = dict.fromkeys((*base.candidates, *(rule.use for rule in route.rules)))
        yield name, tuple(used), route


def _answering(base: WorkloadSettings) -> str:
    return "the configured rules" if base.route.rules else base.candidates[0]


def _writes(settings: Settings, candidates: Sequence[str], route: RouteSettings) -> bool:
    used = {candidates[0], *(rule.use for rule in route.rules)}
    return any(settings.candidates[name].kind != "extractive" for name in used)


def _axes(who: str, workload: WorkloadSettings, settings: Settings) -> dict[str, str]:
    prompt = workload.prompt or ("grounded" if workload.collections else "")
    if not _writes(settings, workload.candidates, workload.route):
        prompt = ""
    collections = " + ".join(workload.collections) or NONE
    passages = str(workload.passages) if workload.collections else ""
    return {"answers": who, "collections": collections, "passages": passages, "prompt": prompt}


def _once(settings: Sequence[Setting]) -> list[Setting]:
    """The first of those that come to the same."""
    seen: dict[object, Setting] = {}
    for setting in settings:
        workload, prompt = setting.workload, setting.prompt.id if setting.prompt else ""
        passages = workload.passages if workload.collections else 0
        key = (workload.candidates, workload.route.model_dump_json(), workload.collections, passages, prompt)
        seen.setdefault(key, setting)
    return list(seen.values())


def _named(settings: Sequence[Setting]) -> list[Setting]:
    """With names that say what differs; that there is no retrieval is said in any case."""
    values = {axis: {setting.axes[axis] for setting in settings} - {"", NONE} for axis in settings[0].axes}
    named = []
    for setting in settings:
        shown = [_worded(axis, setting.axes[axis]) for axis in values if len(values[axis]) > 1 and setting.axes[axis]]
        bare = not setting.workload.collections and any(other.workload.collections for other in settings)
        if bare and _worded("collections", NONE) not in shown:
            shown.append(_worded("collections", NONE))
        name = ", ".join(shown) or TODAY
        named.append(replace(setting, name=f"{name} (today)" if setting is settings[0] and shown else name))
    return named


def _worded(axis: str, value: str) -> str:
    if axis == "passages":
        return f"{value} passage" if value == "1" else f"{value} passages"
    return "no retrieval" if axis == "collections" and value == NONE else value


def _checked(tree: Tree, settings: Settings) -> tuple[Grid, list[Fault]]:
    faults = list(tree.faults)
    grid = Grid()
    try:
        grid = Grid.model_validate(tree.data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = tuple(detail["loc"])
            if detail["type"] == "extra_forbidden":
                why = f"no such key{nearest(str(path[-1]), set(Grid.model_fields))}"
            else:
                why = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
            faults.append(Fault(_line(tree, path), path, why))
    faults += [Fault(_line(tree, path), path, why) for path, why in _findings(grid, settings)]
    return grid, faults


def _findings(grid: Grid, settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for at, name in enumerate(grid.candidates):
        if name not in settings.candidates:
            yield ("candidates", at), f"there is no candidate {name!r}{nearest(name, settings.candidates)}"
    for route, chosen in grid.routes.items():
        for at, rule in enumerate(chosen.rules):
            if rule.use not in settings.candidates:
                why = f"there is no candidate {rule.use!r}{nearest(rule.use, settings.candidates)}"
                yield ("routes", route, "rules", at, "use"), why
    for at, collections in enumerate(grid.collections):
        for name in collections:
            if name not in settings.collections:
                why = f"there is no collection {name!r}{nearest(name, settings.collections)}"
                yield ("collections", at), why
    for at, name in enumerate(grid.prompts):
        try:
            load_prompt(name, settings.base / "prompts")
        except ConfigError as error:
            yield ("prompts", at), error.message


def _line(tree: Tree, path: KeyPath) -> int:
    while path and path not in tree.lines:
        path = path[:-1]
    return tree.lines.get(path, 0)


def _told(label: str, fault: Fault) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path).lstrip(".")
    where = f"{label}:{fault.line}" if fault.line else label
    return f"{where}: {place}: {fault.message}" if place else f"{where}: {fault.message}"
