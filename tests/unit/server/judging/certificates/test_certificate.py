"""The certificate: what must not change it, what it says, and how systems are ranked."""

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.judging.certificates.biases import biases_of
from rungwise_server.judging.certificates.certificate import Certificate, Terms, certify
from rungwise_server.judging.certificates.grades import Graded, Item
from rungwise_server.judging.certificates.intervals import Interval
from rungwise_server.judging.certificates.page import page_of
from rungwise_server.judging.certificates.ranking import ranking_of
from rungwise_server.judging.certificates.show import lines_of, rows_of
from rungwise_server.judging.certificates.wire import as_json

TERMS = Terms()


def study(
    seed: int, *, grades: int, accuracy: float = 0.8, hits: float = 0.9, size: int = 400, system: str = ""
) -> list[Item]:
    """A judge that is right so often, about people who pass so much; the first `grades` are graded."""
    rng = np.random.default_rng(seed)
    human = np.array(rng.random(size) < accuracy, dtype=np.float64)
    judge = np.where(rng.random(size) < hits, human, 1 - human)
    return [
        Item(f"{i:04}", float(judge[i]), float(human[i]) if i < grades else None, system=system) for i in range(size)
    ]


def certified(items: list[Item], terms: Terms = TERMS) -> Certificate:
    return certify(Graded(tuple(items)), terms)


grades = st.sampled_from([0.0, 0.2, 0.7, 1.0])
items = st.lists(
    st.tuples(st.none() | grades, st.none() | grades, st.sampled_from([1.0, 2.5])), min_size=1, max_size=30
)


def made(rows: list[tuple[float | None, float | None, float]]) -> list[Item]:
    return [Item(f"{i:03}", judge, human, weight=weight) for i, (human, judge, weight) in enumerate(rows)]


