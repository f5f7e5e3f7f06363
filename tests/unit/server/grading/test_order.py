"""Whose turn it is: nothing twice, nothing that is not the grader's to read, drawn by chance within strata."""

import random
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from rungwise_server.evals import Example
from rungwise_server.grading.counting import Counted, counted
from rungwise_server.grading.desk import Pile, shown, turns_of
from rungwise_server.grading.order import SHARED, item_of, order
from rungwise_server.grading.summary import TERMS
from rungwise_server.grading.things import Thing, may_read, pairs, singles
from rungwise_server.judging.certificates.certificate import certify
from rungwise_server.judging.certificates.grades import Graded
from rungwise_server.records import Choice, Grade
from rungwise_server.testing.log import a_grade, an_inference
from rungwise_server.testing.retriever import passage
from rungwise_server.types import Caller, Message

ANA, BO = Caller("ana"), Caller("bo")


def a_thing(number: int, candidate: str = "x", topic: str = "", text: str = "", **changes: Any) -> Thing:
    """An answer of `candidate` to the example with that number."""
    answer = an_inference(
        f"{candidate}-{number}",
        candidate=candidate,
        passages=(),
        citations=(),
        choices=(Choice(text or f"{candidate} says {number}"),),
        **changes,
    )
    message = Message("user", f"question {number}", Raw(b"{}"))
    example = Example(f"ex-{number}", (message,), ANA, "hand", topic=topic)
    return Thing(example.id, (answer,), example)


def grades_of(things: list[Thing], who: Caller, value: float | None = 1.0, judge: str = "") -> list[Grade]:
    return [
        a_grade(f"{who.user}{judge}-{t.id}", t.answers[0].id, caller=who, value=value, judge=judge, rubric="correct")
        for t in things
    ]


def ids(things: list[Thing], grades: Counted, grader: str = "user:ana", limit: int = 1000) -> list[str]:
    return [turn.thing.id for turn in order(things, grades, grader, {t.id for t in things}, limit)]


@settings(max_examples=50, deadline=None)
@given(
    things=st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["", "leave", "pay"])), max_size=25),
    graded=st.lists(st.tuples(st.integers(0, 24), st.sampled_from(["ana", "bo", "cy"]), st.booleans())),
    judged=st.sets(st.integers(0, 24)),
    limit=st.integers(0, 30),
    texts=st.text(min_size=1, max_size=5),
)
def test_nothing_comes_twice_and_what_is_there_comes_in_an_order_that_no_answer_decides(
    things: list[tuple[str, str]],
    graded: list[tuple[int, str, bool]],
    judged: set[int],
    limit: int,
    texts: str,
) -> None:
    made = [a_thing(n, candidate, topic) for n, (candidate, topic) in enumerate(things)]
    given = [
        g
        for n, user, skip in graded
        if n < len(made)
        for g in grades_of([made[n]], Caller(user), None if skip else 1.0)
    ]
    given += grades_of([made[n] for n in judged if n < len(made)], ANA, 0.3, "strict@1")
    grades = counted([replace(grade, position=at) for at, grade in enumerate(given, 1)], "correct")
    pile = Pile("support", None, "single", tuple(made))
    turns = turns_of(pile, grades, ANA, limit)
    found = [turn.thing.id for turn in turns.turns]
    open_ = {t.id for t in made if "user:ana" not in grades.get(t.id, {})}
    assert len(found) == len(set(found)) == min(limit, len(open_))
    assert set(found) <= open_
    assert turns.left == len(open_)
    again = [a_thing(n, candidate, topic, texts * (n + 1)) for n, (candidate, topic) in enumerate(things)]
    mixed = random.Random(0).sample(again, len(again))
    assert [t.thing.id for t in turns_of(Pile("", None, "single", tuple(mixed)), grades, ANA, limit).turns] == found


def test_candidates_take_turns_on_the_same_questions() -> None:
    things = [a_thing(n, candidate, f"topic {n % 3}") for n in range(12) for candidate in "xyz"]
    found = ids(things, {})
    for at in range(0, 36, 3):
        assert {id.split("-")[0] for id in found[at : at + 3]} == set("xyz")
        assert len({id.split("-")[1] for id in found[at : at + 3]}) == 1


def test_every_beginning_has_about_its_share_of_each_topic() -> None:
    topics = ["leave"] * 60 + ["pay"] * 30 + ["it"] * 10
    things = [a_thing(n, topic=topic) for n, topic in enumerate(topics)]
    topic_of = {thing.id: thing.topic for thing in things}
    found = [topic_of[id] for id in ids(things, {})]
    for length in (10, 20, 50):
        counts = Counter(found[:length])
        for topic in ("leave", "pay", "it"):
            assert abs(counts[topic] - topics.count(topic) * length / 100) <= 1


def test_the_first_ones_are_as_good_as_all_on_average() -> None:
    """Quality that goes with the topic, or with nothing, is met by a few grades without a lean."""
    draw = random.Random(7)
    gaps = []
    for study in range(200):
        things = [a_thing(1000 * study + n, topic=draw.choice(["leave", "pay"])) for n in range(40)]
        good = {t.id: draw.random() < (0.9 if t.topic == "pay" else 0.4) for t in things}
        first = ids(things, {}, limit=10)
        gaps.append(np.mean([good[id] for id in first]) - np.mean(list(good.values())))
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(len(gaps))


