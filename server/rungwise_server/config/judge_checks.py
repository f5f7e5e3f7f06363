"""What a valid `judges:` section can still get wrong: a judge that could not grade, and keys without effect."""

from collections.abc import Collection, Iterator, Mapping
from importlib.resources import files

from rungwise_server.config.checks import NAME, Finding, nearest
from rungwise_server.config.defaults import ambient
from rungwise_server.config.settings import CandidateSettings, JudgeSettings, Settings
from rungwise_server.config.yaml_tree import KeyPath
from rungwise_server.judging.judges.patterns import Pattern
from rungwise_server.judging.judges.schemas import Schema

_ONLY = {
    "candidate": ("prompt", "pair"),
    "prompt": ("prompt", "pair"),
    "examples": ("prompt",),
    "pattern": ("regex",),
    "schema_file": ("json_schema",),
}
"""Keys that have a meaning for some kinds alone."""


def judge_findings(
    settings: Settings, declared: Mapping[str, Collection[str]], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Everything wrong with the judges. `declared` are the names in the file, those of broken entries included."""
    there = {**ambient(settings, environ), **settings.candidates}
    known = {*declared["candidates"], *there}
    for name, judge in settings.judges.items():
        path: KeyPath = ("judges", name)
        for key, kinds in _ONLY.items():
            if judge.kind not in kinds and getattr(judge, key):
                known_to = " and ".join(f"`kind: {kind}`" for kind in kinds)
                yield (*path, key), f"has no effect with `kind: {judge.kind}`: it is for {known_to}"
        if judge.kind == "pair" and judge.threshold is not None:
            yield (*path, "threshold"), "has no effect with `kind: pair`: of two answers one is better, or none"
        match judge.kind:
            case "prompt" | "pair":
                yield from _candidate((*path, "candidate"), judge.kind, judge.candidate, there, known)
                yield from _prompt(path, name, judge, settings)
            case "regex":
                yield from _pattern((*path, "pattern"), judge.pattern)
            case "json_schema":
                yield from _schema((*path, "schema_file"), judge.schema_file, settings)


def _candidate(
    path: KeyPath, kind: str, name: str, there: Mapping[str, CandidateSettings], known: Collection[str]
) -> Iterator[Finding]:
    if not name:
        able = [one for one in known if one not in there or there[one].kind != "extractive"]
        yield path, f"`{kind}` needs `candidate`: the one that grades{nearest('', able)}"
    elif name not in known:
        yield path, f"there is no candidate {name!r}{nearest(name, known)}"
    elif name in there and there[name].kind == "extractive":
        yield path, f"{name!r} only quotes passages and cannot grade: choose a candidate of another kind"


def _prompt(path: KeyPath, name: str, judge: JudgeSettings, settings: Settings) -> Iterator[Finding]:
    prompt = judge.prompt_name
    key = "prompt" if judge.prompt else "rubric"
    own = settings.base / "prompts"
    built_in = files("rungwise_server") / "prompts"
    if not NAME.fullmatch(prompt):
        yield (
            (*path, key),
            f"{prompt!r} is no name of a prompt: prompts/NAME.md beside the configuration is called NAME",
        )
    elif not (own / f"{prompt}.md").is_file() and not (built_in / f"{prompt}.md").is_file():
        why = "" if judge.prompt else f": write it, or name another with `prompt`, for the rubric {judge.rubric!r}"
        yield (*path, key), f"there is no prompts/{prompt}.md{why}"
    if judge.kind == "prompt" and judge.examples and not (own / f"{name}.examples.jsonl").is_file():
        yield (
            (*path, "examples"),
            f"there is no prompts/{name}.examples.jsonl: `rungwise judge align {name}` chooses examples and writes it",
        )


def _pattern(path: KeyPath, pattern: str) -> Iterator[Finding]:
    if not pattern:
        yield path, "`regex` needs `pattern`"
        return
    try:
        Pattern(pattern)
    except ValueError as error:
        yield path, f"does not compile: {error}"


def _schema(path: KeyPath, name: str, settings: Settings) -> Iterator[Finding]:
    if not name:
        yield path, "`json_schema` needs `schema_file`"
        return
    try:
        Schema((settings.base / name).read_text(encoding="utf-8"))
    except OSError as error:
        yield path, f"{name} cannot be read: {error.strerror}"
    except ValueError as error:  # no UTF-8, no JSON, no schema
        yield path, f"{name} {error}"
