"""What the how-to shows runs: its code is taken from the page, its tests are run by pytest."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_router_of_the_how_to_passes_the_suite(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "extend.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "test_short.py").write_text("\n".join(blocks), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path / "test_short.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_every_name_in_its_table_is_there() -> None:
    page = (DOCS / "how-to" / "extend.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:rungwise_connectors\.testing|testing|log)\.[\w.]+)`", page))
    assert len(names) >= 14
    for name in names:
        module, _, attribute = name.rpartition(".")
        if not module.startswith("rungwise_connectors"):
            module = f"rungwise_server.{module}"
        assert hasattr(importlib.import_module(module), attribute), name
