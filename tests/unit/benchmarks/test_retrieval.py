"""The measures of `make bench-retrieval`, by hand-made rankings."""

import gzip
import json
import math
import runpy
from pathlib import Path

import pytest

BENCH = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "retrieval.py"))
ndcg, recall, mrr, percentile = BENCH["ndcg"], BENCH["recall"], BENCH["mrr"], BENCH["percentile"]


@pytest.mark.parametrize(
    ("found", "gold", "expected"),
    [
        ("ab", "a", 1.0),
        ("ba", "a", 1 / math.log2(3)),
        ("xy", "a", 0.0),
        ("", "a", 0.0),
        ("axb", "ab", (1 + 1 / 2) / (1 + 1 / math.log2(3))),
        ("xxxxxxxxxxa", "a", 0.0),
    ],
)
def test_ndcg(found: str, gold: str, expected: float) -> None:
    assert ndcg(list(found), frozenset(gold)) == pytest.approx(expected)


def test_ndcg_is_one_where_more_are_gold_than_are_looked_at() -> None:
    gold = [str(n) for n in range(20)]
    assert ndcg(gold[:10], frozenset(gold)) == pytest.approx(1)


def test_recall_and_mrr() -> None:
    assert recall(list("xaxxb"), frozenset("abc")) == pytest.approx(2 / 3)
    assert recall(list("xxxxxxxxxxa"), frozenset("a")) == 0
    assert mrr(list("xab"), frozenset("ab")) == 0.5
    assert mrr(list("xxxxxxxxxxa"), frozenset("a")) == 0


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.95)) == (50, 95, 7)


def write(path: Path, *records: object) -> None:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def test_documents_and_queries_are_paired(tmp_path: Path) -> None:
    for name in ("a/docs_de", "a/queries_de", "a/docs_en", "a/queries_en", "b/docs", "b/queries_test", "c/queries"):
        write(tmp_path / f"{name}.jsonl.gz", {"id": "1"})
    pairs = [(name, docs.name, queries.name) for name, docs, queries in BENCH["sets"]([tmp_path])]
    assert pairs == [
        ("a_de", "docs_de.jsonl.gz", "queries_de.jsonl.gz"),
        ("a_en", "docs_en.jsonl.gz", "queries_en.jsonl.gz"),
        ("b_test", "docs.jsonl.gz", "queries_test.jsonl.gz"),
    ]


def test_a_limit_keeps_gold_documents_first(tmp_path: Path) -> None:
    write(tmp_path / "docs.jsonl.gz", *({"id": name} for name in "abcd"))
    question = BENCH["Asked"]
    questions = [question(text="?", gold_doc_ids=["d"]), question(text="!", gold_doc_ids=["c", "b"])]
    path, kept = BENCH["limited"](tmp_path / "docs.jsonl.gz", questions, 2, tmp_path)
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["b", "c"]
    assert [question.text for question in kept] == ["!"]
