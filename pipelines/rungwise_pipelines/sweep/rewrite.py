"""Rewrites a system prompt from what went wrong with it: reflection on failures, candidates kept on a Pareto front.

One after another, a model is shown a prompt and some examples that it failed on, with the evidence and the reason, and
writes another one. That is tried on those few examples; only if it does better there, on all of the training ones.
Parents are drawn from the prompts that are best on some example, the more such examples the likelier, so that a prompt
that mends a rare kind of failure is not lost to one that is better on average. Only the caller can say whether the best
is any good: on examples that nothing here has seen.

Source: Agrawal et al., GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning, 2025.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files

import numpy as np
from msgspec import Struct

from rungwise_server.evals import Example
from rungwise_server.prompt import Prompt
from rungwise_server.types import Passage

FEW = 4
"""Failures that are shown for one proposal."""
_LONGEST = 8000
_SHOWN = 1500
"""Characters of one passage or answer that are shown."""
_RUN = 8
"""So many words in a row that stand in an example are a copy of it."""
_PROMPT = re.compile(r"<prompt>\s*(.*?)\s*</prompt>", re.DOTALL | re.IGNORECASE)


class Graded(Struct, frozen=True):
    """An answer to an example, and what is thought of it."""

    value: float | None
    answer: str
    passages: tuple[Passage, ...] = ()
    reason: str = ""


class Rewritten(Struct, frozen=True):
    """What came of it. `best` is the prompt to start from where nothing was better on the training examples."""

    best: Prompt
    base: Prompt
    proposals: int
    kept: int
    training: float
    """The gain of `best` over `base` on the training examples."""
    examples: int
    """How many training examples there were."""
    refused: tuple[str, ...] = ()
    """Why proposals were not even tried."""


Trial = Callable[[Prompt, Sequence[Example]], Awaitable[Mapping[str, Graded]]]
"""Answers and grades examples with a prompt; by the example's id."""

Ask = Callable[[str], Awaitable[str]]
"""Has the proposing model answer."""


async def rewrite(
    name: str, base: Prompt, training: Sequence[Example], trial: Trial, ask: Ask, *, proposals: int, seed: int
) -> Rewritten:
    """The prompt that did best on `training`, out of `base` and at most `proposals` rewritten ones, which are called
    `name` and a part of their hash. Given the same answers of the models it asks the same again, so a run that was
    killed goes on where their answers are kept.
    """
    random = np.random.default_rng(seed)
    graded = [await trial(base, training)]
    prompts = [base]
    refused: list[str] = []
    made = 0
    for _ in range(proposals):
        parent = _parent(graded, training, random)
        failures = _failures(graded[parent], training, random)
        if not failures:
            break
        made += 1
        text = await ask(request(prompts[parent], [(example, graded[parent][example.id]) for example in failures]))
        proposed = _proposed(text)
        new = Prompt(f"{name}-{hashlib.sha256(proposed.encode()).hexdigest()[:6]}", proposed)
        if why := _unfit(new, prompts, training):
            refused.append(why)
            continue
        few = await trial(new, failures)
        if _total(few, failures) <= _total(graded[parent], failures):
            continue
        rest = [example for example in training if example.id not in few]
        graded.append({**few, **await trial(new, rest)})
        prompts.append(new)
    means = [_mean(one, graded[0], training) for one in graded]
    best = int(np.argmax([mean for mean, _ in means]))
    gain = means[best][0] - means[best][1]
    return Rewritten(prompts[best], base, made, len(prompts) - 1, gain, len(training), tuple(refused))


