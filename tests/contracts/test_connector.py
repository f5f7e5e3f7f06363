"""The connectors of the house keep what every connector promises."""

import gzip
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.records import Records
from rungwise_connectors.testing import ConnectorContract, ListConnector, Source
from rungwise_connectors.types import Connector

EVERYONE = frozenset({"everyone"})


class FolderSource:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir()

    def connector(self) -> Connector:
        return Folder("folder", self._path, EVERYONE)

    def write(self, documents: Mapping[str, str]) -> None:
        for id, text in documents.items():
            (self._path / id).write_text(text)

    def rename(self, old: str, new: str) -> None:
        (self._path / old).rename(self._path / new)

    def delete(self, id: str) -> None:
        (self._path / id).unlink()

    def vanish(self) -> None:
        self._path.rename(self._path.with_name("elsewhere"))


class SettledFolderSource(FolderSource):
    """A folder long after its files were written, when cursors are their change times and no longer the walk's."""

    def connector(self) -> Connector:
        newest = max((file.stat().st_ctime_ns for file in self._path.glob("*")), default=0)
        while time.time_ns() < newest + 110_000_000:
            time.sleep(0.01)
        return super().connector()


class RecordsSource:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: dict[str, str] = {}
        self._save()

    def connector(self) -> Connector:
        return Records("records", self._path, EVERYONE)

    def write(self, documents: Mapping[str, str]) -> None:
        self._texts |= documents
        self._save()

    def rename(self, old: str, new: str) -> None:
        self._texts[new] = self._texts.pop(old)
        self._save()

    def delete(self, id: str) -> None:
        del self._texts[id]
        self._save()

    def vanish(self) -> None:
        self._path.unlink()

    def _save(self) -> None:
        lines = (json.dumps({"id": id, "title": id, "text": text}) + "\n" for id, text in self._texts.items())
        with gzip.open(self._path, "wt", 1) if self._path.suffix == ".gz" else self._path.open("w") as file:
            file.writelines(lines)


class ListSource:
    def __init__(self) -> None:
        self._list = ListConnector()

    def connector(self) -> Connector:
        return self._list

    def write(self, documents: Mapping[str, str]) -> None:
        for id, text in documents.items():
            self._list.put(id, text)

    def rename(self, old: str, new: str) -> None:
        self._list.delete(old)
        self._list.put(new, "Apples.")

    def delete(self, id: str) -> None:
        self._list.delete(id)

    def vanish(self) -> None:
        self._list.gone = True


class TestFolder(ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return FolderSource(tmp_path / "docs")


class TestSettledFolder(ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return SettledFolderSource(tmp_path / "docs")


class TestRecords(ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return RecordsSource(tmp_path / "docs.jsonl")


class TestGzippedRecords(ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return RecordsSource(tmp_path / "docs.jsonl.gz")


class TestListConnector(ConnectorContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return ListSource()
