"""The table in the docs has every case that the tests have."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLE = (HERE.parents[1] / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")


def _written() -> list[str]:
    names = []
    for path in HERE.glob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if "conformance(" in text and path.name not in ("test_table.py", "test_javascript.py"):
            for node in ast.parse(text).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    cased = any(argument.arg == "case" for argument in node.args.args)
                    names += [] if cased else [node.name.removeprefix("test_").replace("_", " ")]
    for path in (HERE / "node").glob("*.mjs"):
        found = re.findall(
            r'^ *(?:"|cases\["|cases\[`\$\{surface\})[a-z ]*: ([^"`]+)["`]', path.read_text(), re.MULTILINE
        )
        names += found
    return names


@pytest.mark.parametrize("name", _written())
def test_a_case_is_in_the_table(name: str) -> None:
    assert name in TABLE, "run `make conformance`"


def test_no_case_failed_when_the_table_was_written() -> None:
    assert "**failed" not in TABLE
