"""The benchmark of batches runs. What it measures is nothing to assert, but for what must be flat."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "batch.py"


def rows(*arguments: str) -> list[dict[str, float]]:
    done = subprocess.run([sys.executable, BENCH, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_it_measures_a_queue() -> None:
    (row,) = rows("queue", "--servers", "4", "--seconds", "0.05", "--rounds", "20")
    assert 0 < row["ratio"] < 1.2


@pytest.mark.slow
def test_memory_is_flat() -> None:
    few, many = rows("memory", "--lines", "1000", "20000")
    assert many["peak MB"] < few["peak MB"] + 15
