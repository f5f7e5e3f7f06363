"""What groundedness without a language model is worth: `python tests/benchmarks/groundedness.py FOLDER`.

FOLDER has `mtrag_human` (`data.jsonl.gz`, `docs.jsonl.gz`): answers, their passages, and people's grades of
faithfulness beside recorded metrics. `--passages FOLDER` has `clapnq`, `scifact`, `xquad` and `jsquad`, of which
sentences are made that their passage supports, and others that it does not. `make bench-judging DATA=FOLDER
[PASSAGES=FOLDER]` runs it.
"""

import argparse
import asyncio
import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rungwise_server.judging.claims import claims
from rungwise_server.judging.evidence import Evidence
from rungwise_server.judging.groundedness import NOTHING_CLAIMED, SUPPORTED, Groundedness
from rungwise_server.retrieval.embedders.minilm import MiniLM
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.text.sentences import spans

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Pair = tuple[str, str, str, str]
"""A sentence and the passage that supports it; a sentence and a passage that does not."""

RECORDED = ("Bert-KPrec", "rl_f", "rb_agg", "RougeL", "Bert-Rec", "rb_llm")
SIGNALS = ("words", "spelled", "numbers", "names", "negated")


def main(arguments: Sequence[str]) -> int:
    """Print every table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--passages", type=Path)
    parser.add_argument("--most", type=int, default=400, help="made sentences of each kind")
    parser.add_argument("--draws", type=int, default=2000, help="of conversations, for the intervals")
    asyncio.run(measured(parser.parse_args(arguments)))
    return 0


async def measured(given: argparse.Namespace) -> None:
    """Every table."""
    embedder = MiniLM()
    try:
        await people(given.folder / "mtrag_human", embedder, given.draws)
        if given.passages:
            await made(given.passages, embedder, given.most)
    finally:
        await embedder.close()


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    print(f"\n**{title}**\n")
    row(*cells)
    row(*["---"] * len(cells))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


async def people(folder: Path, embedder: MiniLM, draws: int) -> None:
    """Rank correlation with people's faithfulness, and the time an answer takes."""
    answers = list(lines(folder / "data.jsonl.gz"))
    texts = {doc["id"]: doc["text"] for doc in lines(folder / "docs.jsonl.gz")}
    passages = [[texts[one] for one in line["context_ids"]] for line in answers]
    human = np.array([np.mean(line["human"]["faithfulness"]) for line in answers])
    claiming = np.array([any(c.checkable for c in claims(line["answer"])) for line in answers])
    with_words = Groundedness(HashEmbedder(languages=frozenset({"none"})))
    metric = Groundedness(embedder)
    values, words, times, sizes = [], [], [], []
    for line, given in zip(answers, passages, strict=True):
        words.append((await with_words.measure(line["answer"], given)).value)
        began = time.perf_counter(), time.process_time()
        found = await metric.measure(line["answer"], given)
        times.append([1000 * (time.perf_counter() - began[0]), 1000 * (time.process_time() - began[1])])
        values.append(found.value)
        sizes.append((len(found.sentences), len(given)))
    columns: dict[str, Floats] = {
        "**groundedness**": np.array(values),
        "words alone, nothing embedded": np.array(words),
        "and 1 where nothing is claimed": np.where(claiming, values, 1.0),
    }
    signals = await _signals(answers, passages, embedder)
    for name, fold in (("conversations", "task_id"), ("domains", "collection")):
        groups = np.array([line[fold].split("<")[0] for line in answers])
        learned = _learned(signals, human, groups, claiming & (signals.sum(1) > 0))
        columns[f"ridge over six signals, by {name} it has not seen"] = np.where(claiming, learned, NOTHING_CLAIMED)
    columns |= {name: np.array([line["auto"][name] for line in answers]) for name in RECORDED}
    by_model = np.array([line["system"] != "reference" for line in answers])
    which = {"all": np.ones(len(answers), bool), "by models": by_model, "that claim something": claiming}
    groups = np.array([line["task_id"].split("<")[0] for line in answers])
    head(
        "MTRAG, faithfulness by people: Spearman's correlation, 95 % by drawing conversations",
        "metric",
        *(f"{name} ({chosen.sum()})" for name, chosen in which.items()),
    )
    for name, column in columns.items():
        row(name, *(_told(partial(_agrees, column, human), chosen, groups, draws) for chosen in which.values()))
    best = columns["**groundedness**"]
    ahead = partial(_ahead, best, columns["Bert-KPrec"], human)
    row("groundedness minus Bert-KPrec", *(_told(ahead, chosen, groups, draws) for chosen in which.values()))
    graders = [(line["human"]["faithfulness"], i) for i, line in enumerate(answers)]
    apart = [(g[j], np.mean(g[:j] + g[j + 1 :]), i) for g, i in graders if len(g) > 1 for j in range(len(g))]
    if apart:
        one, rest, at = (np.array(part) for part in zip(*apart, strict=True))
        chosen = [np.isin(at, np.flatnonzero(k)) for k in which.values()]
        row("one grader, against the mean of the others", *(f"{spearman(one[k], rest[k]):.3f}" for k in chosen))
        row("groundedness, against the same", *(f"{spearman(best[at][k], rest[k]):.3f}" for k in chosen))
    (wall, cpu), (high, _) = np.percentile(times, [50, 95], axis=0)
    few, many = np.mean(sizes, axis=0)
    print(
        f"\nAn answer of {few:.1f} sentences and {many:.1f} passages takes {wall:.0f} ms (p50), {high:.0f} ms (p95), "
        f"{cpu:.0f} ms of CPU (p50)."
    )


