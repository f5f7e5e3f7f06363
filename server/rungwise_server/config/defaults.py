"""What needs no configuration: candidates that appear by themselves, the `default` workload, implied collections."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from rungwise_server.config.settings import CandidateSettings, CollectionSettings, Settings, WorkloadSettings

OPENAI_MODEL = "gpt-6.1-sol"
ANTHROPIC_MODEL = "claude-sonnet-5-5"

AMBIENT = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "vllm": "VLLM_URL", "extractive": ""}
"""Candidates that appear by themselves, in the order in which they are preferred, and the variable that each needs."""


def with_defaults(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings made whole. What the file says wins over what the environment implies; twice changes nothing.

    `extractive` is always there; OPENAI_API_KEY, ANTHROPIC_API_KEY and VLLM_URL each add a candidate, which falls back
    to it. Where the file names no workload, `default` serves every collection with every candidate, those of the file
    first. Collections that a source or a workload names need no declaration.
    """
    added = ambient(settings, environ)
    candidates = {**settings.candidates, **{name: c for name, c in added.items() if name not in settings.candidates}}
    collections = dict.fromkeys(settings.collections)
    collections |= dict.fromkeys(source.collection for source in settings.sources.values())
    collections |= dict.fromkeys(name for workload in settings.workloads.values() for name in workload.collections)
    workloads = dict(settings.workloads)
    if not workloads:
        collections = collections or {"default": None}
        workloads["default"] = WorkloadSettings(collections=tuple(collections), candidates=tuple(candidates))
    return settings.model_copy(
        update={
            "candidates": candidates,
            "workloads": workloads,
            "collections": {name: settings.collections.get(name, CollectionSettings()) for name in collections},
        }
    )


def ambient(settings: Settings, environ: Mapping[str, str]) -> dict[str, CandidateSettings]:
    """The candidates that the environment offers, best first; a name that the file uses otherwise is left to it."""
    present = [name for name, variable in AMBIENT.items() if not variable or environ.get(variable)]
    taken = set(settings.workloads) | set(settings.candidates)
    fallback = () if "extractive" in taken else ("extractive",)
    return {name: _candidate(name, environ, fallback) for name in present if name not in taken}


def _candidate(name: str, environ: Mapping[str, str], fallback: tuple[str, ...]) -> CandidateSettings:
    match name:
        case "openai":
            return CandidateSettings(
                kind="openai_compatible",
                url=environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
                model=environ.get("OPENAI_MODEL") or OPENAI_MODEL,
                api_key_env="OPENAI_API_KEY",
                fallback=fallback,
            )
        case "anthropic":
            model = environ.get("ANTHROPIC_MODEL") or ANTHROPIC_MODEL
            return CandidateSettings(
                kind="litellm",
                model=model if "/" in model else f"anthropic/{model}",
                api_key_env="ANTHROPIC_API_KEY",
                fallback=fallback,
            )
        case "vllm":
            return CandidateSettings(
                kind="openai_compatible",
                url=_with_v1(environ["VLLM_URL"]),
                model=environ.get("VLLM_MODEL") or "",
                api_key_env="VLLM_API_KEY" if environ.get("VLLM_API_KEY") else "",
                fallback=fallback,
            )
        case _:
            return CandidateSettings(kind="extractive", asks=())


def _with_v1(url: str) -> str:
    return url.rstrip("/") if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"
