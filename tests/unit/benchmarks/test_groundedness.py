"""The benchmark of groundedness: its measures by hand, and that it draws its tables on data of the same form."""

import gzip
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "groundedness.py"
BENCH = runpy.run_path(str(PATH))
spearman, altered, negated = BENCH["spearman"], BENCH["altered"], BENCH["negated"]


@pytest.mark.parametrize(
    ("other", "expected"), [([1, 2, 3, 4], 1.0), ([9, 7, 5, 0], -1.0), ([1, 1, 2, 2], 0.894), ([2, 4, 1, 3], 0.0)]
)
def test_spearman(other: list[float], expected: float) -> None:
    assert spearman(np.arange(4.0), np.array(other)) == pytest.approx(expected, abs=1e-3)


def test_sentences_are_made_wrong() -> None:
    rng = np.random.default_rng(1)
    assert altered("From 1999 to 2004.", rng) in {f"From 1999 to 200{digit}." for digit in "012356789"}
    assert altered("No number.", rng) is None
    assert negated("It is red and has wheels.") == "It is not red and has wheels."
    assert negated("It is not red.") is None


@pytest.mark.slow
def test_it_draws_its_table(tmp_path: Path) -> None:
    folder = tmp_path / "mtrag_human"
    folder.mkdir()
    recorded = {"Bert-KPrec": 0.5, "rl_f": 0.2, "rb_agg": 0.3, "RougeL": 0.1, "Bert-Rec": 0.4, "rb_llm": 0.9}
    answers = [
        {
            "task_id": f"t{i % 4}<::>{i}",
            "collection": f"c{i % 2}",
            "system": "s",
            "answer": ("The fee is 5 euros a year.", "Whales sing at night.", "I do not know.")[i % 3],
            "context_ids": ["d"],
            "human": {"faithfulness": [1.0 + i % 4, 2.0 + i % 3]},
            "auto": {name: value * (i % 5) for name, value in recorded.items()},
        }
        for i in range(24)
    ]
    docs = [{"id": "d", "text": "The fee is 5 euros a year. It is paid in March."}]
    for name, rows in (("data", answers), ("docs", docs)):
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    command = [sys.executable, str(PATH), str(tmp_path), "--draws", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(name in done.stdout for name in ("| **groundedness** |", "| Bert-KPrec |", "ms (p50)"))
