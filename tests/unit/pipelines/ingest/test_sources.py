"""From settings and paths to sources."""

from pathlib import Path

import pytest

from rungwise_pipelines.ingest.sources import configured, from_path
from rungwise_server.config.settings import Settings, SourceSettings
from rungwise_server.errors import ConfigError


def test_sources_of_the_configuration(tmp_path: Path) -> None:
    settings = Settings(
        sources={
            "wiki": SourceSettings(path="docs", collection="kb", readers=("everyone", "staff")),
            "tickets": SourceSettings(kind="records", path="t.jsonl"),
        },
        base=tmp_path,
    )
    wiki, tickets = configured(settings, [])
    assert (wiki.connector.name, wiki.collection, wiki.readers) == (
        "wiki",
        "kb",
        frozenset({"everyone", "group:staff"}),
    )
    assert wiki.place == tmp_path / "docs"
    assert (tickets.connector.name, tickets.readers) == ("tickets", frozenset())
    assert [source.connector.name for source in configured(settings, ["tickets", "tickets"])] == ["tickets"]
    with pytest.raises(ConfigError, match="Did you mean 'wiki'"):
        configured(settings, ["wikki"])


def test_readers_of_a_source_are_checked(tmp_path: Path) -> None:
    settings = Settings(sources={"wiki": SourceSettings(path=".", readers=("every one",))}, base=tmp_path)
    with pytest.raises(ConfigError, match="'every one' is no reader"):
        configured(settings, [])


def test_a_path_is_one_source_in_every_run_and_another_one_in_another_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "docs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    one = from_path(Path("a/docs"), "kb", ["everyone"]).connector.name
    assert one == from_path(tmp_path / "a" / ".." / "a" / "docs", "kb", []).connector.name
    assert one.startswith("path:docs-")
    assert one != from_path(Path("b/docs"), "kb", []).connector.name
    assert one != from_path(Path("a/docs"), "other", []).connector.name
    with pytest.raises(ConfigError, match="nothing at nowhere"):
        from_path(Path("nowhere"), "kb", [])
