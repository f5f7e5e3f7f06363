import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.records import LINE_LIMIT, Records, read_records
from rungwise_connectors.types import Document, Fault, SourceError

GOOD = {"id": "a", "title": "Apples", "text": "They are red.", "url": "https://x.example/a", "readers": ["staff"]}


async def changes(path: Path, since: str | None = None) -> list[Document | Fault]:
    found: list[Document | Fault] = []
    async for batch in Records("r", path, frozenset({"everyone"})).changes(since):
        for change in batch.changes:
            assert isinstance(change, Document | Fault)
            found.append(change)
    return found


def lines(tmp_path: Path, *records: object, name: str = "r.jsonl") -> Path:
    path = tmp_path / name
    text = "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "zipped-by-content.gz"])
async def test_a_record_is_a_document(tmp_path: Path, name: str) -> None:
    (document,) = await changes(lines(tmp_path, GOOD, name=name))
    assert isinstance(document, Document)
    assert (document.id, document.title, document.text) == ("a", "Apples", "They are red.")
    assert (document.url, document.readers) == ("https://x.example/a", frozenset({"staff"}))
    assert document.version


async def test_what_may_be_left_out_and_what_is_ignored(tmp_path: Path) -> None:
    record = {"id": 7, "text": "x", "metadata": {"deep": [1]}, "title": None, "readers": None, "url": None}
    (document,) = await changes(lines(tmp_path, record))
    assert isinstance(document, Document)
    assert (document.id, document.title, document.url, document.readers) == ("7", "", "", frozenset({"everyone"}))


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        ("{broken", "r.jsonl:2", "line 2: JSON is malformed"),
        ("[1]", "r.jsonl:2", "line 2: Expected `object`"),
        ({"text": "x"}, "r.jsonl:2", "line 2: Object missing required field `id`"),
        ({"id": "b"}, "b", "line 2: Object missing required field `text`"),
        ({"id": "b", "text": 5}, "b", "line 2: Expected `str`, got `int` - at `$.text`"),
        ({"id": "b", "text": "  "}, "b", "line 2: the text is empty"),
        ({"id": " ", "text": "x"}, "r.jsonl:2", "line 2: the id must have"),
        ({"id": True, "text": "x"}, "r.jsonl:2", "line 2: Expected `int | float | str`, got `bool`"),
        ({"id": "a", "text": "x"}, "r.jsonl:2", "line 2: the id 'a' was there before"),
        ({"id": "a", "text": ""}, "r.jsonl:2", "line 2: the text is empty"),
        (
            {"id": "b", "text": "x", "readers": 5},
            "b",
            "line 2: readers must be a name or a list of names, not a n",
        ),
        ({"id": "b", "text": "x", "readers": []}, "b", "line 2: readers is empty"),
        (
            {"id": "b", "text": "x", "readers": {"a": 1}},
            "b",
            "line 2: readers must be a name or a list of names, not a map",
        ),
        ('{"id": "b", "text": "\\ud800"}', "r.jsonl:2", "line 2: "),
        ({"id": "b", "text": "x", "attributes": {"a": None}}, "b", "line 2: the attribute 'a' must be a string, a num"),
        ({"id": "b", "text": "x", "attributes": [1]}, "b", "line 2: attributes must be a mapping"),
        ({"id": "b", "text": "x", "reader": "hr"}, "b", "line 2: who may read it must be called readers"),
        ('{"id": "b", "text": "x", "deep": ' + "[" * 100_000, "r.jsonl:2", "line 2: nested too deeply"),
    ],
)
async def test_a_broken_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: object, id: str, reason: str) -> None:
    last = {"id": "z", "text": "Still here."}
    first, fault, document = await changes(lines(tmp_path, GOOD, line, "", last))
    assert isinstance(fault, Fault)
    assert fault.id == id
    assert fault.reason.startswith(reason)
    assert (first.id, document.id) == ("a", "z")


@pytest.mark.parametrize("readers", [5, [], "", {"a": 1}, [1]])
async def test_a_record_whose_readers_are_unclear_is_withdrawn_however_many_lines_are_broken(
    tmp_path: Path, readers: object
) -> None:
    found = await changes(lines(tmp_path, *["broken"] * 150, {"id": "b", "text": "x", "readers": readers}))
    (fault,) = [change for change in found if change.id == "b"]
    assert isinstance(fault, Fault)
    assert fault.withdraw
    assert not any(change.withdraw for change in found if isinstance(change, Fault) and change.id != "b")


