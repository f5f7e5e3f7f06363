"""Support of answers by passages. The embedder knows words alone, so that every value here can be reckoned."""

from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.judging.groundedness import NOTHING_CLAIMED, SUPPORTED, Groundedness, Grounding
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import EVERYONE, Passage, Vector

TRAVEL = (
    "Travel expenses are paid back within 14 days. Receipts above 25 euros have to be handed in as originals. "
    "Trips by train are booked in second class by the travel desk in Utrecht. Taxis are not paid for."
)
LEAVE = (
    "Every employee has 28 days of annual leave. Up to 5 days may be carried over to the next year, until the end of "
    "March. Requests are made in the portal and approved by the manager."
)
RECIPE = "Whisk four eggs with sugar until foamy. Fold in the flour. Bake at moderate heat until golden brown."
PASSAGES = (LEAVE, TRAVEL)


async def measured(answer: str, passages: Sequence[str | Passage] = PASSAGES) -> Grounding:
    return await Groundedness(HashEmbedder(256)).measure(answer, passages)


async def value(answer: str, passages: Sequence[str | Passage] = PASSAGES) -> float:
    return (await measured(answer, passages)).value


@pytest.mark.parametrize(
    "sentence",
    [
        "Travel expenses are paid back within 14 days.",
        "Requests are made in the portal and approved by the manager.",
        "Taxis are not paid for.",
    ],
)
async def test_a_copied_sentence_is_supported(sentence: str) -> None:
    assert await value(sentence) > 0.97


async def test_an_unrelated_answer_is_not_supported() -> None:
    assert await value("Photosynthesis converts sunlight into chemical energy inside chloroplasts.") < 0.2
    assert await value(LEAVE, [RECIPE]) < 0.25


async def test_the_same_words_in_another_form_are_supported() -> None:
    assert await value("An employee gets 28 days of leave each year.") > SUPPORTED


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("Travel expenses are paid back within 14 days.", "Travel expenses are paid back within 15 days."),
        ("Every employee has 28 days of annual leave.", "Every employee has 82 days of annual leave."),
        ("Taxis are not paid for.", "Taxis are paid for."),
        ("Every employee has 28 days of annual leave.", "Not every employee has 28 days of annual leave."),
        ("Trips are booked by the travel desk in Utrecht.", "Trips are booked by the travel desk in Eindhoven."),
    ],
)
async def test_a_number_a_no_or_a_name_that_is_not_there_takes_from_it(said: str, instead: str) -> None:
    assert await value(instead) < await value(said) - 0.1


async def test_thousands_are_one_number_however_they_are_written() -> None:
    assert await value("The fee is 1,200 euros a year.", ["The fee is 1200 euros a year."]) > 0.97
    assert await value("The fee is 1,200 euros a year.", ["The fee is 1300 euros a year."]) < SUPPORTED


async def test_a_number_may_be_written_as_a_word_in_the_passage() -> None:
    assert await value("Up to 5 days are carried over.", ["Up to five days are carried over."]) > 0.6
    assert await value("Up to 6 days are carried over.", ["Up to five days are carried over."]) < SUPPORTED


async def test_every_sentence_is_told_with_its_place_and_passage() -> None:
    answer = (
        "Sure!\n\n- Taxis are **not** paid for [2].\n- Every employee has 28 days of annual leave [1]. Whales sing."
    )
    found = (await measured(answer)).sentences
    assert [answer[s.start : s.end] for s in found] == [
        "Sure!",
        "Taxis are **not** paid for [2].",
        "Every employee has 28 days of annual leave [1].",
        "Whales sing.",
    ]
    assert [s.checkable for s in found] == [False, True, True, True]
    assert [s.passage for s in found[:3]] == [-1, 1, 0]
    assert [s.value > SUPPORTED for s in found] == [True, True, True, False]
    assert "[1]" not in found[2].text


