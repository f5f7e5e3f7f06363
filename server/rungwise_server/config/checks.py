"""What a valid file can still get wrong: names that lead nowhere, rules never reached, keys without effect."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from urllib.parse import urlsplit

from rungwise_server.config.defaults import AMBIENT, ambient
from rungwise_server.config.settings import CandidateSettings, Condition, Secret, Section, Settings, WorkloadSettings
from rungwise_server.config.yaml_tree import KeyPath
from rungwise_server.types import principal

Finding = tuple[KeyPath, str]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def nearest(word: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?`, or what there is, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(known))}" if known else ""


def findings(
    settings: Settings, declared: Mapping[str, Collection[str]], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Everything wrong across sections. `declared` are the names in the file, those of broken entries included."""
    candidates = [*declared["candidates"], *ambient(settings, environ)]
    prompts = _prompts(settings)
    yield from _parts(settings)
    yield from _collections(settings, declared)
    for name in settings.workloads:
        if name in declared["candidates"]:
            yield ("workloads", name), "a candidate has this name too; clients ask for both by `model`: rename one"
    for name, workload in settings.workloads.items():
        path: KeyPath = ("workloads", name)
        yield from _known((*path, "candidates"), workload.candidates, candidates, settings)
        yield from _twice((*path, "candidates"), workload.candidates)
        yield from _prompt((*path, "prompt"), workload.prompt, prompts)
        yield from _rules((*path, "route"), workload, settings)
    for name, candidate in settings.candidates.items():
        path = ("candidates", name)
        yield from _candidate(path, candidate)
        yield from _known((*path, "fallback"), candidate.fallback, candidates, settings)
        yield from _twice((*path, "fallback"), candidate.fallback)
        yield from _prompt((*path, "prompt"), candidate.prompt, prompts)
    yield from _cycles(settings.candidates)
    yield from _moderations(settings, candidates, environ)


