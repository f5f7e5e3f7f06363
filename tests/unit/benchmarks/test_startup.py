"""The benchmark of start-up and answers runs. What it measures is nothing to assert."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "startup.py"


@pytest.mark.slow
def test_it_measures_both_figures() -> None:
    command = [sys.executable, str(BENCH), "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    assert rows["start to /readyz, s"]["p50"] > 0
    assert rows["extractive answer, ms"]["min"] > 0
