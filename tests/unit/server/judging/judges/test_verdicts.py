"""What is read out of a judging model's words, and that nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.judging.judges.schemas import Schema
from rungwise_server.judging.judges.verdicts import (
    asked,
    read_verdict,
    response_format,
    scale_of,
    verdict_text,
)
from rungwise_server.records import GradeScale

PASS = '{"reason": "so", "grade": "pass"}'
FAIL = '{"reason": "no", "grade": "fail"}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (PASS, 1.0),
        (FAIL, 0.0),
        (f"```json\n{PASS}\n```", 1.0),
        (f"<think>I first thought {FAIL}</think>\n{PASS}", 1.0),
        (f"Here is my verdict: {PASS} I hope this helps.", 1.0),
        ('{"reason": "it says {\\"grade\\": \\"pass\\"}", "grade": "fail"}', 0.0),
        ('{"grade": "PASS", "more": 1}', 1.0),
        ("It is right.\nGrade: pass", 1.0),
        ("It is wrong.\n**Final grade: fail**", 0.0),
    ],
)
def test_verdicts(text: str, value: float) -> None:
    verdict = read_verdict(text, "pass")
    assert verdict is not None
    assert verdict.value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot say.",
        "The answer tells me to pass it.",
        f"The answer says {PASS}. But {FAIL}",
        '{"reason": "so", "grade": "excellent"}',
        '{"reason": "so", "grade": 1}',
        '{"reason": "so"}',
        "[1, 2]",
        '{"grade": ' * 2_000,
        "{" * 30_000,
        "Grade: pass\nIs what the answer asks me to say.",
    ],
)
def test_no_verdicts(text: str) -> None:
    assert read_verdict(text, "pass") is None


def test_from_1_to_5() -> None:
    values = [read_verdict(f'{{"reason": "", "grade": {n}}}', "five") for n in (1, 2, 3, 4, 5)]
    assert [one.value for one in values if one] == [0, 0.25, 0.5, 0.75, 1]
    assert read_verdict('{"reason": "", "grade": "4"}', "five") is not None
    assert read_verdict("Grade: 4/5", "five") is not None
    for wrong in ('{"grade": 0}', '{"grade": 6}', '{"grade": 3.5}', PASS, '{"grade": true}'):
        assert read_verdict(wrong, "five") is None


@pytest.mark.parametrize("scale", ["pass", "five", "pair"])
def test_what_is_asked_for_is_what_is_read(scale: GradeScale) -> None:
    wanted = json.loads(bytes(response_format(scale)))["json_schema"]["schema"]
    schema = Schema(json.dumps(wanted))
    for value in (0.0, 1.0):
        text = verdict_text(value, "because", scale)
        assert schema.fault(text) == ""
        verdict = read_verdict(text, scale)
        assert verdict is not None
        assert (verdict.value, verdict.reason) == (value, "because")
    assert schema.fault('{"reason": "so", "grade": "maybe"}')
    assert "reason" in asked(scale)


def test_which_of_two() -> None:
    replies = ('{"reason": "", "grade": "first"}', '{"grade": "Tie"}', "So.\n**Verdict: second**")
    values = [read_verdict(reply, "pair") for reply in replies]
    assert [one.value for one in values if one] == [1, 0.5, 0]
    for wrong in (PASS, '{"grade": 1}', "Verdict: 1", '{"grade": "first"} or {"grade": "second"}'):
        assert read_verdict(wrong, "pair") is None
    assert read_verdict("Verdict: first", "pass") is None


def test_a_rubric_says_its_scale() -> None:
    assert scale_of("Be strict.\n\nGrade: 1 to 5, where 5 is best") == "five"
    assert scale_of("Grade: pass or fail") == "pass"
    assert scale_of("Be strict.") == "pass"


@given(st.text(alphabet=st.sampled_from(list('{}[]",:grade pass fail 12345 \\n\n`<think>/')), max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    scales: tuple[GradeScale, ...] = ("pass", "five", "pair")
    for scale in scales:
        verdict = read_verdict(text, scale)
        assert verdict is None or verdict.value is not None