async def _signals(answers: Sequence[dict[str, Any]], passages: Sequence[Sequence[str]], embedder: MiniLM) -> Floats:
    """Of each answer the mean of every signal, meaning last."""
    found = []
    for line, given in zip(answers, passages, strict=True):
        evidence = Evidence(given)
        said = [(c.text, evidence.of(c.text)) for c in claims(line["answer"]) if c.checkable]
        vectors = await embedder.embed([text for text, _ in said] + [words.unit for _, words in said], "passage")
        near = (vectors[: len(said)] * vectors[len(said) :]).sum(1)
        cells = [
            [*(getattr(words, name) for name in SIGNALS), max(0.0, float(n)) if words.unit else 0.0]
            for (_, words), n in zip(said, near, strict=True)
        ]
        sizes = [len(text) for text, _ in said]
        found.append(np.average(cells, axis=0, weights=sizes) if said else np.zeros(len(SIGNALS) + 1))
    return np.array(found)


def _learned(signals: Floats, human: Floats, groups: NDArray[np.str_], usable: NDArray[np.bool_]) -> Floats:
    """People's grades from 0 to 1, as learned from the other groups; 0 where no passage was given."""
    learned = np.zeros(len(human))
    grades = (human - 1) / 3
    for group in np.unique(groups):
        seen, new = usable & (groups != group), usable & (groups == group)
        if not seen.any() or not new.any():
            continue
        middle, spread = signals[seen].mean(0), signals[seen].std(0) + 1e-9
        table = (signals[seen] - middle) / spread
        level = grades[seen].mean()
        kept = table.T @ table / len(table) + 0.05 * np.eye(table.shape[1])
        weights = np.linalg.solve(kept, table.T @ (grades[seen] - level) / len(table))
        learned[new] = level + (signals[new] - middle) / spread @ weights
    return learned


def _told(of: Callable[[Rows], float], chosen: NDArray[np.bool_], groups: NDArray[np.str_], draws: int) -> str:
    """`of` the chosen answers, and its interval when whole conversations are drawn with replacement."""
    rng = np.random.default_rng(7)
    members = [np.flatnonzero(chosen & (groups == group)) for group in np.unique(groups[chosen])]
    drawn = [
        of(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])) for _ in range(draws)
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return f"{of(np.flatnonzero(chosen)):.3f} ({low:.2f} to {high:.2f})"


def _agrees(metric: Floats, human: Floats, rows: Rows) -> float:
    return spearman(metric[rows], human[rows])


def _ahead(metric: Floats, other: Floats, human: Floats, rows: Rows) -> float:
    return _agrees(metric, human, rows) - _agrees(other, human, rows)


def spearman(one: Floats, other: Floats) -> float:
    """The correlation of ranks; ties have the mean of theirs."""
    a, b = ranks(one), ranks(other)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else float("nan")


