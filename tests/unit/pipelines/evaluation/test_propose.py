"""Proposals: what is in them, and that weighted means over them are means over the traffic."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace

from rungwise_pipelines.evaluation import topics
from rungwise_pipelines.evaluation.duplicates import groups
from rungwise_pipelines.evaluation.frame import Asked, Frame
from rungwise_pipelines.evaluation.propose import _drawn, _wanted, propose
from rungwise_server.prompt import text_message
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Caller

SUBJECTS = ("card delivery", "pin code", "exchange rate", "account closing", "cash machine")
WORDS = "when why how where missing late wrong again today abroad blocked new old please yesterday fee limit".split()


def asked(number: int, text: str, user: str = "", **changes: object) -> Asked:
    made = Asked(
        id=f"i{number}", at=float(number), messages=(text_message("user", text),), caller=Caller(user), params={},
        text=text, turns=1, outcome="ok", similarity=0.5, estimate=None, chance=1.0,
    )  # fmt: skip
    return replace(made, **changes)


def traffic(count: int, seed: int = 1) -> list[Asked]:
    """Questions on five subjects, the first far the most asked, some of them with weak evidence, of a few callers."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        subject = SUBJECTS[min(int(draw.expovariate(1.0)), 4)]
        text = f"{subject} {subject} {' '.join(draw.sample(WORDS, 6))} {draw.randint(0, 40)}"
        weak = draw.random() < 0.2
        user = f"u{min(int(draw.expovariate(0.5)), 9)}"
        made.append(asked(number, text, user, similarity=0.1 if weak else draw.uniform(0.3, 0.9)))
    return made


def framed(found: Sequence[Asked]) -> Frame:
    return Frame(len(found), found)


async def test_the_same_seed_the_same_proposal() -> None:
    frame = framed(traffic(300))
    one, same, other = [await propose(frame, 20, HashEmbedder(), seed=seed) for seed in (1, 1, 2)]
    assert [example.id for example in one.examples] == [example.id for example in same.examples]
    assert [example.id for example in one.examples] != [example.id for example in other.examples]
    assert len({example.id for example in one.examples}) == len(one.examples) == 20
    texts = [example.question for example in one.examples]
    assert groups(texts) == list(range(20))


def test_each_question_has_the_chance_that_its_weight_says() -> None:
    """Over all places that the draw can begin at; exactly as many are drawn each time as are asked for."""
    draw = np.random.default_rng(3)
    topic = draw.integers(0, 12, 200)
    for count in (5, 12, 40, 199, 200):
        wanted = _wanted(draw.pareto(1.0, 200) + 1, draw.uniform(0.5, 4, 200), topic, count)
        assert wanted.sum() == pytest.approx(count)
        assert 0 < wanted.min() <= wanted.max() <= 1
        line = list(draw.permutation(200))
        times = np.zeros(200)
        for start in range(500):
            drawn = _drawn(wanted, line, (start + 0.5) / 500)
            assert len(set(drawn)) == len(drawn) == count
            times[drawn] += 1
        assert np.abs(times / 500 - wanted).max() <= 1 / 500 + 1e-9


async def test_weighted_means_stand_for_the_traffic() -> None:
    """The weighted mean of something that hard questions have more often is its mean in the traffic, though they are
    proposed more often.
    """
    found = traffic(200)
    weak = {one.id for one in found if one.similarity == 0.1}
    sums, means, plain = [], [], []
    for seed in range(40):
        examples = (await propose(framed(found), 30, HashEmbedder(), seed=seed)).examples
        weights = np.array([example.weight for example in examples])
        outcome = np.array([example.source in weak for example in examples])
        sums.append(weights.sum())
        means.append((weights * outcome).sum() / weights.sum())
        plain.append(outcome.mean())
    # Within four standard errors of a mean over 40 draws.
    assert abs(np.mean(sums) - 200) < 4 * np.std(sums) / np.sqrt(40)
    assert abs(np.mean(means) - len(weak) / 200) < 4 * np.std(means) / np.sqrt(40)
    assert np.mean(plain) > len(weak) / 200 + 0.05


