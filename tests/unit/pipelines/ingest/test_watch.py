"""Waiting for files to change."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from rungwise_pipelines.ingest import watch


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET_MS", 20)
    monkeypatch.setattr(watch, "LATEST_MS", 200)


async def test_changes_are_told_by_place(tmp_path: Path) -> None:
    folder, file, other = tmp_path / "docs", tmp_path / "records.jsonl", tmp_path / "other.jsonl"
    home = folder / "state"
    home.mkdir(parents=True)
    file.write_text("{}")
    async with aclosing(watch.changes([folder, file], home)) as watching:
        begun: set[int] = set()
        while begun != {0, 1}:
            begun |= await _next(watching)
        (folder / ".hidden").write_text("no")
        (home / "rungwise.db").write_text("no")
        other.write_text("no")
        file.write_text("yes")
        assert await _next(watching) == {1}
        other.replace(file)
        assert await _next(watching) == {1}
        (folder / "sub").mkdir()
        assert await _next(watching) == {0}
        (folder / "sub" / "a.md").write_text("yes")
        assert await _next(watching) == {0}


async def test_a_folder_that_comes_and_one_that_is_replaced_have_changed(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    async with aclosing(watch.changes([folder], tmp_path / "home")) as watching:
        coming = asyncio.ensure_future(_next(watching))
        await asyncio.sleep(0)
        folder.mkdir()
        assert await coming == {0}
        folder.rename(tmp_path / "old")
        folder.mkdir()
        assert await _next(watching) == {0}
        (folder / "a.md").write_text("Seen in the new one.")
        assert await _next(watching) == {0}


async def _next(watching: AsyncGenerator[set[int], None]) -> set[int]:
    return await asyncio.wait_for(anext(watching), 30)
