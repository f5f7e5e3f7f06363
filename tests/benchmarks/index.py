"""Speed of the embedded index through its own class, by hand: `python tests/benchmarks/index.py [PASSAGES ...]`.

Synthetic passages of 384 dimensions and some 40 terms by Zipf's distribution, 100 groups of readers, three attributes.
Prints upserts a second, how long the event loop was kept waiting meanwhile, and p50 and p95 of a hybrid search with 50
results a list: by a caller in five groups (5 % is readable), by one who may read everything, with filters over
attributes that keep little, half and most, and while another task writes.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import numpy as np

from rungwise_server.filters import Combine, Compare, Filter
from rungwise_server.retrieval.indexes.edge import EdgeIndex
from rungwise_server.retrieval.indexes.points import BATCH, passage_id
from rungwise_server.retrieval.indexes.shared import IndexHost, RemoteIndex
from rungwise_server.types import CollectionSpec, IndexedPassage, IndexQuery, Passage, SparseVector

DIMENSIONS = 384
FEW = frozenset({"everyone", "user:ana", *(f"group:g{i}" for i in range(5))})
EVERYTHING = frozenset({"group:all"})
random = np.random.default_rng(7)


def sparse(terms: int) -> SparseVector:
    """So many draws of a term."""
    ids = tuple(np.unique(random.zipf(1.3, terms) % 100_000).tolist())
    return SparseVector(ids, tuple(random.uniform(0.5, 2, len(ids)).tolist()))


def batch(first: int) -> list[IndexedPassage]:
    """The next `BATCH` passages, ten a document."""
    dense = random.normal(size=(BATCH, DIMENSIONS)).astype(np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    entries = []
    for i in range(first, first + BATCH):
        text = f"passage {i} " + "words of some length " * 45
        passage = Passage(
            id=passage_id("bench", "s", f"d{i // 10}", text, i % 10),
            document_id=f"d{i // 10}",
            collection="bench",
            text=text,
            readers=frozenset({f"group:g{i // 10 % 100}", "group:all"}),
            title=f"Document {i // 10}",
            headings=("One", "Two"),
            start=i % 10,
            source="s",
            version="1",
            attributes={"kind": f"k{i // 10 % 20}", "year": 2000 + i // 10 % 25, "price": random.uniform(0, 100)},
        )
        entries.append(IndexedPassage(passage, dense[i - first], sparse(60)))
    return entries


FILTERS: dict[str, Filter] = {
    "kind = 1 of 20": Compare("eq", "kind", ("k3",)),
    "kind ≠ 1 of 20": Compare("ne", "kind", ("k3",)),
    "kind in 10 of 20": Compare("in", "kind", tuple(f"k{i}" for i in range(10))),
    "year ≥ 2024 (4 %)": Compare("gte", "year", (2024,)),
    "year ≥ 2012 (52 %)": Compare("gte", "year", (2012,)),
    "price > 98.123 (2 %)": Compare("gt", "price", (98.123,)),
    "price > 50.01 (50 %)": Compare("gt", "price", (50.01,)),
    "price < 90.01 (90 %)": Compare("lt", "price", (90.01,)),
    "kind and price (2.5 %)": Combine("and", (Compare("eq", "kind", ("k3",)), Compare("gt", "price", (50.01,)))),
}


def query(principals: frozenset[str], filter: Filter | None = None) -> IndexQuery:
    """A search by a random direction and eight words."""
    dense = random.normal(size=DIMENSIONS).astype(np.float32)
    return IndexQuery(dense / np.linalg.norm(dense), sparse(8), principals, 50, filter)


def show(what: str, seconds: list[float]) -> None:
    """p50, p95 and the worst."""
    p50, p95, worst = np.percentile(np.array(seconds) * 1e3, [50, 95, 100])
    print(f"  {what:<44} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms   max {worst:7.2f} ms", flush=True)


async def timed(ask: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Seconds of each call."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return took


async def searches(index: EdgeIndex | RemoteIndex, what: str) -> None:
    """Warm, then both callers."""
    await timed(lambda: index.search("bench", query(EVERYTHING)), 5)
    show(f"{what}, reads 5 %", await timed(lambda: index.search("bench", query(FEW)), 200))
    show(f"{what}, reads all", await timed(lambda: index.search("bench", query(EVERYTHING)), 100))


async def _search(index: EdgeIndex, principals: frozenset[str], filter: Filter) -> None:
    await index.search("bench", query(principals, filter))


async def lag(took: list[float]) -> None:
    """How late the event loop is, each millisecond."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        took.append(time.perf_counter() - began - 0.001)


async def bench(passages: int, home: Path) -> None:
    """One size, from nothing."""
    print(f"{passages:,} passages", flush=True)
    index = EdgeIndex(home / "index", "bench")
    await index.create("bench", CollectionSpec("bench", DIMENSIONS, "bench"))
    writing = 0.0
    late: list[float] = []
    for first in range(0, passages, BATCH):
        entries = batch(first)
        watch = asyncio.create_task(lag(late))
        began = time.perf_counter()
        await index.upsert("bench", entries)
        writing += time.perf_counter() - began
        watch.cancel()
    print(f"  upsert {passages / writing:,.0f} passages/s")
    show("event loop late while writing", late)
    await searches(index, "search")
    for what, filter in FILTERS.items():
        for who, principals in (("5 %", FEW), ("all", EVERYTHING)):
            search = partial(_search, index, principals, filter)
            show(f"search {what}, reads {who}", await timed(search, 60))

    fresh = iter([batch(first) for first in range(passages, passages + 40 * BATCH, BATCH)])

    async def write() -> None:
        for entries in fresh:
            await index.upsert("bench", entries)

    writer = asyncio.create_task(write())
    took: list[float] = []
    while not writer.done():
        took += await timed(lambda: index.search("bench", query(FEW)), 1)
    show(f"search while writing ({len(took)}), reads 5 %", took)

    host = IndexHost(index, home / "index.sock")
    await host.start()
    remote = RemoteIndex(home / "index.sock")
    await searches(remote, "search through the socket")
    await remote.close()
    await host.close()
    show("documents", await timed(lambda: index.documents("bench", "s"), 3))
    show("neighbours", await timed(lambda: index.neighbours(entries[0].passage, EVERYTHING), 20))
    show("get", await timed(lambda: index.get(entries[0].passage.id, EVERYTHING), 20))
    one = entries[0].passage.document_id
    show("set_readers", await timed(lambda: index.set_readers("bench", "s", one, EVERYTHING), 20))
    show("set_attributes", await timed(lambda: index.set_attributes("bench", "s", one, {"year": 2000}), 20))
    await index.close()

    began = time.perf_counter()
    index = EdgeIndex(home / "index", "bench")
    await index.load()
    print(f"  reopen {time.perf_counter() - began:.2f} s, holds {await index.count('bench'):,}")
    if "--optimise" in sys.argv:
        began = time.perf_counter()
        await index.optimise("bench")
        print(f"  optimise {time.perf_counter() - began:.1f} s")
        await searches(index, "search after it")
    await index.close()


if __name__ == "__main__":
    for number in [int(word) for word in sys.argv[1:] if word.isdigit()] or [50_000]:
        place = Path(tempfile.mkdtemp(prefix="rungwise-bench-"))
        try:
            asyncio.run(bench(number, place))
            size = sum(path.stat().st_blocks * 512 for path in place.rglob("*") if path.is_file())
            print(f"  on disk {size >> 20} MB")
        finally:
            shutil.rmtree(place, ignore_errors=True)