def ranks(values: Floats) -> Floats:
    """From 0; ties have the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count + 1) / 2)[place], np.float64)


async def made(folder: Path, embedder: MiniLM, most: int) -> None:
    """How well sentences are told from others that their passage does not support."""
    metric = Groundedness(embedder)
    head(
        f"Made sentences: how often the supported one has more (ties count half), and what is below {SUPPORTED}",
        *("set", "in place of the sentence or passage", "pairs", "AUC, %", "supported below, %", "other below, %"),
    )
    for (name, what), pairs in kinds(folder).items():
        values = []
        for right, own, wrong, other in pairs[:: max(1, len(pairs) // most)]:
            values.append([(await metric.measure(a, [b])).value for a, b in ((right, own), (wrong, other))])
        good, bad = np.array(values).T
        order = ranks(np.concatenate([good, bad]))
        auc = (order[: len(good)].mean() - (len(good) - 1) / 2) / len(bad)
        row(
            name,
            what,
            len(good),
            *(f"{100 * v:.0f}" for v in (auc, (good < SUPPORTED).mean(), (bad < SUPPORTED).mean())),
        )


def kinds(folder: Path) -> dict[tuple[str, str], list[Pair]]:
    """The pairs of every set, by its name and what is wrong."""
    found: dict[tuple[str, str], list[Pair]] = {}
    rng = np.random.default_rng(3)

    def take(name: str, what: str, right: str, own: str, wrong: str | None = None, other: str | None = None) -> None:
        if wrong != right and (wrong or other):
            found.setdefault((name, what), []).append((right, own, wrong or right, other or own))

    docs = {doc["id"]: doc["text"] for doc in lines(folder / "clapnq" / "docs.jsonl.gz")}
    for query in lines(folder / "clapnq" / "queries.jsonl.gz"):
        for start, end in spans(query["answers"][0]) if query["answerable"] else ():
            sentence, own = query["answers"][0][start:end], docs[query["gold_doc_ids"][0]]
            if len(sentence.split()) < 5:
                continue
            near = _nearest(sentence, {i: text for i, text in docs.items() if i not in query["gold_doc_ids"]})
            take("CLAPnq, people's answers", "another passage, the nearest by words", sentence, own, other=near)
            take("CLAPnq, people's answers", "one number altered", sentence, own, altered(sentence, rng))
            take("CLAPnq, people's answers", "is to is not, has to has not", sentence, own, negated(sentence))
            take("CLAPnq, people's answers", "one name of another passage", sentence, own, renamed(sentence, near, rng))
    docs = {doc["id"]: doc["text"] for doc in lines(folder / "scifact" / "docs.jsonl.gz")}
    some = dict(list(docs.items())[::5])
    told: dict[str, list[tuple[str, str]]] = {}
    for query in lines(folder / "scifact" / "queries_test.jsonl.gz"):
        for verdict in query["answers"][:1]:
            told.setdefault(verdict, []).append((query["text"], docs[query["gold_doc_ids"][0]]))
    for claim, own in told["SUPPORT"]:
        near = _nearest(claim, {i: text for i, text in some.items() if text != own})
        take("SciFact, claims", "another paper, the nearest by words", claim, own, other=near)
    for (claim, own), (against, other) in zip(told["SUPPORT"], told["CONTRADICT"], strict=False):
        take("SciFact, claims", "a claim that its paper contradicts", claim, own, against, other)
    for name, prefix, suffix in (
        ("XQuAD en", "xquad", "_en"),
        ("XQuAD de", "xquad", "_de"),
        ("XQuAD zh", "xquad", "_zh"),
        ("JSQuAD", "jsquad", ""),
    ):
        parts = [folder / prefix / f"{part}{suffix}.jsonl.gz" for part in ("docs", "queries")]
        _squad(f"{name}, question and answer", parts[0], parts[1], take, rng)
    return found


def _squad(name: str, docs: Path, queries: Path, take: Callable[..., None], rng: np.random.Generator) -> None:
    paragraphs = {doc["id"]: doc for doc in lines(docs)}
    asked: dict[str, list[tuple[str, str, str]]] = {}
    for query in lines(queries):
        paragraph = paragraphs[query["gold_doc_ids"][0]]
        asked.setdefault(paragraph["title"], []).append(
            (query["text"].rstrip(" ?？。"), query["answers"][0], paragraph["text"])
        )
    for group in asked.values():
        for question, answer, own in group:
            sentence = f"{question}: {answer}."
            others = [given for _, _, given in group if answer not in given]
            wrong = [given for _, given, _ in group if given not in own]
            if others:
                take(name, "another paragraph of the article", sentence, own, other=others[rng.integers(len(others))])
            if wrong:
                swapped = f"{question}: {wrong[rng.integers(len(wrong))]}."
                take(name, "another question's answer", sentence, own, swapped)
            if re.search(r"\d", answer):
                take(name, "one number altered", sentence, own, altered(sentence, rng))


def _nearest(sentence: str, texts: dict[str, str]) -> str:
    words = set(re.findall(r"\w+", sentence.casefold()))
    return max(texts.values(), key=lambda text: len(words & _bag(text)) / len(_bag(text)) ** 0.5)


@lru_cache(10_000)
def _bag(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold())) or frozenset(("",))


def altered(text: str, rng: np.random.Generator) -> str | None:
    """With one digit of its last number another."""
    found = list(re.finditer(r"\d+", text))
    if not found:
        return None
    at = found[-1].end() - 1
    return text[:at] + str((int(text[at]) + int(rng.integers(1, 10))) % 10) + text[at + 1 :]


def negated(text: str) -> str | None:
    """With a `not` after its first auxiliary verb; None where it has none, or a no already."""
    if re.search(r"\b(?:not|no|never)\b|n't", text):
        return None
    found = re.sub(r"\b(is|are|was|were|can|will|has|have|had)\b", r"\1 not", text, count=1)
    return found if found != text else None


def renamed(text: str, other: str, rng: np.random.Generator) -> str | None:
    """With one name (a capital in mid-sentence) that of another text."""
    name = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*")
    own, new = list(name.finditer(text)), [found for found in name.findall(other) if found not in text]
    if not own or not new:
        return None
    chosen = own[rng.integers(len(own))]
    return text[: chosen.start()] + str(new[rng.integers(len(new))]) + text[chosen.end() :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
