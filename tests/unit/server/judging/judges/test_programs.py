"""Programs that judge: what counts as the same words, which patterns and schemas are taken, and that none is slow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.judging.judges.patterns import Pattern
from rungwise_server.judging.judges.programs import PassFrom, compared, json_schema, regex
from rungwise_server.judging.judges.schemas import LONGEST, Schema
from rungwise_server.judging.judges.words import contains, exact, f1
from rungwise_server.testing.judges import answered
from rungwise_server.types import Caller


def test_case_width_punctuation_and_markers_make_no_difference() -> None:
    assert exact("**Five** days [1].", "five days") == 1
    assert exact("ＦＩＶＥ　days 【2】", "five days") == 1
    assert exact("five long days", "five days") == 0
    assert exact("3.5", "35") == 0


def test_contained_words_are_whole_words_in_a_row() -> None:
    assert contains("It takes five days, mostly.", "Five days") == 1
    assert contains("It takes twenty-five days", "five days") == 1
    assert contains("It takes fiver days", "five days") == 0
    assert contains("five or six days", "five days") == 0
    assert contains("返金は五日です", "五日") == 1


def test_f1_is_of_shared_words() -> None:
    assert f1("five days", "five days") == 1
    assert f1("five", "five days") == pytest.approx(2 / 3)
    assert f1("five five five", "five days") == pytest.approx(0.4)
    assert f1("", "five") == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_they_agree_with_one_another(one: str, other: str) -> None:
    assert 0 <= f1(one, other) <= 1
    assert f1(one, other) == pytest.approx(f1(other, one))
    if exact(one, other):
        assert contains(one, other) == 1


async def test_without_a_reference_nothing_can_be_told() -> None:
    for kind in ("exact", "contains", "f1"):
        assert (await compared(kind, kind, "correct").grade(answered(reference=" [1] "), Caller())).value is None


async def test_a_pattern_is_found_anywhere() -> None:
    judge = regex("ticket", "form", r"TICKET-\d+")
    assert (await judge.grade(answered("see TICKET-12."), Caller())).value == 1
    assert (await judge.grade(answered("see TICKET."), Caller())).value == 0


def test_no_text_makes_a_pattern_slow() -> None:
    # With backtracking this would outlast the universe.
    assert not Pattern(r"^(a+)+$").found("a" * 100_000 + "!")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [("(a", "unclosed group"), ("(?<=a)b", "look-around"), (r"(a)\1", "backreference"), ("(x{0,999}){0,999}", "size")],
)
def test_a_pattern_that_is_not_taken(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Pattern(pattern)


async def test_a_schema() -> None:
    judge = json_schema("form", "form", '{"type": "object", "properties": {"n": {"type": "integer"}}}')
    assert (await judge.grade(answered('{"n": 1}'), Caller())).value == 1
    said = await judge.grade(answered('{"n": "one"}'), Caller())
    assert said.value == 0
    assert "$.n" in said.reason
    assert (await judge.grade(answered("n is 1"), Caller())).value == 0
    assert (await judge.grade(answered("NaN"), Caller())).value == 0


def test_patterns_of_a_schema_are_linear_too() -> None:
    schema = Schema('{"properties": {"a": {"pattern": "^(a+)+$"}}, "patternProperties": {"^x": {"type": "number"}}}')
    assert "does not match" in schema.fault('{"a": "' + "a" * 50_000 + '!"}')
    assert schema.fault('{"a": "aa", "x1": 2}') == ""
    assert "$.x1" in schema.fault('{"x1": "2"}')


def test_items_that_stand_twice_are_found_quickly() -> None:
    schema = Schema('{"uniqueItems": true}')
    long = ", ".join(f'{{"a": {n}}}' for n in range(50_000))
    assert schema.fault(f"[{long}]") == ""
    assert "twice" in schema.fault(f'[{long}, {{"a": 7.0}}]')
    assert schema.fault("[1, true, 0, false, null]") == ""


@pytest.mark.parametrize("answer", ["[" * 100_000, "[" * 500 + "]" * 500, " " * (LONGEST + 1)])
def test_an_answer_that_is_too_much(answer: str) -> None:
    assert Schema('{"items": {"$ref": "#"}, "type": "array"}').fault(answer)[:2] in ("it", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("3", "must be an object"),
        ('{"type": "nothing"}', "no JSON Schema"),
        ('{"properties": {"a": {"pattern": "(?<=a)b"}}}', "look-around"),
    ],
)
def test_a_schema_that_is_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Schema(text)


def test_nothing_is_fetched_for_a_reference() -> None:
    assert "not in it" in Schema('{"$ref": "http://127.0.0.1:1/schema.json"}').fault("1")


async def test_from_a_threshold_on_it_is_a_pass() -> None:
    bare = compared("f1", "f1", "correct")
    judge = PassFrom(bare, 0.6)
    assert (await judge.grade(answered("five", reference="five days"), Caller())).value == 1
    assert (await judge.grade(answered("five or six", reference="five days"), Caller())).value == 0
    assert (await judge.grade(answered("five", reference=""), Caller())).value is None
    assert judge.hash != bare.hash != PassFrom(bare, 0.7).hash
    assert (judge.name, judge.rubric) == ("f1", "correct")


def test_another_setting_is_another_hash() -> None:
    judges = [
        regex("a", "form", "x"),
        regex("a", "form", "y"),
        regex("a", "other", "x"),
        compared("exact", "a", "form"),
        compared("f1", "a", "form"),
        json_schema("a", "form", "{}"),
    ]
    assert len({judge.hash for judge in judges}) == len(judges)
    assert regex("b", "form", "x").hash == judges[0].hash
