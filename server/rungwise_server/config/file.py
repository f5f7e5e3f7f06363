"""Reads `rungwise.yaml`: found, validated whole, every error in one go with its line and what was probably meant."""

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from rungwise_server.config.checks import findings, nearest
from rungwise_server.config.defaults import with_defaults
from rungwise_server.config.judge_checks import judge_findings
from rungwise_server.config.route_checks import route_findings
from rungwise_server.config.settings import Section, Settings
from rungwise_server.config.yaml_tree import Fault, KeyPath, Tree, read_yaml
from rungwise_server.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["FILE", "find_file", "load_settings", "parse_settings", "section_at", "with_defaults"]

FILE = "rungwise.yaml"
MAX_BYTES = 1_000_000
NAMED = ("collections", "sources", "candidates", "workloads", "judges")
OUTSIDE = {"home": "set RUNGWISE_HOME", "base": "paths start from the file's own folder"}
"""Fields of `Settings` that are not keys of the file, and what to do instead."""

SECRET_KEY = re.compile(
    r"(api_?key|password|passwd|secret|token|access_?key|authorization|credentials?)", re.IGNORECASE
)
SECRET_HEADER = re.compile(r"(proxy-)?authorization|(x-)?api-key|.*-(api-)?key|.*-token|cookie", re.IGNORECASE)
PASSWORD_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@]*:[^/@]+@", re.IGNORECASE)


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings that serve: from the file `config`, else RUNGWISE_CONFIG's, else ./rungwise.yaml, else defaults.

    Raises:
        ConfigError: the file is missing or wrong; one line for each thing to mend.
    """
    home = Path(environ.get("RUNGWISE_HOME") or ".rungwise").expanduser()
    file = find_file(config, environ)
    if file is None:
        return with_defaults(Settings(home=home, base=Path.cwd()), environ)
    settings = parse_settings(_text(file), environ, label=str(file), base=file.resolve().parent)
    return with_defaults(settings.model_copy(update={"home": home}), environ)


def find_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file in charge; None where there is none and none was asked for."""
    if config is not None:
        return config.expanduser()
    if named := environ.get("RUNGWISE_CONFIG"):
        return Path(named).expanduser()
    return Path(FILE) if Path(FILE).exists() else None


def parse_settings(text: str, environ: Mapping[str, str], *, label: str, base: Path) -> Settings:
    """The settings that `text` declares, nothing added. `label` names the file in errors. Raises ConfigError."""
    tree = read_yaml(text)
    faults = list(tree.faults)
    data = tree.data
    if isinstance(data, dict):
        data = _filled(data)
        settings, wrong = _validated(data, tree, base)
        faults += wrong
        declared = {section: list(found) if isinstance(found := data.get(section), dict) else [] for section in NAMED}
        told = {fault.path for fault in wrong}
        found = (check(settings, declared, environ) for check in (findings, judge_findings, route_findings))
        for path, why in chain.from_iterable(found):
            if not any(path[: len(known)] == known for known in told):
                faults.append(Fault(_line(tree, path), path, why))
        if not faults:
            return settings
    elif not faults:
        faults.append(Fault(1, (), "the file must be a mapping of sections, such as `server:` and `sources:`"))
    lines = dict.fromkeys(_told(label, fault) for fault in sorted(faults, key=lambda fault: fault.line))
    raise ConfigError("\n".join(lines))


def section_at(path: KeyPath) -> type[Section] | None:
    """The model that describes what stands at `path` of the file; None for lists and plain values."""
    kind: object = Settings
    for part in path:
        if isinstance(kind, type) and issubclass(kind, Section):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:
            kind = next((each for each in reversed(get_args(kind)) if each is not Ellipsis), None)
        kind = (
            next((each for each in get_args(kind) if isinstance(each, type) and issubclass(each, Section)), kind)
            if _optional(kind)
            else kind
        )
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _optional(kind: object) -> bool:
    return type(None) in get_args(kind)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_BYTES // 1_000_000} MB; that is no configuration")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file} is not there; `rungwise init` writes a commented one") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: this is not UTF-8 text; save the file as UTF-8") from None


def _validated(data: dict[str, object], tree: Tree, base: Path) -> tuple[Settings, list[Fault]]:
    """What is valid of `data` (entries with an error are left out), and the errors."""
    secrets = dict(_secrets(data, ()))
    faults = {path: Fault(_line(tree, path), path, why) for path, why in secrets.items()}
    for key in OUTSIDE.keys() & data.keys():
        faults[(key,)] = Fault(_line(tree, (key,)), (key,), f"does not stand in the file: {OUTSIDE[key]}")
    rest = {key: value for key, value in data.items() if key not in OUTSIDE}
    details = _details(rest)
    for detail in details:
        path, why = _worded(detail, tree)
        faults.setdefault(path, Fault(_line(tree, path), path, why))
    rest = _without(rest, details, whole=False)
    settings = Settings.model_validate(_without(rest, _details(rest), whole=True))
    return settings.model_copy(update={"base": base}), list(faults.values())


