"""What the configuration says of embeddings, rerank, moderations and limits, and what is opened for it."""

from pathlib import Path

import pytest

from rungwise_server.bootstrap import embedder_names, open_moderations, open_reranker
from rungwise_server.config.file import load_settings
from rungwise_server.config.settings import EmbedderSettings, RerankerSettings, Settings
from rungwise_server.errors import ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.testing.retrieval_embedder import HashEmbedder


def load(folder: Path, text: str) -> Settings:
    (folder / "rungwise.yaml").write_text(text, encoding="utf-8")
    return load_settings(folder / "rungwise.yaml", {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("reranker: {url: http://gpu/v1}", "`url` needs `model`"),
        ("reranker: {url: gpu, model: ce}", "is no address"),
        ("reranker: {model: ce}", "reranker.url: is missing"),
        ("reranker: {url: http://gpu/v1, model: ce, api_key_env: sk-12}", "name of an environment variable"),
        ("moderations: cloud", "there is no candidate 'cloud'"),
        ("candidates: {ex: {kind: extractive}}\nmoderations: ex", "only `openai_compatible` ones"),
        ("moderations: extractive", "only `openai_compatible` ones"),
        ("server: {limits: {requests_per_minute: -1}}", "requests_per_minute"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        load(tmp_path, text)
    assert told in wrong.value.message


def test_what_is_right(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "server: {limits: {requests_per_minute: 60, concurrent: 4}}\n"
        "embedder: {aliases: [text-embedding-3-small]}\n"
        "reranker: {url: http://gpu:8000/v1, model: ce, api_key_env: KEY}\n"
        "candidates: {cloud: {kind: openai_compatible, url: http://cloud/v1, model: m}}\n"
        "moderations: cloud\n",
    )
    client = HttpClient()
    assert settings.server.limits.concurrent == 4
    assert open_reranker(settings, HashEmbedder(), client, {}).name == "ce"
    assert open_moderations(settings, client, {}) is not None


def test_nothing_configured() -> None:
    assert open_reranker(Settings(), HashEmbedder(), HttpClient(), {}).name == "hash/64+bm25/1"
    assert open_moderations(Settings(), HttpClient(), {}) is None
    assert RerankerSettings().url == ""


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (EmbedderSettings(), ("hash", "hash/64")),
        (EmbedderSettings(aliases=("a", "hash/64")), ("hash", "hash/64", "a")),
        (EmbedderSettings(kind="openai", url="http://x", model="e5", aliases=("a",)), ("e5", "hash/64", "a")),
        (EmbedderSettings(kind="onnx", path="models/bge"), ("bge", "hash/64")),
    ],
)
def test_the_names_of_the_embedder(chosen: EmbedderSettings, names: tuple[str, ...]) -> None:
    assert embedder_names(Settings(embedder=chosen), HashEmbedder()) == names
