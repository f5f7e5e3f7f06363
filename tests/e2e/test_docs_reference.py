import re
from pathlib import Path

import pytest

from rungwise_pipelines import reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", ["cli.md", "config.md", "openapi.json"])
def test_the_reference_is_what_the_code_says(pages: dict[str, str], name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == pages[name], f"docs/reference/{name} is stale: `make docs` writes it anew"


def test_there_is_no_page_besides(pages: dict[str, str]) -> None:
    others = {"conformance.md"}  # written by the tests that it tells of, and held by one of them
    assert {file.name for file in (ROOT / "docs" / "reference").iterdir()} == set(pages) | others


def test_a_stale_page_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cli.md").write_text("old")
    assert reference.main(["--check", str(tmp_path)]) == 1
    assert "cli.md" in capsys.readouterr().err
    assert (tmp_path / "cli.md").read_text() == "old"
    assert reference.main([str(tmp_path)]) == 0
    assert reference.main(["--check", str(tmp_path)]) == 0


def test_every_key_is_explained(pages: dict[str, str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", pages["config.md"], re.MULTILINE)
    assert len(rows) > 50
    plain = {"input", "output", "cached"}  # of a price: the section says it
    assert [key for key, meaning in rows if not meaning.strip() and key not in plain] == []