def _details(data: dict[str, object]) -> "list[ErrorDetails]":
    try:
        Settings.model_validate(data)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _without(data: dict[str, object], wrong: "list[ErrorDetails]", *, whole: bool) -> dict[str, object]:
    """`data` without what is wrong: single keys, or (`whole`, or a `kind` that gives the others meaning) entries."""
    kept = copy.deepcopy(data)
    for path in (tuple(detail["loc"]) for detail in wrong):
        depth = 3 if path[0] in NAMED else 2
        if whole or path[depth - 1 : depth] == ("kind",):
            depth -= 1
        *way, last = path[:depth]
        at: object = kept
        for part in way:
            at = at.get(part) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.pop(last, None)
    return kept


def _filled(data: dict[str, object]) -> dict[str, object]:
    """Without nulls: a section whose every line is commented out is not there; a collection's name alone is enough."""
    filled = {key: value for key, value in data.items() if value is not None or key not in Settings.model_fields}
    for section in NAMED:
        entries = filled.get(section)
        if isinstance(entries, dict):
            filled[section] = {name: {} if entry is None else entry for name, entry in entries.items()}
    return filled


def _secrets(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Secrets in the file, by the names of their keys and the passwords in their URLs. Their values are never told."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = (*path, key)
            names_a_thing = len(path) == 1 and path[0] in NAMED
            if path[-1:] == ("headers",) and SECRET_HEADER.fullmatch(key):
                yield here, "a secret must not stand in this file: drop the header and give `api_key_env: VARIABLE`"
            elif not names_a_thing and not isinstance(item, dict) and SECRET_KEY.fullmatch(key.replace("-", "_")):
                yield here, "a secret must not stand in this file: give `api_key_env: VARIABLE` or `api_key_file: PATH`"
            else:
                yield from _secrets(item, here)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _secrets(item, (*path, at))
    elif isinstance(value, str) and PASSWORD_IN_URL.match(value):
        instead = "`url_env: VARIABLE`" if path[0] == "log" else "`api_key_env: VARIABLE`"
        yield path, f"this URL holds a password; secrets must not stand in this file: give {instead}"


def _worded(detail: "ErrorDetails", tree: Tree) -> tuple[KeyPath, str]:
    """Where an error of pydantic's stands in the file, and what it means there."""
    loc = tuple(detail["loc"])
    key, within = str(loc[-1]), loc[:-1]
    if detail["type"] == "missing":
        return loc, "is needed"
    if detail["type"] == "extra_forbidden":
        section = section_at(within)
        known = set(section.model_fields) - (OUTSIDE.keys() if not within else set()) if section else set()
        return loc, f"no such key{nearest(key, known)}"
    path = loc
    while path and path not in tree.lines:  # the names of keys, members of unions: not in the file
        path = path[:-1]
    if loc[-1] in ("str", "int", "float", "bool") and path != loc:
        return path, "must be text, a number, true or false"
    return path, _meaning(detail)


def _meaning(detail: "ErrorDetails") -> str:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"{given!r} is not one of {', '.join(filter(None, known))}{_meant(given, known)}"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is no name: letters, digits, dot, underscore and dash, at most 64, a letter or digit first"
    if kind == "value_error":
        return str(context["error"])
    plain = {
        "string_type": "must be text: put it in quotes",
        "tuple_type": f"must be a list: [{given}]" if isinstance(given, str) else "must be a list: [a, b]",
        "model_type": "must be a section of keys and values",
        "mapping_type": "must be a section of keys and values",
        "too_short": "needs at least one",
    }
    if kind.startswith(("int", "float", "bool")):
        return {"i": "must be a whole number", "f": "must be a number", "b": "must be true or false"}[kind[0]]
    return plain.get(kind) or detail["msg"].replace("Input should", "must")


def _meant(given: object, known: Collection[str]) -> str:
    said = nearest(given, known) if isinstance(given, str) else ""
    return said if "did you mean" in said else ""


def _line(tree: Tree, path: KeyPath) -> int:
    while path not in tree.lines:
        path = path[:-1]
    return tree.lines[path]


def _told(label: str, fault: Fault) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path).lstrip(".")
    where = f"{label}:{fault.line}" if fault.line else label
    return f"{where}: {place}: {fault.message}" if place else f"{where}: {fault.message}"