@settings(max_examples=15, deadline=None)
@given(items, st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_nothing(
    rows: list[tuple[float | None, float | None, float]], random: object
) -> None:
    given_items = made(rows)
    moved = given_items.copy()
    random.shuffle(moved)  # type: ignore[attr-defined] # random.Random, as hypothesis makes it
    assert as_json(certified(moved)) == as_json(certified(given_items))


@settings(max_examples=15, deadline=None)
@given(items)
def test_good_and_bad_exchanged(rows: list[tuple[float | None, float | None, float]]) -> None:
    turned = [(None if h is None else 1 - h, None if j is None else 1 - j, w) for h, j, w in rows]
    one, other = certified(made(rows)), certified(made(turned))
    mine, theirs = one.estimates.quality, other.estimates.quality
    assert mine.low == pytest.approx(1 - theirs.high, abs=1e-6)
    assert mine.estimate == pytest.approx(1 - theirs.estimate, abs=1e-6)
    pairs = (
        (one.agreement.true_positive_rate, other.agreement.true_negative_rate),
        (one.agreement.kappa, other.agreement.kappa),
    )
    for left, right in pairs:
        assert (left is None) == (right is None)
        if left and right:
            assert (left.low, left.estimate) == pytest.approx((right.low, right.estimate), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(items, st.floats(0.1, 50))
def test_weights_count_against_each_other_only(
    rows: list[tuple[float | None, float | None, float]], times: float
) -> None:
    mine = certified(made(rows)).estimates.quality
    theirs = certified(made([(h, j, w * times) for h, j, w in rows])).estimates.quality
    assert msgspec.structs.astuple(mine)[:3] == pytest.approx(msgspec.structs.astuple(theirs)[:3], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(items)
def test_every_interval_holds_its_estimate_and_all_of_it_can_be_shown(
    rows: list[tuple[float | None, float | None, float]],
) -> None:
    certificate = certified(made(rows))
    told = as_json(certificate)
    msgspec.json.encode(told)
    assert list(rows_of(certificate))
    assert list(lines_of(certificate))
    assert "NaN" not in page_of(certificate)
    for found in intervals(told):
        low, middle, high = (found[name] for name in ("low", "estimate", "high"))
        assert isinstance(low, float)
        assert isinstance(middle, float)
        assert isinstance(high, float)
        assert -2 <= low <= middle + 1e-9 <= high + 2e-9 <= 2 + 1e-8


def intervals(told: object) -> list[Mapping[str, object]]:
    if isinstance(told, Mapping):
        mine = [told] if "level" in told and "estimate" in told else []
        return mine + [found for value in told.values() for found in intervals(value)]
    return [found for value in told for found in intervals(value)] if isinstance(told, list) else []


def test_what_programs_lean_on() -> None:
    told = as_json(certified(study(1, grades=40)))
    assert {"estimate", "low", "high"} <= set(intervals({"q": told["quality"]})[0])
    assert all(isinstance(told[name], float) for name in ("kappa", "true_positive_rate", "true_negative_rate"))


@pytest.mark.parametrize(
    ("grades", "hits", "word", "thin"),
    [
        (400, 0.97, "trust", False),
        (200, 0.7, "correct", False),
        (200, 0.5, "do not use", False),
        (5, 0.9, "correct", True),
        (4, 0.5, "do not use", True),
        (0, 0.9, "do not use", True),
    ],
)
def test_the_verdict(grades: int, hits: float, word: str, thin: bool) -> None:
    verdict = certified(study(3, grades=grades, hits=hits)).verdict
    assert (verdict.word, verdict.thin) == (word, thin), verdict.reasons
    assert verdict.reasons


def test_where_all_agree_on_one_grade_nothing_is_shown() -> None:
    verdict = certified(study(3, grades=60, accuracy=1.0, hits=1.0)).verdict
    assert (verdict.word, verdict.thin) == ("do not use", True)
    assert "nothing shows" in verdict.reasons[0]


def test_the_items_to_grade_next_narrow_the_interval_as_told() -> None:
    people = study(8, grades=400, hits=0.85)
    few = [msgspec.structs.replace(item, human=None) if i >= 20 else item for i, item in enumerate(people)]
    before = certified(few)
    assert before.advice
    assert len(before.advice.ids) == TERMS.next
    asked = {item.id for item in few if item.human is None}.intersection(before.advice.ids)
    assert len(asked) == TERMS.next
    after = certified(
        [msgspec.structs.replace(a, human=b.human) if a.id in asked else a for a, b in zip(few, people, strict=True)]
    )
    assert after.estimates.quality.half_width < before.estimates.quality.half_width
    assert after.estimates.quality.half_width == pytest.approx(before.advice.half_width, rel=0.25)
    assert before.advice.needed
    assert before.advice.needed > TERMS.next
    assert certified(people).advice is None


def test_rates_are_weighted_back_where_people_graded_mostly_what_the_judge_fails() -> None:
    people = study(9, grades=4000, size=4000, hits=0.8)
    rng = np.random.default_rng(0)
    some = [
        item if item.judge == 0 or rng.random() < 0.1 else msgspec.structs.replace(item, human=None) for item in people
    ]
    found = certified(some)
    assert found.agreement.true_positive_rate
    assert found.agreement.true_positive_rate.estimate == pytest.approx(0.8, abs=0.05)
    assert found.estimates.quality.estimate == pytest.approx(0.8, abs=0.03)
    assert found.estimates.humans_alone
    assert found.estimates.humans_alone.estimate < 0.7
    assert any("different rates" in note for note in found.notes)


def test_several_systems() -> None:
    several = study(1, grades=80, accuracy=0.9, system="good") + study(2, grades=80, accuracy=0.5, system="bad")
    found = certified(several)
    assert [one.system for one in found.systems] == ["bad", "good"]
    assert [(rank.system, rank.best, rank.worst) for rank in found.ranking] == [("good", 1, 1), ("bad", 2, 2)]
    assert found.counts.items == 800


def test_systems_that_cannot_be_told_apart_share_their_places() -> None:
    def near(middle: float) -> Interval:
        return Interval(middle, middle - 0.05, middle + 0.05, 0.95, "", 40)

    ranks = ranking_of([("a", near(0.8)), ("b", near(0.78)), ("c", near(0.5))], 0.95)
    assert [(rank.system, rank.place, rank.best, rank.worst) for rank in ranks] == [
        ("a", 1, 1, 2),
        ("b", 2, 1, 2),
        ("c", 3, 3, 3),
    ]


def test_biases() -> None:
    """A judge that takes the first of equals, likes length, and its own; people like neither."""
    rng = np.random.default_rng(4)
    pairs = []
    for i in range(300):
        human, longer, own = (float(rng.random() < 0.5) for _ in range(3))
        clear = rng.random() < 0.3
        liked = float(longer) if rng.random() < 0.5 else float(own)
        judge = human if clear else liked if rng.random() < 0.5 else 1.0
        swapped = human if clear else liked if rng.random() < 0.5 else 0.0
        pairs.append(Item(str(i), judge, human, swapped=swapped, lengths=(longer, 0.5), own_first=bool(own)))
    found = biases_of(pairs, 0.95)
    assert found.consistency
    assert found.position
    assert found.length
    assert found.own
    assert found.consistency.high < 0.9
    assert min(found.position.low, found.length.low, found.own.low) > 0
    assert biases_of([Item("a", 1.0, 1.0)], 0.95).position is None


def test_the_mean_of_both_orders_keeps_the_place_out_of_length_and_author() -> None:
    """The first answer is always the longer one, the judge's own, and shown first: one order tells them not apart."""
    rng = np.random.default_rng(7)
    one, both = [], []
    for i in range(200):
        human, seduced = float(rng.random() < 0.5), rng.random() < 0.4
        judge, swapped = (1.0, 0.0) if seduced else (human, human)
        item = Item(str(i), judge, human, swapped=swapped, lengths=(2.0, 1.0), own_first=True)
        one.append(item)
        both.append(msgspec.structs.replace(item, judge=(judge + swapped) / 2, straight=judge))
    alone, mean = biases_of(one, 0.95), biases_of(both, 0.95)
    assert (mean.position, mean.consistency) == (alone.position, alone.consistency)
    assert alone.length
    assert alone.length.low > 0
    for bias in (mean.length, mean.own):
        assert bias
        assert bias.low < 0 < bias.high


def test_no_bias_is_found_where_there_is_none() -> None:
    """Each interval leaves 0 out about as seldom as its level says."""
    rng = np.random.default_rng(6)
    out = []
    for _ in range(100):
        singles, pairs = [], []
        for i in range(40):
            human = float(rng.random() < 0.7)
            judge, swapped = (human if rng.random() < 0.8 else 1 - human for _ in range(2))
            singles.append(Item(str(i), judge, human, length=float(rng.random()), own=bool(rng.random() < 0.4)))
            side = float(rng.random() < 0.5)
            shown = side if rng.random() < 0.8 else 1 - side
            pairs.append(Item(str(i), shown, side, swapped=swapped, lengths=(float(rng.random()), 0.5)))
        alone, paired = biases_of(singles, 0.95), biases_of(pairs, 0.95)
        for bias in (alone.length, alone.own, paired.length):
            assert bias
            out.append(not bias.low <= 0 <= bias.high)
    assert np.mean(out) <= 0.07