def test_with_a_judge_it_is_what_its_certificate_asks_for() -> None:
    draw = random.Random(3)
    things = [a_thing(n) for n in range(60)]
    given = [g for t in things for g in grades_of([t], ANA, float(draw.random() < 0.7), "strict@1")]
    given += [g for t in things[:12] for g in grades_of([t], BO, float(draw.random() < 0.6))]
    grades = counted(given, "correct")
    items = tuple(item_of(thing, grades.get(thing.id, {}), "strict@1") for thing in things)
    advice = certify(Graded(items), replace(TERMS, next=48)).advice
    assert advice is not None
    fresh = order(things, grades, "user:bo", {t.id for t in things[12:]}, 48)
    assert [turn.thing.id for turn in fresh] == list(advice.ids)
    assert not any("pass" in turn.why or "fail" in turn.why for turn in fresh)


def test_one_in_five_is_what_another_person_graded() -> None:
    things = [a_thing(n) for n in range(40)]
    bos = things[:20]
    grades = counted(grades_of(bos, BO), "correct")
    found = ids(things, grades, limit=20)
    shared = [at for at, id in enumerate(found, 1) if id in {t.id for t in bos}]
    assert shared == [SHARED * n for n in range(1, 5)]
    # One at a time, the log in between, it is the same.
    given = grades_of(bos, BO)
    one_by_one = []
    for _ in range(20):
        now = counted(given, "correct")
        left = {t.id for t in things if "user:ana" not in now.get(t.id, {})}
        (turn,) = order(things, now, "user:ana", left, 1)
        one_by_one.append(turn.thing.id)
        given += grades_of([turn.thing], ANA)
    assert [id in {t.id for t in bos} for id in one_by_one] == [id in {t.id for t in bos} for id in found]


def test_what_was_skipped_comes_back_only_when_asked_for_and_last() -> None:
    things = [a_thing(n) for n in range(4)]
    pile = Pile("support", None, "single", tuple(things))
    grades = counted([*grades_of(things[:1], ANA, None), *grades_of(things[1:2], ANA)], "correct")
    assert {t.thing.id for t in turns_of(pile, grades, ANA, 9).turns} == {"x-2", "x-3"}
    again = turns_of(pile, grades, ANA, 9, skipped=True)
    assert [t.thing.id for t in again.turns][2:] == ["x-0"]
    assert (again.graded, again.skipped, again.left) == (1, 1, 2)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20, unique=True), st.sampled_from(["user:a", "everyone"]))
def test_a_pair_is_shown_to_one_grader_in_one_order(numbers: list[int], grader: str) -> None:
    for number in numbers:
        (thing,) = pairs([a_thing(number, "x"), a_thing(number, "y")])
        (mirrored,) = pairs([a_thing(number, "y"), a_thing(number, "x")])
        assert shown(thing, grader) == shown(mirrored, grader) == shown(thing, grader)
        assert {answer.candidate for answer in shown(thing, grader)} == {"x", "y"}


def test_over_pairs_and_over_graders_either_answer_comes_first_as_often() -> None:
    things = [thing for n in range(400) for thing in pairs([a_thing(n, "x"), a_thing(n, "y")])]
    for first in (
        [shown(thing, "user:ana")[0].candidate for thing in things],
        [shown(things[0], f"user:{n}")[0].candidate for n in range(400)],
    ):
        assert 150 < first.count("x") < 250  # five standard deviations


def test_pairs_are_of_two_candidates_that_differ() -> None:
    things = [a_thing(1, "x"), a_thing(1, "y"), a_thing(1, "z", text="y  says\n1"), a_thing(2, "x")]
    found = [thing.candidates for thing in pairs(things)]
    assert sorted(found) == [("x", "y"), ("x", "z")]  # y and z say the same


def test_empty_and_failed_answers_are_nothing_to_grade() -> None:
    answers = [
        an_inference("fine"),
        an_inference("empty", choices=(Choice("  "),)),
        an_inference("none", choices=()),
        an_inference("failed", outcome="failed"),
    ]
    assert [thing.id for thing in singles((None, answer) for answer in answers)] == ["fine"]


MIXES = st.frozensets(st.sampled_from(["everyone", "group:a", "group:b", "user:u"]), min_size=1)


@given(
    mixes=st.lists(MIXES, max_size=4),
    user=st.sampled_from(["", "u", "a"]),
    groups=st.frozensets(st.sampled_from(["a", "b"])),
    asker=st.frozensets(st.sampled_from(["a", "b"])),
    talked=st.booleans(),
)
def test_an_answer_is_readable_if_all_that_it_rests_on_is(
    mixes: list[frozenset[str]], user: str, groups: frozenset[str], asker: frozenset[str], talked: bool
) -> None:
    passages = tuple(passage("x", *mix, number=n) for n, mix in enumerate(mixes))
    before = (Message("user", "hi", Raw(b"{}")), Message("assistant", "secret", Raw(b"{}"))) if talked else ()
    answer = an_inference(
        passages=passages, caller=Caller("u2", asker), messages=(*before, Message("user", "so?", Raw(b"{}")))
    )
    mine = {"everyone", *(f"group:{group}" for group in groups), *([f"user:{user}"] if user else [])}
    expected = all(mix & mine for mix in mixes) and (not talked or asker <= groups)
    assert may_read(Caller(user, groups), answer) == expected
    pile = Pile("support", None, "single", tuple(singles([(None, answer)])))
    turns = turns_of(pile, {}, Caller(user, groups), 5)
    assert (len(turns.turns), turns.unreadable) == ((1, 0) if expected else (0, 1))
