"""What a written question gives away."""

import pytest

from rungwise_pipelines.evaluation.leaks import leak

PASSAGE = (
    "Employees in Leeds have 28 days of annual leave. Unused leave may be carried over until 30 June of the "
    "following year, after which it lapses without compensation. Der Antrag ist vier Wochen vorher zu stellen."
)

FINE = [
    ("How much holiday do people at the Leeds office get each year?", "28 days"),
    ("Until when can I use up days off left from last year?", "30 June"),
    ("Wie lange im Voraus muss ich Urlaub beantragen?", "Vier Wochen"),
    ("Which document do I need to hand in for leave?", "A form"),
    ("Is leave lost?", "Yes"),
    ("大阪店の休みはいつですか", "水曜日"),
]
LEAKY = [
    ("According to the passage, how many days off are there?", "28", "speaks of the text"),
    ("What does the text say about unused leave?", "x", "speaks of the text"),
    ("Was steht laut dem Text über Urlaub?", "x", "speaks of the text"),
    ("Que dit-on selon le texte ?", "x", "speaks of the text"),
    ("Do staff in Leeds get 28 days off?", "28 days", "its own answer"),
    ("Is it true that leave may be carried over until 30 June of the following year by all?", "x", "words in a row"),
    ("Unused leave may be carried over how long?", "x", "own wording"),
]


@pytest.mark.parametrize(("question", "answer"), FINE)
def test_fine(question: str, answer: str) -> None:
    assert leak(question, answer, PASSAGE) == ""


@pytest.mark.parametrize(("question", "answer", "said"), LEAKY)
def test_leaky(question: str, answer: str, said: str) -> None:
    assert said in leak(question, answer, PASSAGE)


def test_scripts_without_spaces() -> None:
    passage = "大阪店の定休日は毎週水曜日です。電話番号は受付にあります。"
    assert "in a row" in leak("大阪店の定休日は毎週何曜日", "水曜日", passage)
    assert "its own answer" in leak("休みは水曜日ですか", "水曜日", passage)
