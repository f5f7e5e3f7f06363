"""Examples from files: what they may look like, and what is said of mistakes."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from rungwise_pipelines.evaluation.read import as_line, by_hand, read_examples
from rungwise_server.errors import BadRequest, SetupError
from rungwise_server.evals import Example, example_id
from rungwise_server.types import Caller, Message


def written(folder: Path, text: str, name: str = "e.jsonl") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"question": "Who pays?", "reference": "We.", "gold": ["a.md"], "answerable": True, "as": "ana", "topic": "t"},
        {"id": "q2", "text": "When?", "answers": ["now", "soon"], "gold_doc_ids": "b.md", "language": "en"},
        {"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": None, "tool_calls": []},
                      {"role": "user", "content": [{"type": "text", "text": "B"}, {"type": "image_url"}]}],
         "params": {"temperature": 0.5}, "groups": ["finance"], "weight": 2.5, "answerable": "no"},
    ]  # fmt: skip
    file = written(tmp_path, "\n".join(map(json.dumps, rows)) + "\n\n")
    one, two, three = read_examples(file).examples
    assert (one.messages[0].text, one.reference, one.gold, one.answerable) == ("Who pays?", "We.", ("a.md",), True)
    assert (one.user, one.topic, one.origin, one.source) == ("ana", "t", "file", "e.jsonl:1")
    assert (two.messages[0].text, two.reference, two.gold) == ("When?", "now or soon", ("b.md",))
    assert [m.text for m in three.messages] == ["A", "", "B"]
    assert (bytes(three.params["temperature"]), three.groups, three.weight) == (b"0.5", frozenset({"finance"}), 2.5)
    assert three.answerable is False
    assert read_examples(file).ignored == ("language",)


def test_csv_with_semicolons(tmp_path: Path) -> None:
    file = written(tmp_path, "question;reference\nWho, if anybody?;We.\n", "e.csv")
    [one] = read_examples(file).examples
    assert (one.messages[0].text, one.reference) == ("Who, if anybody?", "We.")


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.tsv"])
def test_csv(tmp_path: Path, name: str) -> None:
    text = '\ufeffquestion,reference,gold,answerable,as\n"Who,\npays?",We.,a.md|b.md,yes,ana\n,,,,\nWhen?,,,,\n'
    data = (text.replace(",", "\t").replace("Who\t", "Who,") if name.endswith("tsv") else text).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    one, two = read_examples(tmp_path / name).examples
    assert (one.messages[0].text, one.reference, one.gold, one.answerable, one.user) == (
        "Who,\npays?", "We.", ("a.md", "b.md"), True, "ana",
    )  # fmt: skip
    assert (two.messages[0].text, two.answerable, two.source) == ("When?", None, f"{name.removesuffix('.gz')}:5")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "an example is an object"),
        ("{}", "either `question` or `messages`"),
        ('{"question": "a", "messages": []}', "either"),
        ('{"question": "a", "text": "b"}', "twice"),
        ('{"question": "  "}', "is empty"),
        ('{"question": 3}', "must be a text"),
        ('{"messages": []}', "the last of"),
        ('{"messages": ["a"]}', "is a list such as"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "question of the user's"),
        ('{"messages": [{"role": "user", "content": 3}]}', "a text or a list"),
        ('{"question": "a", "gold": [1]}', "list of texts"),
        ('{"question": "a", "answerable": "maybe"}', "true or false"),
        ('{"question": "a", "weight": 0}', "above 0"),
        ('{"question": "a", "weight": "x"}', "no number"),
        ('{"question": "a", "weight": NaN}', "not JSON"),
        ('{"question": "a", "origin": "space"}', "one of log, docs"),
        ('{"question": "a", "as": "ana maria"}', "'ana maria' is no user's name"),
        ('{"question": "a", "as": "a\\u0000"}', "no user's name"),
        ('{"question": "a", "groups": ["b", "group:finance"]}', "'group:finance' is no group's name"),
        ('{"question": "a", "params": []}', "object"),
        ("[" * 100_000, "not JSON"),
        ('{"question": "\\ud83d"}', "not JSON"),
    ],
)  # fmt: skip
def test_mistakes_are_told_by_their_line(tmp_path: Path, line: str, said: str) -> None:
    file = written(tmp_path, f'{{"question": "fine"}}\n\n{line}\n')
    with pytest.raises(BadRequest) as caught:
        read_examples(file)
    assert f"{file}:3: " in caught.value.message
    assert said in caught.value.message


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        read_examples(written(tmp_path, "{\n" * 30))
    assert caught.value.message.count("not JSON") == 20
    assert caught.value.message.endswith("… and 10 more.")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("e.csv", b"a,b\n1,2\n", "names the columns"),
        ("e.csv", b"question\na,b\n", "e.csv:2: there are 2 cells for 1 columns"),
        ("e.csv", b'question\n"a\n', "cannot be read as CSV"),
        ("e.csv", b"question\n" + b"a" * 200_000, "come as .jsonl"),
        ("e.csv", b"question\nfine\n\xff\n", "e.csv:3: this is not UTF-8"),
        ("e.csv", b"question,messages\n,[\n", "`messages` is not JSON"),
        ("e.csv", b"", "names the columns"),
        ("e.jsonl", b"\n", "has no examples"),
        ("e.txt", b"x", "as .csv or .jsonl"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRequest) as caught:
        read_examples(tmp_path / name)
    assert said in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl.gz").write_bytes(b"no gzip")
    broken = bytearray(gzip.compress(b"question,reference\nWho?,We.\n" * 100))
    broken[30] ^= 0xFF
    (tmp_path / "broken.csv.gz").write_bytes(broken)
    for name in ("gone.csv", "e.jsonl.gz", "broken.csv.gz"):
        with pytest.raises(SetupError, match="cannot be read"):
            read_examples(tmp_path / name)


def test_by_hand() -> None:
    handed = by_hand("Who pays?", "We.", ["a.md"], answerable=False)
    assert (handed.reference, handed.gold, handed.answerable, handed.origin) == ("We.", ("a.md",), False, "hand")
    with pytest.raises(BadRequest):
        by_hand(" ")


_words = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: bool(text.strip()))


@given(
    turns=st.lists(_words, min_size=1, max_size=3),
    reference=st.text(st.characters(codec="utf-8")),
    groups=st.frozensets(st.sampled_from(["a", "b"])),
    user=st.sampled_from(["", "ana"]),
    origin=st.sampled_from(["log", "docs"]),
    answerable=st.sampled_from([None, True, False]),
    extra=st.booleans(),
)
def test_what_is_exported_comes_back_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[str],
    reference: str,
    groups: frozenset[str],
    user: str,
    origin: str,
    answerable: bool | None,
    extra: bool,
) -> None:
    def message(text: str) -> Message:
        raw = {"role": "user", "content": text, **({"name": "x"} if extra else {})}
        return Message("user", text, Raw(msgspec.json.encode(raw)))

    messages = tuple(map(message, turns))
    caller = Caller(user, groups)
    params = {"seed": Raw(b"7")} if extra else {}
    example = Example(
        example_id(messages, caller, params), messages, caller, "log" if origin == "log" else "docs", params,
        reference, ("d1",), answerable, "chatcmpl-1", "t", "w", 3.5,
    )  # fmt: skip
    file = tmp_path_factory.mktemp("x") / "e.jsonl"
    file.write_text(json.dumps(as_line(example), ensure_ascii=False) + "\n", encoding="utf-8")
    [handed] = read_examples(file).examples
    back = handed.example(Caller(user))
    assert msgspec.json.encode(back, order="deterministic") == msgspec.json.encode(example, order="deterministic")
