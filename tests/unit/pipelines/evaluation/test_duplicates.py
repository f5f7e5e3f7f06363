"""Near-duplicates, and what training data gives away."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from rungwise_pipelines.evaluation.duplicates import (
    NEAR,
    Texts,
    asked,
    distinct,
    groups,
    near,
    normal,
    refuse,
    training_files,
)
from rungwise_pipelines.evaluation.read import by_hand
from rungwise_server.errors import SetupError
from rungwise_server.evals import Example
from rungwise_server.prompt import text_message
from rungwise_server.types import Caller, Message

SAME = [
    ("How do I replace my card?", "how do i replace my card"),
    ("Why isn't my refund on my statement?", "Why isn't my refund shown on my statement?"),
    ("Où est ma carte bancaire ?", "Ou est ma carte bancaire"),
    ("大阪店の電話番号を教えてください。", "大阪店の電話番号を教えてください"),
    ("?!", "..."),
]
OTHER = [
    ("How do I replace my card?", "How do I replace my passport?"),
    ("What is the limit for 2023 in Leeds?", "What is the limit for 2024 in Leeds?"),
    ("大阪店の電話番号を教えてください", "京都店の営業時間を知りたい"),
    ("yes", "no"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_near(one: str, other: str) -> None:
    assert groups([one, "in between lies something else", other]) == [0, 1, 0]


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_not_near(one: str, other: str) -> None:
    assert groups([one, other]) == [0, 1]


def _overlap(one: str, other: str) -> float:
    """As the module says it, without any of its shortcuts."""
    first, second = (
        {padded[at : at + 4] for at in range(max(len(padded) - 3, 1))}
        for padded in (f" {normal(one)} ", f" {normal(other)} ")
    )
    return len(first & second) / len(first | second)


_sentences = st.lists(st.sampled_from("the card my lost is where when arrives a new pin please".split()), min_size=1)


@settings(deadline=None, max_examples=60)
@given(st.lists(_sentences.map(" ".join), min_size=1, max_size=12), _sentences.map(" ".join))
def test_what_is_found_is_the_nearest_there_is(texts: list[str], text: str) -> None:
    known = Texts()
    for one in texts:
        known.add(one)
    found = known.near(text)
    overlaps = [_overlap(one, text) for one in texts]
    if found is not None:
        assert found[1] == pytest.approx(overlaps[found[0]])
        assert found[1] >= NEAR
    if max(overlaps) >= 0.9:  # nearer than the bands can miss
        assert found is not None
        assert found[1] == pytest.approx(max(overlaps))
    if max(overlaps) < NEAR:
        assert found is None


@given(st.text())
def test_any_text_is_near_itself(text: str) -> None:
    known = Texts()
    assert known.add(text) == 0
    assert known.near(text) == (0, 1.0)


def an_example(question: str, *groups: str) -> Example:
    return by_hand(question).example(Caller(groups=frozenset(groups)))


def test_near_for_training() -> None:
    found = list(near(["Where is my card?", "Who pays?"], ["who pays", "Something else", "Where is my card"]))
    assert [(match.text, match.question) for match in found] == [(0, 1), (2, 0)]


def test_the_same_question_of_others_is_another_example() -> None:
    had = [an_example("Where is my card?")]
    new = [
        an_example("where is my card"),
        an_example("Where is my card!", "finance"),
        an_example("where is my card", "finance"),
        an_example("Where is my card?"),
    ]
    kept, left = distinct(new, had)
    assert kept == [new[1], new[3]]
    assert [(one, other) for one, other in left] == [(new[0], had[0]), (new[2], new[1])]


def test_every_turn_is_asked_and_passages_are_no_question() -> None:
    mark = "0123456789abcdef"
    grounded = f"<<<passages {mark}\n[1] X\nWhere is it?\npassages {mark}>>>\nThe text … The question:\n\nWho pays?"
    messages = [text_message("user", grounded), text_message("assistant", "We."), text_message("user", "and when?")]
    assert asked(messages) == ["Who pays?", "Who pays?\nand when?"]
    assert asked([Message("user", " ", Raw(b"{}"))]) == []


def _line(*turns: tuple[str, object]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns], "id": "x"}) + "\n"


def test_what_was_trained_on_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "datasets" / name).mkdir(parents=True)
    (tmp_path / "datasets" / "a" / "train.jsonl").write_text(
        _line(("user", "Hello there, my friend"), ("assistant", "Hi"), ("user", "WHERE is my bank card"))
        + "\n"
        + _line(("system", "Who pays the bill?"), ("user", [{"type": "text", "text": "Is it open on Sundays?"}]))
    )
    with gzip.open(tmp_path / "datasets" / "b" / "train.jsonl.gz", "wt") as file:
        file.write(_line(("user", "Something else entirely")))
    (tmp_path / "datasets" / "a" / "test.jsonl").write_text("no JSON")
    examples = [an_example(q) for q in ("Where is my bank card?", "Who pays the bill?", "Is it open on sundays")]
    files = training_files(tmp_path)
    assert [file.parent.name for file in files] == ["a", "b"]
    kept, refused = refuse(examples, files)
    assert kept == [examples[1]]
    assert [(one.example, one.file, one.line) for one in refused] == [
        (examples[0], files[0], 1),
        (examples[2], files[0], 3),
    ]
    assert refuse([], [tmp_path / "gone"]) == ([], [])


@pytest.mark.parametrize("text", ["{", '{"messages": 3}\n', '{"x": 1}\n'])
def test_training_data_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(_line(("user", "fine")) + text)
    with pytest.raises(SetupError, match=r"train\.jsonl:2"):
        refuse([an_example("x")], [file])
    with pytest.raises(SetupError, match="cannot be read"):
        refuse([an_example("x")], [tmp_path / "gone.jsonl"])
    broken = bytearray(gzip.compress(_line(("user", "fine")).encode() * 100))
    broken[30] ^= 0xFF
    (tmp_path / "train.jsonl.gz").write_bytes(broken)
    with pytest.raises(SetupError, match="cannot be read"):
        refuse([an_example("x")], [tmp_path / "train.jsonl.gz"])


def test_questions_stand_alone() -> None:
    """A follow-up is compared with what it follows."""
    first, second = "What is the leave in Leeds?", "What is the leave in Osaka?"
    turns = [
        by_hand("x").example(Caller()),
        *(
            msgspec.structs.replace(
                an_example("x"),
                id=f"ex-{text}",
                messages=(text_message("user", text), text_message("assistant", "25"), text_message("user", "and it?")),
            )
            for text in (first, second)
        ),
    ]
    kept, _ = distinct(turns, ())
    assert len(kept) == 3