async def test_sampled_rows_stand_for_those_that_were_not_taken() -> None:
    found = [replace(one, chance=0.1) for one in traffic(200)]
    examples = (await propose(Frame(2_000, found), 200, HashEmbedder())).examples
    assert len(examples) == len(set(groups([one.text for one in found])))
    assert sum(example.weight for example in examples) == pytest.approx(2_000)


def test_rare_topics_get_more_than_their_share() -> None:
    """And one question at least, where there are more questions than topics."""
    topic = np.repeat([0, 1, 2], [100, 98, 2])
    wanted = _wanted(np.ones(200), np.ones(200), topic, 2)
    assert wanted[topic == 2].sum() > 10 * 2 * 2 / 200
    for count in (4, 10, 100):
        assert _wanted(np.ones(200), np.ones(200), topic, count)[topic == 2].sum() >= 1


async def test_fewer_than_asked_for() -> None:
    found = traffic(7)
    proposal = await propose(framed(found), 50, HashEmbedder())
    assert len(proposal.examples) == 7
    assert {example.weight for example in proposal.examples} == {1.0}
    assert proposal.worth == pytest.approx(7)
    empty = await propose(framed([]), 50, HashEmbedder())
    assert (list(empty.examples), empty.worth) == ([], 0.0)


async def test_near_duplicates_become_one_that_stands_for_all() -> None:
    found = [
        asked(1, "How do I replace my card?"),
        asked(2, "how do I replace my card", correction="In the app.", bad=("somebody corrected the answer",)),
        asked(3, "How do I replace my card??"),
        asked(4, "Where is the nearest cash machine?"),
    ]
    proposal = await propose(framed(found), 2, HashEmbedder())
    by_source = {example.source: example for example in proposal.examples}
    assert set(by_source) == {"i2", "i4"}
    assert (by_source["i2"].weight, by_source["i2"].reference) == (3.0, "In the app.")
    assert by_source["i2"].why == "somebody corrected the answer; asked 3 times"
    assert proposal.near == 2


async def test_what_the_set_has_is_not_proposed_again() -> None:
    found = traffic(40)
    first = (await propose(framed(found), 10, HashEmbedder())).examples
    second = await propose(framed(found), 100, HashEmbedder(), had=first)
    assert not {e.id for e in first} & {e.id for e in second.examples}
    assert second.had >= 10
    assert len(second.examples) + second.near + second.had == 40
    third = await propose(framed(found), 100, HashEmbedder(), had=[*first, *second.examples])
    assert (list(third.examples), third.had) == ([], 40)


async def test_why() -> None:
    found = [asked(n, f"{SUBJECTS[n % 5]} {' '.join(random.Random(n).sample(WORDS, 6))}") for n in range(60)]
    found[0] = replace(found[0], similarity=0.05, turns=3, bad=("it was rated bad",))
    found[1] = replace(found[1], similarity=0.0, gold=("d1",))
    found[2] = replace(found[2], text=found[2].text * 20)
    examples = {e.source: e for e in (await propose(framed(found), 60, HashEmbedder())).examples}
    assert examples["i0"].why == "it was rated bad; weak evidence (best similarity 0.05); turn 3 of a conversation"
    assert examples["i1"].why == "no evidence"
    assert (examples["i1"].gold, examples["i1"].answerable) == (("d1",), True)
    assert examples["i2"].why == "long"
    assert examples["i5"].why == "one of its topic"
    assert all(example.topic for example in examples.values())


def test_clusters() -> None:
    draw = np.random.default_rng(0)
    centres = np.eye(4, 16, dtype=np.float32)
    rows = np.repeat(centres, 10, axis=0) + draw.normal(0, 0.05, (40, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    topic = topics.cluster(rows, 4, draw)
    assert sorted({tuple(topic[start : start + 10]) for start in range(0, 40, 10)}) == [(n,) * 10 for n in range(4)]
    assert set(topics.cluster(np.ones((5, 1), np.float32), 3, draw)) == {0}
    assert len(set(topics.cluster(rows[:3], 9, draw))) <= 3


def test_names_of_topics() -> None:
    texts = ["the card is lost", "a lost card again", "大阪店の電話番号は", "大阪店の電話番号を", "what is it"]
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    assert topics.names(texts, vectors, np.array([0, 0, 1, 1, 2])) == ["card, lost", "大阪店の電話番号は", "what is it"]