async def test_the_value_is_the_mean_by_length() -> None:
    long, short = "Requests are made in the portal and approved by the manager.", "Whales sing."
    both = await measured(f"{long} {short}")
    parts = [s.value * len(s.text) for s in both.sentences]
    assert both.value == pytest.approx(sum(parts) / (len(long) + len(short)))
    assert both.claims == 2


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "You're welcome!",
        "I'm sorry, but I do not have information on that.",
        "The documents do not say who approved the budget.",
        "Die Dokumente, die ich für dich lesen darf, beantworten das nicht.",
        "文書には、この質問への答えがありません。",
        "Could you tell me which contract you mean?",
    ],
)
async def test_what_claims_nothing_is_neither_supported_nor_not(answer: str) -> None:
    found = await measured(answer)
    assert (found.value, found.claims) == (NOTHING_CLAIMED, 0)


async def test_what_a_decline_adds_is_measured() -> None:
    found = await measured("The documents do not mention taxis, but limousines cost 400 dollars in Las Vegas.")
    assert found.claims == 1
    assert found.value < SUPPORTED


async def test_without_passages_nothing_is_supported() -> None:
    assert await value("Every employee has 28 days of annual leave.", []) == 0.0
    assert await value("Every employee has 28 days of annual leave.", [""]) == 0.0


async def test_title_and_headings_are_part_of_a_passage() -> None:
    passage = Passage("p", "d", "c", "Paid back within 14 days.", frozenset({EVERYONE}), "Expenses", ("Mileage 2025",))
    with_number = await value("Mileage of 2025 is paid back within 14 days.", [passage])
    assert with_number > await value("Mileage of 2025 is paid back within 14 days.", [passage.text])


@pytest.mark.parametrize(
    ("own", "other", "answer"),
    [
        (
            "有给年假为28天，最多可以将5天结转到下一年三月底。",
            "差旅费用在14天之内报销，超过25欧元需要提交原件。",
            "年假有28天，可以结转5天。",
        ),
        (
            "年次有給休暇は28日です。5日までは翌年の3月末まで繰り越すことができます。",
            "出張旅費は14日以内に精算されます。領収書の原本が必要です。",
            "有給休暇は28日で、5日まで翌年に繰り越せます。",
        ),
        (
            "Der Jahresurlaub beträgt 28 Tage. Bis zu 5 Tage können übertragen werden.",
            "Reisekosten werden binnen 14 Tagen erstattet. Belege sind im Original einzureichen.",
            "Sie haben 28 Tage Jahresurlaub, 5 Tage davon sind übertragbar.",
        ),
    ],
)
async def test_words_alone_carry_languages_that_the_embedder_does_not_know(own: str, other: str, answer: str) -> None:
    metric = Groundedness(HashEmbedder(languages=frozenset({"en"})))
    right, wrong = [(await metric.measure(answer, [passage])).value for passage in (own, other)]
    assert right > 0.4 > 0.15 > wrong


async def test_only_what_words_leave_open_is_embedded() -> None:
    class Counted(HashEmbedder):
        seen = 0

        async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
            self.seen += len(texts)
            return await super().embed(texts, kind)

    embedder = Counted()
    metric = Groundedness(embedder)
    await metric.measure("Taxis are not paid for. Whales sing.", PASSAGES)
    assert embedder.seen == 0
    await metric.measure("An employee gets leave of 28 days, approved by somebody.", PASSAGES)
    assert embedder.seen == 2


TEXTS = st.text(st.characters(codec="utf-8"), max_size=300) | st.text("ab 1.,!?[]|#*-:\n文書は。不", max_size=300)


@given(TEXTS, st.lists(TEXTS, max_size=3))
async def test_any_text_has_values_from_0_to_1_and_places_in_order(answer: str, passages: list[str]) -> None:
    found = await measured(answer, passages)
    assert 0 <= found.value <= 1
    at = 0
    for sentence in found.sentences:
        assert at <= sentence.start < sentence.end <= len(answer)
        assert 0 <= sentence.value <= 1
        assert -1 <= sentence.passage < len(passages)
        at = sentence.end


WORDS = st.lists(
    st.sampled_from("travel desk leave portal manager receipt annual train class euro".split()), min_size=4
)


@given(WORDS, st.integers(10, 9999), st.integers(10, 9999))
async def test_a_number_that_is_not_there_lowers_it(words: list[str], number: int, other: int) -> None:
    copied, changed = (f"The {' '.join(words)} is {n} a year." for n in (number, other))
    assert await value(copied, [copied, LEAVE]) > 0.97
    if number != other and other not in (28,):
        assert await value(changed, [copied, LEAVE]) < 0.8
