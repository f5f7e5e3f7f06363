"""The gateway's benchmark runs, against whatever neighbour is installed. What it measures is nothing to assert."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "benchmarks" / "gateway.py"


def test_it_measures_every_figure() -> None:
    few = ["--rounds", "1", "--requests", "128", "--streams", "8", "--json"]
    done = subprocess.run([sys.executable, BENCH, *few], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    assert set(rows["rungwise"]) >= {
        "CPU ms/request",
        "CPU us/chunk, 50",
        "added p50 ms",
        "added first byte ms",
        "RSS MB",
    }
    assert rows["rungwise"]["CPU ms/request"] > 0
    assert rows["rungwise"]["RSS MB"] > 0
