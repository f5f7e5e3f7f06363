"""The benchmark of judges runs, on data of the same form. What it measures is nothing to assert."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "benchmarks" / "judging.py"


def write(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir()
    (folder / "data.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


@pytest.mark.slow
def test_it_draws_every_table(tmp_path: Path) -> None:
    texts = {"answer_1": "one", "answer_2": "and two"}
    write(
        tmp_path / "triviaqa_judges",
        [{"id": str(i), "system": "s", "human": i % 2, "judges": {"J": int(i % 3 > 0)}} for i in range(100)],
    )
    scores = {"rb_llm": 0.5, "rl_f": 0.2, "Bert-KPrec": 0.9}
    write(
        tmp_path / "mtrag_human",
        [{"id": str(i), "system": "s", "human": {"faithfulness": [1.0 + i % 4]}, "auto": scores} for i in range(50)],
    )
    write(
        tmp_path / "pandalm",
        [{"id": str(i), **texts, "annotators": [1, 2], "human": i % 3, "judges": {"P": str(i % 2)}} for i in range(30)],
    )
    write(
        tmp_path / "llmbar",
        [
            {"id": str(i), **texts, "subset": "A/B", "label": 1 + i % 2, "judges": {"L/Vanilla": [1, 1 + i % 2]}}
            for i in range(30)
        ],
    )
    command = [sys.executable, str(BENCH), str(tmp_path), "--rounds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(name in done.stdout for name in ("Coverage", "| J |", "| P |", "| L, B |"))
