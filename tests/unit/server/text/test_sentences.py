"""What a passage is cut into."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.text.sentences import Unit, spans, units, unspaced


def texts(text: str) -> list[str]:
    return [unit.text for unit in units(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there! Is it three?", ["One is here.", "Two is there!", "Is it three?"]),
        (
            "Dr. No lives in St. Ives, e.g. in May. He pays 3.5 % tax.",
            ["Dr. No lives in St. Ives, e.g. in May.", "He pays 3.5 % tax."],
        ),
        ("The U.S. market grew. It is big.", ["The U.S. market grew.", "It is big."]),
        ("See No. 5 on p. 12. The answer is no. We agree.", ["See No. 5 on p. 12.", "The answer is no.", "We agree."]),
        (
            "Resturlaub gilt bis zum 31. März des Jahres. Danach verfällt er z. B. ganz.",
            ["Resturlaub gilt bis zum 31. März des Jahres.", "Danach verfällt er z. B. ganz."],
        ),
        ("It began in 2011. Then it grew.", ["It began in 2011.", "Then it grew."]),
        (
            "定休日は水曜日です。翌日も休みます。「はい。」と言う！",
            ["定休日は水曜日です。", "翌日も休みます。", "「はい。」", "と言う！"],
        ),
        ("黑豹队丢了308分。他们赢了吗？", ["黑豹队丢了308分。", "他们赢了吗？"]),
        ("She wrote “Stop.” Then she left.", ["She wrote “Stop.”", "Then she left."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_markdown_is_read_as_structure() -> None:
    found = units("## Leave\n\nYou have **28 days**. The limits are:\n\n- ten days\n- `five` days,\n  on Fridays six\n")
    assert found == [
        Unit("You have 28 days.", 10, "Leave"),
        Unit("The limits are:", 10 + 17, "Leave"),
        Unit("ten days", found[2].start, "Leave\nYou have 28 days. The limits are:", own_line=True),
        Unit("five days, on Fridays six", found[3].start, "Leave\nYou have 28 days. The limits are:", own_line=True),
    ]


def test_tables_name_their_columns() -> None:
    marked = "| who | full pay |\n|---|---|\n| birth parent | 20 weeks |\n| second parent | |\n"
    assert texts(marked) == ["who: birth parent; full pay: 20 weeks", "who: second parent"]
    barred = "Amount | Who approves\nup to 500 | owner\nabove 500 | head of finance\n\nThat is all, a | b apart."
    assert texts(barred) == [
        "Amount: up to 500; Who approves: owner",
        "Amount: above 500; Who approves: head of finance",
        "That is all, a | b apart.",
    ]


def test_small_records_stay_whole() -> None:
    rows = "article: A-1\nname: Rain cover\nprice GBP: 59\n\narticle: A-2\nname: Belt\nprice GBP: 68\n"
    assert texts(rows) == ["article: A-1; name: Rain cover; price GBP: 59", "article: A-2; name: Belt; price GBP: 68"]


def test_large_records_give_each_value_with_their_name() -> None:
    lines = [f"stores[0].service {i}.how: {'x' * 30}" for i in range(9)]
    found = texts("\n".join(["stores[0].name: Leeds", *lines, "stores[1].name: Osaka", "stores[1].parking: none"]))
    assert found[0] == "name: Leeds"
    assert found[3] == f"name: Leeds; service 2.how: {'x' * 30}"
    assert found[-1] == "name: Osaka; parking: none"


def test_chat_lines_are_units_of_their_own() -> None:
    assert texts("ana: hello there\nben: hi ana\nana: lunch at one?") == [
        "ana: hello there; ben: hi ana",
        "ana: lunch at one?",
    ]


def test_a_long_labelled_text_is_cut_into_sentences() -> None:
    found = units("Jennifer: " + "You are doing great in there. " * 12)
    assert len(found) == 12
    assert {unit.context for unit in found} == {"Jennifer"}


def test_wrapped_lines_are_joined_and_short_ones_are_not() -> None:
    wrapped = (
        "3. Storage\n"
        "Storage temperature 10 to 20 degrees\n"
        "State of charge 40 to 60 percent\n"
        "The battery must be kept dry and away from heaters, and it must never be\n"
        "left in the sun. Check it every three months and recharge it as soon as the\n"
        "display shows 20.\n"
    )
    assert units(wrapped) == [
        Unit("Storage temperature 10 to 20 degrees", 11, "3. Storage"),
        Unit("State of charge 40 to 60 percent", 48, "3. Storage"),
        Unit(
            "The battery must be kept dry and away from heaters, and it must never be left in the sun.",
            81,
            "3. Storage",
        ),
        Unit("Check it every three months and recharge it as soon as the display shows 20.", 81 + 89, "3. Storage"),
    ]
    japanese = "使わなかった休暇は二年間繰り越せますが毎年少なくとも五日は必ず取\n得してください。次の文です。"
    assert texts(japanese) == [
        "使わなかった休暇は二年間繰り越せますが毎年少なくとも五日は必ず取得してください。",
        "次の文です。",
    ]


def test_headings_without_marks() -> None:
    assert [u.context for u in units("TYRES\nInflate them to 2.5 bar.\n\nIn winter\n\nRinse the salt off.")] == [
        "TYRES",
        "In winter",
    ]


def test_running_feet_and_rules_are_left_out() -> None:
    assert texts("Ardenmoor - page 2 of 3\nIt is dry.\n-----\n17\n* * *\n") == ["It is dry."]


def test_control_characters_go() -> None:
    assert texts("A\x00 safe\u202e\u200b line\x1b[31m here.") == ["A safe line [31m here."]


def test_endless_sentences_are_cut() -> None:
    found = texts("word " * 2000)
    assert max(map(len, found)) <= 500
    assert " ".join(found).split() == ["word"] * 2000
    assert max(map(len, texts("x" * 5000))) <= 500


@given(st.text(alphabet=st.sampled_from("aB1 .:|#-*\n。！あ漢[]();\x00\u200b\t"), max_size=300))
def test_any_text(text: str) -> None:
    """Nothing raises, nothing is invented, nothing is empty, and the order is the text's."""
    letters = set(re.findall(r"\w", text))
    found = units(text)
    assert all(unit.text.strip() == unit.text and any(c.isalpha() for c in unit.text) for unit in found)
    assert set(re.findall(r"\w", "".join(unit.text for unit in found))) <= letters
    assert not re.search(r"[\x00-\x1f\u200b]", "".join(unit.text for unit in found))
    assert all(0 <= unit.start <= len(text) for unit in found)


def test_only_the_beginning_of_an_endless_passage_is_read() -> None:
    assert len(texts("Here is one more. " * 5000)) < 1000
    assert texts("." * 100_000 + " a") == []


@given(st.text(st.sampled_from("ab .;,!?。！x1 \n\u3000"), max_size=1500))
def test_spans_lie_in_order_and_miss_only_white_space(text: str) -> None:
    at = 0
    for start, end in spans(text):
        assert at <= start < end <= len(text)
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


def test_what_is_written_without_spaces() -> None:
    assert unspaced("文書には答えがありません。")
    assert not unspaced("The word 文書 means document.")
    assert not unspaced("")
