"""What programs measure of answers: by hand."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from rungwise_pipelines.evaluation.metrics import headline, measure, retrieved
from rungwise_server.evals import Example
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.prompt import text_message
from rungwise_server.records import Choice, Inference
from rungwise_server.testing.log import an_inference
from rungwise_server.types import Caller, Passage, Vector


class NoMeaning:
    """An embedder to which all texts are unlike each other: words alone count."""

    name = "none"
    dimensions = 64
    languages: frozenset[str] = frozenset()

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        vectors = np.zeros((len(texts), 64), np.float32)
        vectors[np.arange(len(texts)), np.arange(len(texts)) % 64] = 1
        return vectors

    async def close(self) -> None:
        return


READERS = frozenset({"everyone"})
LEAVE = Passage("leave", "leave.md", "default", "Everybody in Leeds has 28 days of annual leave.", READERS)
HOTEL = Passage("hotel", "hotel.md", "default", "The hotel limit for a night in London is 170 GBP.", READERS)


def example(reference: str = "", answerable: bool | None = None, gold: tuple[str, ...] = ()) -> Example:
    message = text_message("user", "How many days of leave do I have in Leeds?")
    return Example("ex-1", (message,), Caller("ana"), "file", reference=reference, answerable=answerable, gold=gold)


def answered(text: str, passages: tuple[Passage, ...] = (LEAVE, HOTEL)) -> Inference:
    return an_inference("eval-1", choices=(Choice(text),), passages=passages)


async def of(asked: Example, text: str, passages: tuple[Passage, ...] = (LEAVE, HOTEL)) -> dict[str, float]:
    return await measure(asked, answered(text, passages), Groundedness(NoMeaning()))


async def test_a_short_reference_is_right_where_the_answer_has_its_words() -> None:
    told = await of(example("28 days"), "Everybody in Leeds has 28 days of annual leave [1].")
    assert (told["right"], told["contains"], told["exact"]) == (1, 1, 0)
    assert told["f1"] == pytest.approx(2 * 2 / (2 + 9))
    assert (await of(example("30 days"), "28 days [1]."))["right"] == 0


async def test_a_long_reference_is_not_asked_for_word_by_word() -> None:
    told = await of(example("All who work in Leeds have twenty-eight days of leave each year."), "28 days [1].")
    assert "right" not in told
    assert 0 < told["f1"] < 1


async def test_declining_is_right_where_the_documents_hold_no_answer() -> None:
    refusal, answer = "The documents do not say this.", "Everybody in Leeds has 28 days of annual leave [1]."
    assert await of(example(answerable=False), refusal) == {"right": 1, "declines": 1}
    told = await of(example(answerable=False), answer)
    assert (told["right"], told["declines"]) == (0, 0)
    told = await of(example("28 days", answerable=True), refusal)
    assert (told["right"], told["declines"]) == (0, 0)
    assert "grounded" not in told, "a refusal claims nothing"
    assert (await of(example(answerable=True), answer))["declines"] == 1
    assert "declines" not in await of(example(), answer)


@pytest.mark.parametrize(
    ("answer", "cites"),
    [
        ("Everybody in Leeds has 28 days of annual leave [1].", 1.0),
        ("Everybody in Leeds has 28 days of annual leave [2].", 0.0),
        ("Everybody in Leeds has 28 days of annual leave [7].", 0.0),
        ("Everybody in Leeds has 28 days of annual leave [1][2].", 0.5),
        ("Everybody in Leeds has 28 days of annual leave.", 0.0),
        ("Everybody in Leeds has 28 days of annual leave [1]. The limit for a night in London is 170 GBP [2].", 1.0),
    ],
)  # fmt: skip
async def test_citations(answer: str, cites: float) -> None:
    assert (await of(example(), answer))["cites"] == cites


async def test_without_passages_nothing_is_said_of_them() -> None:
    assert await of(example(), "28 days.", ()) == {}


def test_what_was_retrieved() -> None:
    passages = [HOTEL, LEAVE, HOTEL]
    assert retrieved((), passages) == {}
    assert retrieved(("leave.md",), passages) == {"recall": 1, "ndcg": pytest.approx(1 / math.log2(3)), "mrr": 0.5}
    assert retrieved(("leave.md", "gone.md"), passages)["recall"] == 0.5
    assert retrieved(("hotel.md", "leave.md"), passages) == {"recall": 1, "ndcg": 1, "mrr": 1}
    assert retrieved(("gone.md",), []) == {"recall": 0, "ndcg": 0, "mrr": 0}


def test_what_is_compared_by() -> None:
    assert headline({"f1": 20, "right": 4, "recall": 20}, [], 20) == "f1"
    assert headline({"f1": 20, "right": 10}, [], 20) == "right"
    assert headline({"right": 20, "strict": 18}, ["strict"], 20) == "strict"
    assert headline({"right": 4, "cites": 6}, [], 20) == "cites"
    assert headline({"recall": 20}, [], 20) == ""
