"""How well and how fast passages are found: `python tests/benchmarks/retrieval.py FOLDER ...` (make bench-retrieval).

Each folder has documents, `docs*.jsonl.gz` with {"id","title","text"}, and questions, `queries*.jsonl.gz` with
{"text","gold_doc_ids"}; `docs_de` goes with `queries_de`, and queries of no documents of their own with `docs`.
Subfolders are looked into. Everything goes the way that it goes in service: ingested by the ingestion of the house
with its parsers, splitter, default embedder and embedded index, in a temporary home, and asked one after the other
through `Hybrid`. A document ranks where its best passage does. Questions without a gold document are left out.
"""

import argparse
import asyncio
import gzip
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

TOP = 10
PASSAGES = 50


class Asked(Struct):
    """One line of a queries file."""

    text: str
    gold_doc_ids: list[str] = []


class Scores(Struct):
    """What a set came to; times in milliseconds, of one query with everything that it takes."""

    name: str
    documents: int
    passages: int
    queries: int
    ndcg: float
    recall: float
    mrr: float
    passages_per_second: float
    p50: float
    p95: float


def ndcg(found: Sequence[str], gold: frozenset[str], top: int = TOP) -> float:
    """Normalised discounted cumulative gain of the first `top`, every gold document worth one."""
    gain = sum(1 / math.log2(rank + 1) for rank, document in enumerate(found[:top], start=1) if document in gold)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(top, len(gold)) + 1))


def recall(found: Sequence[str], gold: frozenset[str], top: int = TOP) -> float:
    """The share of gold documents among the first `top`."""
    return len(gold.intersection(found[:top])) / len(gold)


def mrr(found: Sequence[str], gold: frozenset[str], top: int = TOP) -> float:
    """One by the rank of the first gold document; 0 beyond `top`."""
    return next((1 / rank for rank, document in enumerate(found[:top], start=1) if document in gold), 0.0)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def sets(folders: Sequence[Path]) -> Iterator[tuple[str, Path, Path]]:
    """Name, documents and queries of each set."""
    for folder in folders:
        for queries in sorted(folder.rglob("queries*.jsonl.gz")):
            suffix = queries.name.removeprefix("queries").removesuffix(".jsonl.gz")
            own, common = queries.with_name(f"docs{suffix}.jsonl.gz"), queries.with_name("docs.jsonl.gz")
            documents = own if own.exists() else common
            if documents.exists():
                yield f"{queries.parent.name}{suffix}", documents, queries


def limited(documents: Path, questions: list[Asked], limit: int, into: Path) -> tuple[Path, list[Asked]]:
    """At most `limit` documents, gold ones first, and the questions whose gold is all there."""
    gold = {document for question in questions for document in question.gold_doc_ids}
    with gzip.open(documents, "rt", encoding="utf-8") as lines:
        records = [(json.loads(line)["id"], line) for line in lines]
    kept = sorted(records, key=lambda record: record[0] not in gold)[:limit]
    ids = {document for document, _ in kept}
    path = into / "docs.jsonl"
    path.write_text("".join(line for _, line in kept), encoding="utf-8")
    return path, [question for question in questions if ids.issuperset(question.gold_doc_ids)]


async def measure(name: str, documents: Path, queries: Path, limit_documents: int, limit_queries: int) -> Scores:
    """Ingest and ask one set."""
    from rungwise_connectors.sandbox import Parser
    from rungwise_pipelines.ingest.progress import Progress
    from rungwise_pipelines.ingest.run import run
    from rungwise_pipelines.ingest.sources import from_path
    from rungwise_pipelines.progress import Lines
    from rungwise_server import bootstrap
    from rungwise_server.config.settings import Settings
    from rungwise_server.prompt import text_message
    from rungwise_server.routing.rules import Rules, When
    from rungwise_server.types import EVERYONE, Caller, Question

    with gzip.open(queries, "rt", encoding="utf-8") as lines:
        questions = [question for line in lines if (question := msgspec.json.decode(line, type=Asked)).gold_doc_ids]
    with tempfile.TemporaryDirectory(prefix="rungwise-bench-") as home:
        if limit_documents:
            documents, questions = limited(documents, questions, limit_documents, Path(home))
        if limit_queries:
            questions = questions[:: max(1, len(questions) // limit_queries)][:limit_queries]
        settings = Settings(home=Path(home) / "home")
        embedder = await bootstrap.open_embedder(settings, {})
        async with Parser() as parser:
            report = await run(
                settings, [from_path(documents, "default", [EVERYONE])], embedder, parser, Progress(Lines())
            )
        index = await bootstrap.open_index(settings, {})
        try:
            retriever = bootstrap.open_retriever(index, embedder, ("default",))
            router = Rules({"cheap": frozenset(), "strong": frozenset()}, [(When(evidence="none"), "strong")])
            rankings, times = [], []
            for question in questions:
                asked = text_message("user", question.text)
                started = time.perf_counter()
                passages = await retriever.retrieve(question.text, Caller(), PASSAGES)
                await router.route(Question("bench", Caller(), (asked,), question.text), passages)
                times.append((time.perf_counter() - started) * 1000)
                rankings.append(list(dict.fromkeys(passage.document_id for passage in passages)))
        finally:
            await index.close()
            await embedder.close()
    golds = [frozenset(question.gold_doc_ids) for question in questions]
    if not golds:
        raise SystemExit(f"{name}: no question has its gold documents among those kept")

    def mean(values: Iterator[float]) -> float:
        return sum(values) / len(golds)

    return Scores(
        name=name,
        documents=sum(source.documents for source in report.sources),
        passages=report.passages,
        queries=len(golds),
        ndcg=mean(map(ndcg, rankings, golds)),
        recall=mean(map(recall, rankings, golds)),
        mrr=mean(map(mrr, rankings, golds)),
        passages_per_second=report.passages / report.seconds,
        p50=percentile(times, 0.5),
        p95=percentile(times, 0.95),
    )


def row(scores: Scores) -> str:
    """A line of the table."""
    return (
        f"{scores.name:<16} {scores.documents:>7} {scores.passages:>8} {scores.queries:>7} {scores.ndcg:>8.3f} "
        f"{scores.recall:>9.3f} {scores.mrr:>7.3f} {scores.passages_per_second:>11.1f} {scores.p50:>7.1f} "
        f"{scores.p95:>7.1f}"
    )


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="nDCG, recall, MRR and speed of retrieval on folders of records.")
    arguments.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments.add_argument("--only", default="", help="comma-separated names of sets, such as scifact_test")
    arguments.add_argument("--limit-docs", type=int, default=0, help="documents at most, gold ones first")
    arguments.add_argument("--limit-queries", type=int, default=0, help="queries at most, evenly picked")
    arguments.add_argument("--json", action="store_true", help="one line of JSON a set")
    given = arguments.parse_args()
    only = {name for name in given.only.split(",") if name}
    chosen = [found for found in sets(given.folders) if not only or found[0] in only]
    if not chosen:
        sys.exit("found no docs*.jsonl.gz with queries*.jsonl.gz there" + (f" of {given.only}" if only else ""))
    if not given.json:
        print("set                 docs passages queries  nDCG@10 recall@10  MRR@10  passages/s  p50 ms  p95 ms")
    for name, documents, queries in chosen:
        scores = asyncio.run(measure(name, documents, queries, given.limit_docs, given.limit_queries))
        print(msgspec.json.encode(scores).decode() if given.json else row(scores), flush=True)


if __name__ == "__main__":
    main()
