"""Grades are read as people write them, and mistakes are told by their line."""

import contextlib
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.errors import BadRequest
from rungwise_server.judging.certificates.grades import Graded, Item, parse_grades, read_grades


def parsed(*lines: object) -> Graded:
    return parse_grades("\n".join(json.dumps(line) for line in lines).encode(), "g.jsonl")


def one(**fields: object) -> Item:
    (item,) = parsed({"id": "a", "judge": 1, **fields}).items
    return item


@pytest.mark.parametrize(
    ("human", "grade"), [(1, 1.0), (0, 0.0), (True, 1.0), (False, 0.0), (0.25, 0.25), (None, None), ([1, 0], 0.5)]
)
def test_grades_may_be_numbers_or_true_or_false_or_several(human: object, grade: float | None) -> None:
    assert one(human=human).human == grade


def test_what_else_a_line_may_say() -> None:
    item = one(human=1, system="s", weight=2, answer="four", author="m", judge_author="m", more={"of": ["this"]})
    assert (item.system, item.weight, item.length, item.own) == ("s", 2.0, 4.0, True)
    pair = one(swapped=False, length_1=3, answer_2="abcde", author_1="x", author_2="m", judge_author="m")
    assert (pair.swapped, pair.lengths, pair.own_first) == (0.0, (3.0, 5.0), False)
    assert one(author_1="m", author_2="m", judge_author="m").own_first is None


def test_graders_of_one_item_are_brought_together() -> None:
    graded = parsed(
        {"id": 1, "human": 1, "judge": 0, "grader": "a"},
        {"id": 1, "human": 0, "judge": 0, "grader": "b"},
        {"id": "1", "human": 0, "judge": 0, "grader": "b"},
        {"id": 1, "human": 1, "judge": 1, "system": "other"},
    )
    assert [(item.system, item.human, item.graders) for item in graded.items] == [
        ("", 0.5, (0.0, 1.0)),
        ("other", 1.0, (1.0,)),
    ]
    assert "count once: 1" in graded.notes[0]


def test_a_grade_may_come_later() -> None:
    (item,) = parsed({"id": "a", "judge": 1}, {"id": "a", "human": 0, "judge": 1}).items
    assert item.human == 0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"id": "a", "human": 3, "judge": 1}], "line 1: human is 3: grades go from 0 to 1"),
        ([{"id": "a"}, {"id": "b", "judge": -0.1}], "line 2: judge is -0.1"),
        ([{"human": 1}], "line 1: Object missing required field `id`"),
        ([{"id": "a", "human": "yes"}], "line 1: Expected `bool | float"),
        ([[1]], "line 1: Expected `object`"),
        ([{"id": "a", "weight": 0}], "line 1: weight is 0"),
        ([{"id": "a", "judge": 1}, {"id": "a", "judge": 0}], "lines 1, 2: id 'a' has different verdicts"),
        ([{"id": "a", "human": 1}, {"id": "a", "human": 0}], "lines 1, 2: id 'a' has different grades of one person"),
        ([], "g.jsonl has no grades"),
    ],
)
def test_mistakes_are_told_by_their_line(lines: list[object], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(*lines)
    assert said in caught.value.message


def test_many_mistakes_are_told_as_a_few() -> None:
    with pytest.raises(BadRequest, match="and 5 more"):
        parse_grades(b"nonsense\n" * 10)


def test_files(tmp_path: Path) -> None:
    line = b'\xef\xbb\xbf{"id":"a","human":1,"judge":1}\r\n\r\n'
    plain, packed = tmp_path / "g.jsonl", tmp_path / "g.jsonl.gz"
    plain.write_bytes(line)
    packed.write_bytes(gzip.compress(line))
    assert read_grades(plain) == read_grades(packed)
    packed.write_bytes(gzip.compress(line)[:-9])
    for bad in (packed, tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(BadRequest):
            read_grades(bad)


@given(st.binary() | st.text().map(str.encode))
def test_nothing_else_comes_out_of_a_strange_file(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert parse_grades(data).items
