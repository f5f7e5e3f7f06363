"""What programs can measure of an answer to an example, each from 0 (bad) to 1 (good).

`exact`, `contains`, `f1`: against the reference, where somebody wrote one. `right`: what can be told of it by words: it
declines where it must, and else holds a reference that is short enough to be held word for word. `recall`, `ndcg`,
`mrr`: whether the documents that hold the answer were retrieved, and how far up. `declines`: whether it declined just
where it must. `grounded`: how far the passages support it. `cites`: whether its markers stand for passages that support
what they stand behind. What an example or answer cannot tell is left out.
"""

import math
import re
from collections.abc import Mapping, Sequence

from rungwise_server.evals import Example
from rungwise_server.judging.declines import declines
from rungwise_server.judging.groundedness import Groundedness, Grounding
from rungwise_server.judging.judges import words
from rungwise_server.records import Inference
from rungwise_server.types import Passage

ORDER = ("right", "contains", "f1", "exact", "declines", "grounded", "cites", "recall", "ndcg", "mrr")
"""As they are shown; of those that tell something of most examples, the first is what candidates are compared by."""

RETRIEVAL = frozenset({"recall", "ndcg", "mrr"})
"""Of what was retrieved: the same for all candidates that are given the same passages."""

SUPPORTED = 0.5
"""A sentence is supported from here on."""

_SHORT = 8  # words of a reference that an answer can be expected to hold word for word
_MARKER = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,;、]\s*\d{1,3})*)\s*[\]】]")


async def measure(example: Example, inference: Inference, groundedness: Groundedness) -> dict[str, float]:
    """All that can be told. Raises UpstreamError where the embedder cannot be reached."""
    answer = answer_of(inference)
    declined = declines(answer)
    told = {**_against_reference(example, answer, declined), **retrieved(example.gold, inference.passages)}
    if example.answerable is not None:
        told["declines"] = float(declined != example.answerable)
    if inference.passages and answer and not declined:
        grounding = await groundedness.measure(answer, inference.passages)
        if any(sentence.checkable for sentence in grounding.sentences):
            told["grounded"] = grounding.value
            told["cites"] = await _cited(answer, grounding, inference.passages, groundedness)
    return {name: told[name] for name in ORDER if name in told}


def answer_of(inference: Inference) -> str:
    """What was said; of several choices the first."""
    return inference.choices[0].text if inference.choices else ""


def _against_reference(example: Example, answer: str, declined: bool) -> dict[str, float]:
    if example.answerable is False:
        return {"right": float(declined)}
    wanted = words.words(example.reference)
    if not wanted:
        return {}
    told = {
        "exact": words.exact(answer, example.reference),
        "contains": words.contains(answer, example.reference),
        "f1": words.f1(answer, example.reference),
    }
    if len(wanted) <= _SHORT:
        told["right"] = told["contains"]
    return told


def retrieved(gold: Sequence[str], passages: Sequence[Passage]) -> dict[str, float]:
    """Recall, nDCG and reciprocal rank of the documents that hold the answer, among those whose passages were
    retrieved, in the order of the best passage of each. Nothing where nobody said which documents do.
    """
    if not gold:
        return {}
    found = list(dict.fromkeys(passage.document_id for passage in passages))
    hits = [place for place, document in enumerate(found) if document in gold]
    ideal = sum(1 / math.log2(place + 2) for place in range(len(set(gold))))
    return {
        "recall": len(hits) / len(set(gold)),
        "ndcg": sum(1 / math.log2(place + 2) for place in hits) / ideal,
        "mrr": 1 / (hits[0] + 1) if hits else 0.0,
    }


async def _cited(answer: str, grounding: Grounding, passages: Sequence[Passage], groundedness: Groundedness) -> float:
    """The share of citations that stand for a passage which supports the sentence before them; 0 where none is made."""
    rights = []
    for number, start in _markers(answer):
        if not 1 <= number <= len(passages):
            rights.append(0.0)
            continue
        said = [s for s in grounding.sentences if s.start <= start and s.checkable]
        if not said:
            continue
        sentence = max(said, key=lambda s: s.start)
        if sentence.passage == number - 1:
            rights.append(float(sentence.value >= SUPPORTED))
        else:
            alone = await groundedness.measure(sentence.text, [passages[number - 1]])
            rights.append(float(alone.value >= SUPPORTED))
    return sum(rights) / len(rights) if rights else 0.0


def _markers(answer: str) -> list[tuple[int, int]]:
    return [
        (int(number), found.start()) for found in _MARKER.finditer(answer) for number in re.findall(r"\d+", found[1])
    ]


def headline(told: Mapping[str, int], judges: Sequence[str], examples: int) -> str:
    """The metric to compare by: of the judges, then of ORDER, the first that tells something of half of the examples,
    else the one that tells most; empty where none does. `told` counts the examples by metric.
    """
    known = [name for name in (*judges, *ORDER) if told.get(name) and name not in RETRIEVAL]
    return next((n for n in known if 2 * told[n] >= examples), max(known, key=lambda n: told[n], default=""))
