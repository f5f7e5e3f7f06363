"""What judges' certificates are worth: `python tests/benchmarks/judging.py FOLDER` (make bench-judging DATA=FOLDER).

FOLDER has `triviaqa_judges`, `mtrag_human`, `pandalm` and `llmbar`, each with a `data.jsonl.gz`; without one, the
coverage alone is simulated. On TriviaQA, each of 11 judges graded 5 systems, 400 answers each, and so did people: of
those, `grades` are drawn by chance, again and again, and the estimates are held against what people said of all 400.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.judging.certificates.certificate import Certificate, Terms, certify
from rungwise_server.judging.certificates.grades import Graded, Item
from rungwise_server.judging.certificates.intervals import Interval
from rungwise_server.judging.certificates.sums import columns_of, estimates_of
from rungwise_server.judging.certificates.testing import covered, quality_of, studied

Floats = NDArray[np.float64]
GRADES = (5, 20, 40, 80)
ACCURACIES = (0.5, 0.6, 0.75, 0.9, 0.97)
JUDGES = ((0.95, 0.95), (0.9, 0.6), (0.5, 0.99), (0.99, 0.5), (0.5, 0.5), (0.8, 0.8), (1.0, 0.999))
WAYS = ("judge alone", "humans alone", "ppi", "ppi++", "rogan-gladen", "ours", "ours, these items")


def main(arguments: Sequence[str]) -> int:
    """Print every table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=2000, help="draws of each cell")
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(2024)
    coverage(rng, given.rounds)
    if given.folder:
        trivia(given.folder / "triviaqa_judges", rng, given.rounds)
        mtrag(given.folder / "mtrag_human", rng, max(1, given.rounds // 25))
        for name, pairs in (("pandalm", pandalm), ("llmbar", llmbar)):
            biases(name, pairs(given.folder / name))
    return 0


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *cells: str) -> None:
    print(f"\n{title}\n")
    row(*cells)
    row(*["---"] * len(cells))


def coverage(rng: np.random.Generator, rounds: int) -> None:
    """Simulated: 35 worlds of accuracy and judge, 400 items each, of which `grades` are graded."""
    head("Coverage of 95 % intervals in 35 simulated worlds", "grades", "mean", "least", "in the world", "mean width")
    for count in (3, 5, 10, 20, 40, 80, 160):
        cells = []
        for accuracy in ACCURACIES:
            for positive, negative in JUDGES:
                human = np.array(rng.random((rounds, 400)) < accuracy, dtype=np.float64)
                judge = np.array(
                    rng.random(human.shape) < np.where(human > 0, positive, 1 - negative), dtype=np.float64
                )
                _, low, high = quality_of(studied(human, judge, count), beyond=True)
                cells.append((covered(low, high, accuracy), float((high - low).mean()), (accuracy, positive, negative)))
        worst = min(cells)
        mean, width = (100 * np.mean([cell[i] for cell in cells]) for i in (0, 1))
        row(
            count,
            f"{mean:.1f} %",
            f"{100 * worst[0]:.1f} %",
            "accuracy {}, rates {} and {}".format(*worst[2]),
            f"{width:.1f}",
        )


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(folder / "data.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def trivia(folder: Path, rng: np.random.Generator, rounds: int) -> None:
    rows = list(lines(folder))
    judges, systems = list(rows[0]["judges"]), list(dict.fromkeys(row["system"] for row in rows))
    cells: dict[tuple[str, int, bool], dict[str, list[tuple[float, float, float]]]] = {}
    for name in judges:
        for system in systems:
            both = [(r["human"], r["judges"][name]) for r in rows if r["system"] == system]
            known = np.array([pair for pair in both if None not in pair], dtype=np.float64)
            for beyond in (False, True):
                for count in GRADES:
                    found = cells.setdefault((name, count, beyond), {})
                    for way, cell in _drawn(known, rng, rounds, count, beyond).items():
                        found.setdefault(way, []).append(cell)
    for beyond in (False, True):
        what = "items like these (400 drawn anew each time)" if beyond else "these 400 items"
        for part, name in enumerate(
            ("Mean absolute error, points", "Coverage, least to most, %", "Mean width, points")
        ):
            head(f"TriviaQA, {what}, 11 judges, 5 systems. {name}", "grades", *WAYS)
            for count in GRADES:
                row(count, *(_told(cells, judges, count, beyond, way, part) for way in WAYS))
    head(
        "TriviaQA, these 400 items. Mean absolute error by judge, points",
        "judge",
        "alone",
        *map(str, GRADES),
        "ppi++, 40",
        "humans, 40",
    )
    for name in judges:
        errors = [_mean(cells[name, count, False]["ours"], 0) for count in GRADES]
        beside = (_mean(cells[name, 40, False][way], 0) for way in ("ppi++", "humans alone"))
        row(name, _mean(cells[name, 40, False]["judge alone"], 0), *errors, *beside)


def _drawn(
    known: Floats, rng: np.random.Generator, rounds: int, count: int, beyond: bool
) -> dict[str, tuple[float, float, float]]:
    """Error, coverage and width of each way over `rounds` draws; the first `count` of each draw are graded."""
    size, truth = len(known), float(known[:, 0].mean())
    order = rng.integers(0, size, (rounds, size)) if beyond else np.argsort(rng.random((rounds, size)), axis=1)
    human, judge = known[order, 0], known[order, 1]
    strata = studied(human, judge, count)
    told, everyone = human[:, :count], judge.mean(1)
    mine = judge[:, :count]
    alone = beta.quantile(np.array([[0.025], [0.975]]), told.sum(1) + 0.5, count - told.sum(1) + 0.5)
    spread = np.maximum(judge.var(1), 1e-9)
    together = ((told - told.mean(1, keepdims=True)) * (mine - mine.mean(1, keepdims=True))).sum(1) / (count - 1)
    power = np.clip(together / ((1 + count / size) * spread), 0, 1)[:, None]
    rectified = told - power * mine
    tuned = power[:, 0] * everyone + rectified.mean(1)
    reach = beta.t_quantile(0.975, count - 1) * np.sqrt(
        rectified.var(1, ddof=1) / count + power[:, 0] ** 2 * spread / size
    )
    fails, passes = ((told == grade) for grade in (0, 1))
    false, true = ((mine * side).sum(1) / np.maximum(side.sum(1), 1) for side in (fails, passes))
    able = np.abs(true - false) > 1e-9
    gladen = np.where(able, np.clip((everyone - false) / np.where(able, true - false, 1), 0, 1), told.mean(1))
    nothing = np.full(rounds, np.nan)
    ways = {
        "judge alone": (everyone, nothing, nothing),
        "humans alone": (told.mean(1), alone[0], alone[1]),
        "ppi": (np.clip(everyone + (told - mine).mean(1), 0, 1), nothing, nothing),
        "ppi++": (np.clip(tuned, 0, 1), tuned - reach, tuned + reach),
        "rogan-gladen": (gladen, nothing, nothing),
        "ours": quality_of(strata, beyond=True),
        "ours, these items": quality_of(strata, beyond=False),
    }
    return {
        way: (
            100 * float(np.abs(estimate - truth).mean()),
            100 * covered(low, high, truth) if np.isfinite(low).all() else np.nan,
            100 * float((np.clip(high, 0, 1) - np.clip(low, 0, 1)).mean()),
        )
        for way, (estimate, low, high) in ways.items()
    }


def _mean(found: Sequence[tuple[float, float, float]], part: int) -> str:
    return f"{np.mean([cell[part] for cell in found]):.1f}"


def _told(
    cells: dict[tuple[str, int, bool], dict[str, list[tuple[float, float, float]]]],
    judges: Sequence[str],
    count: int,
    beyond: bool,
    way: str,
    part: int,
) -> str:
    found = [cell for name in judges for cell in cells[name, count, beyond][way]]
    values = [cell[part] for cell in found]
    if np.isnan(values).any():
        return ""
    if part == 1:
        return f"{np.mean(values):.1f} ({min(values):.0f} to {max(values):.0f})"
    return _mean(found, part)


def mtrag(folder: Path, rng: np.random.Generator, rounds: int) -> None:
    """Graded people and graded judges: faithfulness, 1 to 4 by two or three people, against recorded metrics."""
    answers = list(lines(folder))
    metrics, counts = ("rb_llm", "rl_f", "Bert-KPrec"), (5, 20, 40)
    head(
        "MTRAG faithfulness, 3 systems, 159 answers each: error in points, coverage and width of `quality_of_these`",
        *("judge", "grades", "judge alone", "humans alone", "ppi++", "ours", "coverage", "width"),
    )
    for metric in metrics:
        for count in counts:
            found = []
            for system in sorted({line["system"] for line in answers}):
                mine = [line for line in answers if line["system"] == system]
                human = [(float(np.mean(line["human"]["faithfulness"])) - 1) / 3 for line in mine]
                truth = float(np.mean(human))
                for _ in range(rounds):
                    graded = set(rng.choice(len(mine), count, replace=False).tolist())
                    items = [
                        Item(line["id"], min(1.0, max(0.0, line["auto"][metric])), human[i] if i in graded else None)
                        for i, line in enumerate(mine)
                    ]
                    told = estimates_of(columns_of(items), threshold=0.5, level=0.95)
                    assert told.judge_alone
                    assert told.humans_alone
                    assert told.ppi is not None
                    here = told.quality_of_these
                    middles = (told.judge_alone.estimate, told.humans_alone.estimate, told.ppi, told.quality.estimate)
                    errors = [abs(middle - truth) for middle in middles]
                    found.append([*errors, here.low <= truth <= here.high, here.high - here.low])
            row(metric, count, *(f"{100 * value:.1f}" for value in np.mean(np.array(found, dtype=np.float64), axis=0)))


def pandalm(folder: Path) -> dict[str, list[Item]]:
    """Each judge's verdicts; pairs are of two named systems' answers, the majority of three people decides."""
    half = {1: 1.0, 2: 0.0, 0: 0.5}
    found: dict[str, list[Item]] = {}
    for line in lines(folder):
        people = tuple(half[vote] for vote in line["annotators"])
        for name, verdict in line["judges"].items():
            if str(verdict) in ("0", "1", "2"):
                lengths = (float(len(str(line["answer_1"]))), float(len(str(line["answer_2"]))))
                item = Item(line["id"], half[int(verdict)], half[line["human"]], people, lengths=lengths)
                found.setdefault(name, []).append(item)
    return found


def llmbar(folder: Path) -> dict[str, list[Item]]:
    """Each judge's verdicts in both orders, its plain prompt alone, by subset."""
    found: dict[str, list[Item]] = {}
    for line in lines(folder):
        for name, (shown, swapped) in line["judges"].items():
            if name.endswith("/Vanilla") and shown in (1, 2) and swapped in (1, 2):
                lengths = (float(len(str(line["answer_1"]))), float(len(str(line["answer_2"]))))
                human = float(line["label"] == 1)
                item = Item(
                    line["id"], float(shown == 1), human, (human,), swapped=float(swapped == 1), lengths=lengths
                )
                found.setdefault(f"{name.split('/')[0]}, {line['subset'].split('/')[-1]}", []).append(item)
    return found


def biases(name: str, judged: dict[str, list[Item]]) -> None:
    columns = ("judge", "pairs", "agreement", "kappa", "consistency", "position", "length", "verdict")
    head(f"{name}: agreement and bias, 95 % intervals", *columns)
    for judge, items in judged.items():
        told: Certificate = certify(Graded(tuple(items)), Terms())
        row(
            judge,
            len(items),
            _interval(told.agreement.agreement),
            _interval(told.agreement.weighted_kappa or told.agreement.kappa, 1, 2),
            _interval(told.biases.consistency),
            _interval(told.biases.position),
            _interval(told.biases.length),
            told.verdict.word,
        )


def _interval(interval: Interval | None, times: float = 100, digits: int = 1) -> str:
    if interval is None:
        return ""
    middle, low, high = (f"{times * end:.{digits}f}" for end in (interval.estimate, interval.low, interval.high))
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