def request(prompt: Prompt, failures: Sequence[tuple[Example, Graded]]) -> str:
    """What the proposing model is asked."""
    parts = [(files("rungwise_pipelines.sweep") / "rewrite.md").read_text(encoding="utf-8").strip()]
    parts.append(f"<instructions>\n{prompt.text}\n</instructions>")
    for number, (example, graded) in enumerate(failures, 1):
        passages = "\n".join(f"[{n}] {p.text[:_SHOWN]}" for n, p in enumerate(graded.passages, 1)) or "(none)"
        right = f"\nThe right answer: {example.reference[:_SHOWN]}" if example.reference else ""
        if example.answerable is False:
            right = "\nThe right answer: that the documents do not say."
        why = f"\nWhy that was bad: {graded.reason[:_SHOWN]}" if graded.reason else ""
        parts.append(
            f"<failure {number}>\nQuestion: {example.question[:_SHOWN]}\nPassages:\n{passages}\n"
            f"Answer: {graded.answer[:_SHOWN] or '(none)'}{right}{why}\nGrade: {graded.value:.2f} of 1\n"
            f"</failure {number}>"
        )
    return "\n\n".join(parts)


def readable_by_all(examples: Sequence[Example], passages: Sequence[Passage]) -> bool:
    """Whether each of `passages` may be read by each asker of `examples`: a prompt is seen by all of them, and so must
    not be written from what only some may read.
    """
    shared = frozenset.intersection(*(example.caller.principals for example in examples))
    return all(shared & passage.readers for passage in passages)


def _parent(graded: Sequence[Mapping[str, Graded]], training: Sequence[Example], random: np.random.Generator) -> int:
    wins = np.zeros(len(graded))
    for example in training:
        values = np.array([_value(one, example) for one in graded])
        wins[values == values.max()] += 1
    ahead = [i for i in range(len(graded)) if not _dominated(graded, i, training)]
    odds = np.array([wins[i] for i in ahead])
    return int(random.choice(ahead, p=odds / odds.sum()))


def _dominated(graded: Sequence[Mapping[str, Graded]], one: int, training: Sequence[Example]) -> bool:
    """Whether another prompt is as good on every example, and better on one."""
    own = [_value(graded[one], example) for example in training]
    for other, values in enumerate([_value(other, example) for example in training] for other in graded):
        pairs = list(zip(values, own, strict=True))
        if other != one and all(theirs >= mine for theirs, mine in pairs) and any(a > b for a, b in pairs):
            return True
    return False


def _failures(
    graded: Mapping[str, Graded], training: Sequence[Example], random: np.random.Generator
) -> Sequence[Example]:
    """Some that were answered badly, the worse the likelier, and may be shown."""
    bad = [e for e in training if _value(graded, e) < 1 and readable_by_all(training, graded[e.id].passages)]
    if len(bad) <= FEW:
        return bad
    odds = np.array([1.01 - _value(graded, example) for example in bad])
    return [bad[i] for i in random.choice(len(bad), FEW, replace=False, p=odds / odds.sum())]


def _proposed(text: str) -> str:
    found = _PROMPT.search(text)
    return found.group(1).strip() if found else ""


def _unfit(new: Prompt, prompts: Sequence[Prompt], training: Sequence[Example]) -> str:
    """Why a proposal is not tried; empty where it is."""
    if not new.text:
        return "the proposing model wrote no prompt"
    if len(new.text) > _LONGEST:
        return f"longer than {_LONGEST:,} characters"
    if any(new.text == prompt.text for prompt in prompts):
        return "the same as one before"
    runs = _runs(new.text) - _runs(prompts[0].text)
    if any(runs & _runs(text) for example in training for text in (example.question, example.reference)):
        return "it copies a question or an answer of the eval set"
    return ""


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}


def _value(graded: Mapping[str, Graded], example: Example) -> float:
    """Between 0 and 1; an answer that could not be graded counts as good: there is nothing to learn from it."""
    one = graded.get(example.id)
    return 1.0 if one is None or one.value is None else one.value


def _total(graded: Mapping[str, Graded], examples: Sequence[Example]) -> float:
    return sum(_value(graded, example) for example in examples)


def _mean(new: Mapping[str, Graded], base: Mapping[str, Graded], training: Sequence[Example]) -> tuple[float, float]:
    """Of the new and the first prompt, over the examples that both have a grade for."""
    both = [e for e in training if all(e.id in one and one[e.id].value is not None for one in (new, base))]
    weight = [example.weight for example in both]
    if not both:
        return 0.0, 0.0
    return (
        float(np.average([_value(new, example) for example in both], weights=weight)),
        float(np.average([_value(base, example) for example in both], weights=weight)),
    )