def _moderations(settings: Settings, candidates: Collection[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    name = settings.moderations
    if name:
        yield from _known(("moderations",), (name,), candidates, settings)
    chosen = {**ambient(settings, environ), **settings.candidates}.get(name)
    if chosen is not None and chosen.kind != "openai_compatible":
        yield ("moderations",), f"{name!r} is of kind {chosen.kind}: only `openai_compatible` ones can be asked"


def _parts(settings: Settings) -> Iterator[Finding]:
    embedder, index, log = settings.embedder, settings.index, settings.log
    needs = {"minilm": (), "onnx": ("path",), "openai": ("url", "model")}[embedder.kind]
    yield from _wants(
        ("embedder",),
        embedder,
        embedder.kind,
        needs,
        ("path", "url", "model", "dimensions", "api_key_env", "api_key_file"),
    )
    yield from _wants(
        ("index",),
        index,
        index.kind,
        ("url",) if index.kind == "qdrant" else (),
        ("url", "api_key_env", "api_key_file"),
    )
    reranker = settings.reranker
    if reranker.url:
        yield from _wants(("reranker",), reranker, "url", ("url", "model"), ())
    elif reranker.model or reranker.api_key_env or reranker.api_key_file:
        yield ("reranker", "url"), "is missing: without it the embedded reranker serves, which takes no other key"
    if log.url and log.url_env:
        yield ("log", "url_env"), "`url` is given too: keep one of the two"
    if log.url_env and not VARIABLE.fullmatch(log.url_env):
        yield ("log", "url_env"), "takes the name of an environment variable, such as DATABASE_URL"
    if log.url and not log.url.startswith(("sqlite:///", "postgresql://", "postgres://", "postgresql+psycopg://")):
        yield ("log", "url"), "takes sqlite:///PATH or postgresql://HOST/DATABASE"
    for name, source in settings.sources.items():
        yield from _principals(("sources", name, "readers"), source.readers)
    for name, workload in settings.workloads.items():
        yield from _principals(("workloads", name, "graders"), workload.graders)


def _principals(path: KeyPath, names: Sequence[str]) -> Iterator[Finding]:
    for at, name in enumerate(names):
        try:
            principal(name)
        except ValueError as error:
            yield (*path, at), str(error)


def _wants(
    path: KeyPath, part: Section, kind: str, needs: Collection[str], optional: Collection[str]
) -> Iterator[Finding]:
    """What `kind` needs and is not given; what is given and `kind` has no use for; and the rules of every secret."""
    for key in needs:
        if not getattr(part, key):
            yield (*path, key), f"`{kind}` needs `{key}`"
    # A part that needs a URL is remote, and so may have a key.
    uses = {*needs, "api_key_env", "api_key_file", "dimensions"} if "url" in needs else set(needs)
    for key in optional:
        if key not in uses and getattr(part, key):
            yield (*path, key), f"has no effect with `kind: {kind}`: take it out, or choose another kind"
    url = getattr(part, "url", "")
    if url and "url" in needs and not (urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname):
        yield (*path, "url"), "is no address: write http://HOST[:PORT]/… or https://…"
    if isinstance(part, Secret):
        if part.api_key_env and part.api_key_file:
            yield (*path, "api_key_file"), "`api_key_env` is given too: keep one of the two"
        if part.api_key_env and not VARIABLE.fullmatch(part.api_key_env):
            yield (
                (*path, "api_key_env"),
                "takes the name of an environment variable, such as OPENAI_API_KEY, not the key itself",
            )


def _candidate(path: KeyPath, candidate: CandidateSettings) -> Iterator[Finding]:
    if candidate.kind == "litellm":
        # A URL is the provider's own default, unless given.
        yield from _wants(path, candidate, "litellm", ("url", "model") if candidate.url else ("model",), ())
    else:
        needs = ("url", "model") if candidate.kind == "openai_compatible" else ()
        yield from _wants(path, candidate, candidate.kind, needs, ("url", "model", "api_key_env", "api_key_file"))


def _known(path: KeyPath, names: Collection[str], known: Collection[str], settings: Settings) -> Iterator[Finding]:
    for at, name in enumerate(names):
        if name in known:
            continue
        if variable := AMBIENT.get(name, "") if name not in settings.workloads else "":
            yield (*path, at), f"candidate {name!r} is there by itself once {variable} is set: set it, or declare it"
        else:
            yield (*path, at), f"there is no candidate {name!r}{nearest(name, known)}"


def _twice(path: KeyPath, names: tuple[str, ...]) -> Iterator[Finding]:
    for at, name in enumerate(names):
        if name in names[:at]:
            yield (*path, at), f"{name!r} stands here twice"


def _collections(settings: Settings, declared: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Where the file has a section `collections`, it is complete; else what sources fill is what there is."""
    filled = {source.collection for source in settings.sources.values()}
    known = set(declared["collections"]) or filled
    if declared["collections"]:
        for name, source in settings.sources.items():
            if source.collection not in known:
                yield (
                    ("sources", name, "collection"),
                    f"there is no collection {source.collection!r}{nearest(source.collection, known)}",
                )
    for name, workload in settings.workloads.items():
        for at, collection in enumerate(workload.collections):
            # Without a section `collections`, a name that resembles no other may be filled by `rungwise ingest --path`.
            if collection not in known and (
                declared["collections"] or difflib.get_close_matches(collection, known, n=1)
            ):
                yield (
                    ("workloads", name, "collections", at),
                    f"there is no collection {collection!r}{nearest(collection, known)}",
                )
        yield from _twice(("workloads", name, "collections"), workload.collections)


def _prompts(settings: Settings) -> set[str]:
    folders = (settings.base / "prompts", files("rungwise_server") / "prompts")
    return {
        entry.name.removesuffix(".md")
        for folder in folders
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(".md")
    }


def _prompt(path: KeyPath, name: str, known: Collection[str]) -> Iterator[Finding]:
    if name and not NAME.fullmatch(name):
        yield path, f"{name!r} is no name of a prompt: a file prompts/NAME.md beside the configuration is called NAME"
    elif name and name not in known:
        yield path, f"there is no prompts/{name}.md{nearest(name, known)}"


def _rules(path: KeyPath, workload: WorkloadSettings, settings: Settings) -> Iterator[Finding]:
    rules = workload.route.rules
    if rules and workload.route.policy == "pinned":
        yield (*path, "rules"), "never reached: `policy: pinned` always takes the first candidate"
        return
    for at, rule in enumerate(rules):
        if rule.use not in workload.candidates:
            yield (
                (*path, "rules", at, "use"),
                f"{rule.use!r} is not among the workload's candidates{nearest(rule.use, workload.candidates)}",
            )
            continue
        for before, earlier in enumerate(rules[:at]):
            if _covers(earlier.when, rule.when) and _can(rule.use, settings) <= _can(earlier.use, settings):
                why = "always holds" if earlier.when == Condition() else "holds whenever this one does"
                yield (*path, "rules", at), f"never reached: rule {before + 1} {why}"
                break


def _can(name: str, settings: Settings) -> frozenset[str]:
    """A rule is passed over where its candidate cannot do what the request asks for."""
    candidate = settings.candidates.get(name) or CandidateSettings(
        kind="extractive" if name == "extractive" else "litellm"
    )
    return frozenset() if candidate.kind == "extractive" else frozenset(candidate.asks)


def _covers(earlier: Condition, later: Condition) -> bool:
    """Whether `earlier` holds whenever `later` does."""

    def wider(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
        return not mine or bool(theirs and set(theirs) <= set(mine))

    return (
        wider(earlier.groups, later.groups)
        and wider(earlier.users, later.users)
        and wider(earlier.asks, later.asks)
        and earlier.min_chars <= later.min_chars
        and (not earlier.max_chars or 0 < later.max_chars <= earlier.max_chars)
        and earlier.evidence in ("", later.evidence)
    )


def _cycles(candidates: Mapping[str, CandidateSettings]) -> Iterator[Finding]:
    done: set[str] = set()
    for start in candidates:
        way: list[str] = []

        def walk(name: str, way: list[str] = way) -> Iterator[Finding]:
            if name in way:
                circle = [*way[way.index(name) :], name]
                yield ("candidates", way[-1], "fallback"), f"a circle: {' -> '.join(circle)}"
            elif name not in done and name in candidates:
                way.append(name)
                for following in candidates[name].fallback:
                    yield from walk(following)
                way.pop()
                done.add(name)

        yield from walk(start)
