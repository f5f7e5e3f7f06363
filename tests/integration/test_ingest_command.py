"""`rungwise ingest` as people run it: the real embedder, parser processes, index and database."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner, Result

from rungwise_connectors.sandbox import Parser
from rungwise_pipelines.cli import app
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.run import run
from rungwise_pipelines.ingest.sources import from_path
from rungwise_server.config.settings import Settings
from rungwise_server.retrieval.indexes.shared import open_embedded
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Vector

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNGWISE_CONFIG", raising=False)
    monkeypatch.setenv("RUNGWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text("# Leave\n\nThirty days a year.\n")
    (folder / "pay.md").write_text("---\nreaders: [finance]\n---\n# Pay\n\nOn the 25th.\n")
    return folder


def rungwise(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ingest", *arguments])


def test_a_folder_twice_then_with_a_broken_file(home: Path, folder: Path) -> None:
    result = rungwise("--path", "docs", "--readers", "everyone", "--json")
    assert result.exit_code == 0, result.output
    (source,) = json.loads(result.stdout)["sources"]
    assert (source["new"], source["passages"], source["collection"]) == (2, 2, "default")

    report = json.loads(rungwise("--path", "docs", "--readers", "everyone", "--json").stdout)
    assert (report["sources"][0]["unchanged"], report["passages"], report["ok"]) == (2, 0, True)

    (folder / "scan.pdf").write_bytes(b"")
    result = rungwise("--path", "docs", "--readers", "everyone")
    assert result.exit_code == 1
    assert "scan.pdf: " in result.stderr
    assert "unchanged" in result.stdout


def test_sources_of_the_configuration_one_by_one_and_rebuilt_together(home: Path, folder: Path) -> None:
    Path("more.jsonl").write_text('{"id": "1", "title": "Pumps", "text": "Pumps have valves.", "readers": ["staff"]}\n')
    Path("rungwise.yaml").write_text(
        "sources:\n"
        "  handbook: {path: docs, collection: kb, readers: [everyone]}\n"
        "  records: {kind: records, path: more.jsonl, collection: kb}\n"
    )
    report = json.loads(rungwise("handbook", "--json").stdout)
    assert [(source["source"], source["new"]) for source in report["sources"]] == [("handbook", 2)]
    report = json.loads(rungwise("--json").stdout)
    assert [(source["source"], source["new"]) for source in report["sources"]] == [("handbook", 0), ("records", 1)]
    rungwise("--path", "docs", "--collection", "kb", "--readers", "everyone")
    report = json.loads(rungwise("records", "--rebuild", "--json").stdout)
    assert [(source["source"], source["new"]) for source in report["sources"]] == [("records", 1), ("handbook", 2)]
    assert [name.startswith("path:docs-") for name in report["left_out"]] == [True]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "no sources are configured"),
        (("wiki",), 1, "there is no source 'wiki'"),
        (("--readers", "everyone"), 2, "go with --path"),
        (("wiki", "--path", "docs"), 2, "either SOURCE names or --path"),
        (("--path", "nowhere"), 1, "nothing at nowhere"),
        (("--path", "docs", "--readers", "two words"), 1, "is no reader"),
        (("--path", "docs"), 1, "leave.md: no readers: write `readers: [everyone]`"),
        (("--path", "void", "--readers", "everyone"), 1, "no documents found in"),
    ],
)
def test_what_cannot_work_says_what_to_do(
    home: Path, folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "void").mkdir()
    result = rungwise(*arguments)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.replace("│", " ").split())


async def test_it_writes_through_the_process_that_has_the_index_and_takes_over_when_that_ends(
    home: Path, folder: Path
) -> None:
    server = await open_embedded(home / "index", home / "index.sock", "rungwise serve")

    class Ending(HashEmbedder):
        async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
            if "Now it ends." in texts[0]:
                await server.close()
            return await super().embed(texts, kind)

    settings = Settings(home=home)
    async with Parser(workers=1) as parser:
        source = from_path(folder, "default", ["everyone"])
        report = await run(settings, [source], Ending(), parser, Progress())
        assert report.ok
        assert await server.count("default") == 2
        (folder / "end.txt").write_text("Now it ends.")
        report = await run(settings, [source], Ending(), parser, Progress())
        assert report.ok
    index = await open_embedded(home / "index", home / "index.sock", "test")
    assert await index.count("default") == 3
    await index.close()


async def test_watching_ingests_what_changes_until_ctrl_c(home: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "rungwise_pipelines", "ingest", "--path", "docs", "--readers", "everyone"]
    process = await asyncio.create_subprocess_exec(
        *command, "--watch", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout
    async with asyncio.timeout(120):
        assert json.loads(await process.stdout.readline())["sources"][0]["new"] == 2
        (folder / "new.md").write_text("# New\n\nIt came later.\n")
        assert json.loads(await process.stdout.readline())["sources"][0]["new"] == 1
        (folder / "new.md").unlink()
        assert json.loads(await process.stdout.readline())["sources"][0]["deleted"] == 1
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in said