async def test_attributes_come_along(tmp_path: Path) -> None:
    said = {"kind": "memo", "year": 2024, "price": 19.99, "new": False, "a.b": "x"}
    with_them, without = await changes(lines(tmp_path, {**GOOD, "attributes": said}, {"id": "b", "text": "x"}))
    assert isinstance(with_them, Document)
    assert isinstance(without, Document)
    assert (with_them.attributes, without.attributes) == (said, {})


@pytest.mark.parametrize("fault", [{"attributes": {"a": [1]}}, {"attributes": 5}, {"text": " "}])
async def test_a_record_of_no_use_says_all_the_same_who_may_read_it(tmp_path: Path, fault: dict[str, object]) -> None:
    faulty = {"text": "x", **fault}
    found = await changes(
        lines(tmp_path, *["broken"] * 150, {"id": "b", "readers": "hr", **faulty}, {"id": "c", **faulty})
    )
    (named,) = [change for change in found if change.id == "b"]
    assert isinstance(named, Fault)
    assert (named.readers, named.withdraw) == (frozenset({"hr"}), False)
    assert "c" not in {change.id for change in found}, "a hundred are named, and those who say who may read them"


async def test_bytes_that_are_not_utf8_are_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": "a", "text": "caf\xe9"}\n\xef\xbb\xbf\n')
    fault, _ = await changes(path)
    assert isinstance(fault, Fault)
    assert "not UTF-8" in fault.reason


async def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert [change.id for change in await changes(path)] == ["a"]


async def test_after_a_hundred_faults_the_others_are_counted(tmp_path: Path) -> None:
    found = await changes(lines(tmp_path, *["broken"] * 150, GOOD))
    assert len(found) == 102
    assert found[-1] == Fault("r.jsonl", "150 lines could not be read; the first 100 of them are named")


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
async def test_a_line_without_end_is_passed_over(tmp_path: Path, name: str) -> None:
    long = '{"id": "b", "text": "' + "x" * (LINE_LIMIT * 2) + '"}'
    found = await changes(lines(tmp_path, long, GOOD, name=name))
    assert found[0] == Fault(f"{name}:1", "line 1: longer than 16 MB")
    assert found[1].id == "a"


async def test_a_line_of_just_the_limit_is_read(tmp_path: Path) -> None:
    frame = len('{"id": "b", "text": ""}')
    found = await changes(lines(tmp_path, {"id": "b", "text": "x" * (LINE_LIMIT - frame)}, GOOD))
    assert [type(change) for change in found] == [Document, Document]


async def test_a_gigabyte_in_one_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(2**30)
        file.write(b"\n" + json.dumps(GOOD).encode())
    assert [change.id for change in await changes(path)] == ["r.jsonl:1", "a"]


@pytest.mark.parametrize("damage", ["cut", "noise", "header"])
async def test_gzip_that_breaks_off_is_named_at_the_end_and_deletes_nothing(tmp_path: Path, damage: str) -> None:
    records = [{"id": number, "text": f"Number {number * 7919}."} for number in range(5000)]
    path = lines(tmp_path, *records, name="r.jsonl.gz")
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes({"cut": data[:half], "noise": data[:half] + b"\xff" * half, "header": data + b"junk"}[damage])
    *documents, fault = await changes(path)
    assert len(documents) > 1000
    assert isinstance(fault, Fault)
    assert fault.id == "r.jsonl.gz"
    assert "breaks off after line" in fault.reason
    with pytest.raises(SourceError, match="breaks off"):
        [id async for id in Records("r", path).ids()]


async def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = lines(tmp_path, GOOD)
    cursors = [batch.cursor async for batch in Records("r", path).changes(None)]
    assert [batch async for batch in Records("r", path).changes(cursors[-1])] == []


async def test_ids_name_faulty_records_too(tmp_path: Path) -> None:
    path = lines(tmp_path, GOOD, {"id": "b"}, "broken", {"id": "a", "text": "again"})
    assert [id async for id in Records("r", path).ids()] == ["a", "b"]


@pytest.mark.parametrize("name", ["nothing.jsonl", "."])
async def test_no_file_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"source r: .* cannot be read"):
        await changes(tmp_path / name)


PIECES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [b"\n", b'{"id": "a", "text": "x"}', b'{"id":', b'"readers": ', b"\x1f\x8b\x08", b"\xef\xbb\xbf", b"}"]
    ),
)


@given(st.lists(PIECES, max_size=12).map(b"".join), st.booleans())
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: bytes, zipped: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(gzip.compress(data, 1)[: len(data)] if zipped else data)
    with path.open("rb") as file:
        for change in read_records(file, path.name):
            assert change.id
