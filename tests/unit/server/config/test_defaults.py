import json
from pathlib import Path

import pytest

from rungwise_server.config.defaults import ANTHROPIC_MODEL, OPENAI_MODEL, with_defaults
from rungwise_server.config.settings import CandidateSettings, Settings, SourceSettings, WorkloadSettings

EXTRACTIVE = CandidateSettings(kind="extractive")


def test_with_nothing_there_is_one_collection_one_workload_and_extractive() -> None:
    settings = with_defaults(Settings(), {})
    assert list(settings.collections) == ["default"]
    assert list(settings.workloads) == ["default"]
    assert settings.workloads["default"].collections == ("default",)
    assert settings.workloads["default"].candidates == ("extractive",)


def test_the_environment_adds_candidates_frontier_first_extractive_last() -> None:
    environ = {"VLLM_URL": "http://gpu:8000", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}
    settings = with_defaults(Settings(), environ)
    assert settings.workloads["default"].candidates == ("openai", "anthropic", "vllm", "extractive")
    assert {name: c.fallback for name, c in settings.candidates.items()} == {
        "openai": ("extractive",),
        "anthropic": ("extractive",),
        "vllm": ("extractive",),
        "extractive": (),
    }
    assert settings.candidates["openai"].api_key_env == "OPENAI_API_KEY"
    assert settings.candidates["anthropic"].model == f"anthropic/{ANTHROPIC_MODEL}"
    assert settings.candidates["vllm"].url == "http://gpu:8000/v1"
    assert settings.candidates["vllm"].model == ""


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://gpu:8000/", "http://gpu:8000/v1"),
        ("http://gpu/v1", "http://gpu/v1"),
        ("http://gpu/team/v1/", "http://gpu/team/v1"),
    ],
)
def test_a_vllm_url_is_completed(given: str, url: str) -> None:
    assert with_defaults(Settings(), {"VLLM_URL": given}).candidates["vllm"].url == url


def test_models_and_urls_are_overridable() -> None:
    environ = {
        "OPENAI_API_KEY": "o",
        "OPENAI_MODEL": "m",
        "OPENAI_BASE_URL": "http://proxy/v1",
        "ANTHROPIC_API_KEY": "a",
        "ANTHROPIC_MODEL": "bedrock/claude",
        "VLLM_URL": "http://gpu",
        "VLLM_MODEL": "qwen",
        "VLLM_API_KEY": "v",
    }
    candidates = with_defaults(Settings(), environ).candidates
    assert (candidates["openai"].url, candidates["openai"].model) == ("http://proxy/v1", "m")
    assert candidates["anthropic"].model == "bedrock/claude"
    assert (candidates["vllm"].model, candidates["vllm"].api_key_env) == ("qwen", "VLLM_API_KEY")


def test_an_empty_variable_is_none() -> None:
    assert list(with_defaults(Settings(), {"OPENAI_API_KEY": "", "VLLM_URL": ""}).candidates) == ["extractive"]


def test_the_file_wins_over_the_environment() -> None:
    mine = CandidateSettings(kind="openai_compatible", url="http://mine/v1", model="m")
    settings = with_defaults(Settings(candidates={"openai": mine}), {"OPENAI_API_KEY": "o"})
    assert settings.candidates["openai"] == mine
    assert settings.workloads["default"].candidates == ("openai", "extractive")


def test_a_workload_of_the_file_keeps_its_name_and_default_is_not_added() -> None:
    settings = Settings(workloads={"openai": WorkloadSettings(candidates=("extractive",), collections=("wiki",))})
    settings = with_defaults(settings, {"OPENAI_API_KEY": "o"})
    assert list(settings.workloads) == ["openai"]
    assert list(settings.candidates) == ["extractive"]
    assert list(settings.collections) == ["wiki"]


def test_own_extractive_is_not_made_a_fallback_unasked() -> None:
    loop = CandidateSettings(kind="openai_compatible", url="http://x/v1", model="m", fallback=("openai",))
    settings = with_defaults(Settings(candidates={"extractive": loop}), {"OPENAI_API_KEY": "o"})
    assert settings.candidates["openai"].fallback == ()


def test_collections_of_sources_need_no_declaration() -> None:
    sources = {"a": SourceSettings(path="a", collection="handbook"), "b": SourceSettings(path="b")}
    settings = with_defaults(Settings(sources=sources), {})
    assert list(settings.collections) == ["handbook", "default"]
    assert settings.workloads["default"].collections == ("handbook", "default")


def test_twice_changes_nothing() -> None:
    environ = {"VLLM_URL": "http://gpu:8000", "OPENAI_API_KEY": "o"}
    once = with_defaults(Settings(candidates={"mine": EXTRACTIVE}), environ)
    assert with_defaults(once, environ) == once


def test_the_default_models_have_a_price() -> None:
    import importlib.util

    found = importlib.util.find_spec("litellm")
    assert found is not None
    assert found.origin is not None
    table = json.loads((Path(found.origin).parent / "model_prices_and_context_window_backup.json").read_text())
    assert table[OPENAI_MODEL]["litellm_provider"] == "openai"
    assert table[ANTHROPIC_MODEL]["litellm_provider"] == "anthropic"
