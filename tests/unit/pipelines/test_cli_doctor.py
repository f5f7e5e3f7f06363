from pathlib import Path

import pytest
from typer.testing import CliRunner

from rungwise_pipelines.cli import app
from rungwise_pipelines.doctor import Check, examine
from rungwise_server.config.settings import CandidateSettings, LogSettings, Server, Settings, SourceSettings
from rungwise_server.testing.upstream import FakeUpstream, Reply


async def checks(settings: Settings, **environ: str) -> dict[str, Check]:
    return {check.name: check for check in await examine(settings, environ, None)}


async def candidate(folder: Path, chosen: CandidateSettings, **environ: str) -> Check:
    settings = Settings(home=folder / "home", base=folder, candidates={"it": chosen})
    return (await checks(settings, **environ))["candidate it"]


def compatible(url: str, model: str = "echo", key: str = "") -> CandidateSettings:
    return CandidateSettings(kind="openai_compatible", url=url, model=model, api_key_env=key)


async def test_candidates_are_asked_for_their_models(tmp_path: Path) -> None:
    async with FakeUpstream(models=("echo", "other")) as up:
        found = await candidate(tmp_path, compatible(up.url))
        assert (found.status, up.last.path) == ("ok", "/v1/models")
        assert (await candidate(tmp_path, compatible(up.url, model=""))).detail.endswith("serves echo")
        found = await candidate(tmp_path, compatible(up.url, model="third"))
        assert found.status == "warn"
        assert "echo, other" in found.fix
        url = up.url
    found = await candidate(tmp_path, compatible(url))
    assert found.status == "fail"
    assert "does not answer" in found.detail


async def test_keys_of_candidates(tmp_path: Path) -> None:
    async with FakeUpstream(api_key="sesame") as up:
        assert (await candidate(tmp_path, compatible(up.url, key="KEY"), KEY="sesame")).status == "ok"
        refused = await candidate(tmp_path, compatible(up.url, key="KEY"), KEY="wrong")
        assert (refused.status, refused.fix) == ("fail", "Check KEY.")
        count = len(up.requests)
        unset = await candidate(tmp_path, compatible(up.url, key="KEY"))
        assert (unset.status, unset.detail) == ("fail", "KEY is not set")
        assert len(up.requests) == count
    for check in (refused, unset):
        assert "sesame" not in check.detail + check.fix
        assert "wrong" not in check.detail + check.fix


async def test_a_key_follows_no_redirect(tmp_path: Path) -> None:
    async with FakeUpstream() as elsewhere:
        moved = f"HTTP/1.1 302 Found\r\nlocation: {elsewhere.url}/models\r\ncontent-length: 0\r\n\r\n".encode()
        async with FakeUpstream(Reply(raw=moved)) as up:
            found = await candidate(tmp_path, compatible(f"{up.origin}/other/v1", key="KEY"), KEY="sesame")
        assert found.status == "warn"
        assert not elsewhere.requests


async def test_what_is_no_list_of_models(tmp_path: Path) -> None:
    async with FakeUpstream(Reply(body=(b"<html>",))) as up:
        found = await candidate(tmp_path, compatible(up.origin))
    assert found.status == "warn"
    assert "/v1" in found.fix


async def test_sources(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    settings = Settings(
        home=tmp_path / "home",
        base=tmp_path,
        sources={
            "good": SourceSettings(path="docs", readers=("everyone",)),
            "open": SourceSettings(path="docs"),
            "gone": SourceSettings(path="dcos", readers=("everyone",)),
            "kind": SourceSettings(kind="records", path="docs"),
        },
    )
    found = await checks(settings)
    assert found["source good"].status == "ok"
    assert found["source open"].status == "warn"
    assert "sources.open.readers" in found["source open"].fix
    assert found["source gone"].status == "fail"
    assert found["source kind"].status == "fail"


async def test_an_open_host_needs_a_key_and_one_part_may_be_ill_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", server=Server(host="0.0.0.0"))
    found = await checks(settings)
    assert found["keys"].status == "fail"
    assert "rungwise keys create" in found["keys"].fix
    found = await checks(settings.model_copy(update={"log": LogSettings(url_env="NOT_SET")}))
    assert found["database"].status == "fail"
    assert "NOT_SET" in found["database"].detail
    assert found["embedder"].status == "ok"


async def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    found = await checks(Settings(home=tmp_path / "home"))
    assert found["home"].status == "fail"
    assert "RUNGWISE_HOME" in found["home"].fix


def test_a_broken_configuration_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rungwise.yaml").write_text("servr: {}\n")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "rungwise.yaml:1: servr" in result.stdout
