"""Batch files: what a line is, what is said of one that is none, and where it stands."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_pipelines.batch.lines import Fault, Limits, Line, read_line, spans
from rungwise_pipelines.batch.order import prefix_key
from rungwise_pipelines.batch.plan import SHOWN, Plan, read_plan
from rungwise_server.errors import SetupError

GOOD: dict[str, object] = {
    "custom_id": "one",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "default", "messages": [{"role": "user", "content": "hé"}]},
}


def line(**changed: object) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **changed}.items() if value is not ...}).encode()


def test_a_line_is_read_with_its_body_as_it_came() -> None:
    body = b'{ "model" : "x", "unknown": 1.50, "stream": false }'
    raw = b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":' + body + b', "more": 1}'
    assert read_line(raw, 4) == Line(4, "a", "/v1/responses", body)


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"\xff\xfe{}", "invalid_json_line", None),
        (b"[" * 100_000, "invalid_request", None),
        (b'{"a":' * 100_000, "invalid_json_line", None),
        (b"[1]", "invalid_request", None),
        (b"null", "invalid_request", None),
        (line(custom_id=...), "missing_required_parameter", "custom_id"),
        (line(custom_id=1), "invalid_type", "custom_id"),
        (line(custom_id=""), "invalid_value", "custom_id"),
        (line(method=...), "missing_required_parameter", "method"),
        (line(method="GET"), "invalid_method", "method"),
        (line(url=...), "missing_required_parameter", "url"),
        (line(url="/v1/models"), "invalid_url", "url"),
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(body=...), "missing_required_parameter", "body"),
        (line(body="{}"), "invalid_type", "body"),
        (line(body={"stream": True}), "streaming_unsupported", "body.stream"),
        (line(body={"background": True}), "invalid_value", "body.background"),
    ],
)
def test_what_is_wrong_is_said_by_name(data: bytes, code: str, param: str | None) -> None:
    fault = read_line(data, 7, "/v1/chat/completions")
    assert isinstance(fault, Fault)
    assert (fault.code, fault.param, fault.line) == (code, param, 7)
    assert fault.message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_a_fault(data: bytes) -> None:
    assert isinstance(read_line(data, 1), Line | Fault)


PIECES = st.lists(st.sampled_from([b"a", b"bb" * 9, b"\r\n", b"\n", b" ", b"\xef\xbb\xbf", b"x" * 40]), max_size=30)


@given(PIECES)
def test_lines_are_found_where_they_stand(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    found = list(spans(io.BytesIO(whole), 30))
    assert [span.number for span in found] == [n for n, text in enumerate(expected, 1) if text.strip()]
    for span in found:
        text = expected[span.number - 1].rstrip(b"\r")
        if span.data is None:
            assert len(text) > 30
        else:
            assert span.data.rstrip(b"\r") == text
            assert whole[span.offset : span.offset + len(span.data)] == span.data


class Endless(io.RawIOBase):
    """A line of a gigabyte, and after it one more."""

    def __init__(self) -> None:
        self.left = 1 << 30
        self.largest = 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        self.largest = max(self.largest, len(into))
        if self.left <= 0:
            return 0
        size = min(len(into), self.left)
        into[:size] = b"x" * size
        self.left -= size
        if not self.left:
            into[size - 2 : size] = b"\ny"
        return size


def test_a_line_of_a_gigabyte_is_passed_over_in_pieces() -> None:
    raw = Endless()
    long, short = spans(io.BufferedReader(raw, 1 << 20), 1000)
    assert long.data is None
    assert len(long.raw) < 2000
    assert (short.number, short.data) == (2, b"y")


async def read(path: Path, limits: Limits = Limits(), endpoint: str = "") -> tuple[list[Fault], int, list[Line]]:  # noqa: B008
    async with read_plan(path, limits, endpoint) as plan:
        return plan.faults, plan.fault_count, [] if plan.faults else list(plan.rest())


async def test_a_file_with_a_bom_crlf_and_empty_lines(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + line(custom_id="a") + b"\r\n\r\n  \n" + line(custom_id="b"))
    faults, _, lines = await read(file)
    assert not faults
    assert {(each.number, each.custom_id) for each in lines} == {(1, "a"), (4, "b")}


async def test_all_faults_have_their_lines_in_order(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    rows = [line(custom_id="a"), b"{", line(custom_id="a"), line(custom_id="c", url="/v1/nope"), b"x" * 2000]
    rows += [line(custom_id="a")]
    file.write_bytes(b"\n".join(rows))
    faults, count, _ = await read(file, Limits(line_bytes=1000))
    assert [(fault.line, fault.code) for fault in faults] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "invalid_url"),
        (5, "line_too_long"),
        (6, "duplicate_custom_id"),
    ]
    assert count == 5
    assert "'a'" in faults[1].message
    assert "line 1" in faults[4].message


async def test_many_faults_are_counted_and_some_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"{\n" * 3000)
    faults, count, _ = await read(file)
    assert (len(faults), count) == (SHOWN, 3000)


@pytest.mark.parametrize(
    ("limits", "content", "code"),
    [
        (Limits(), b"", "empty_file"),
        (Limits(), b"\n \r\n", "empty_file"),
        (Limits(lines=1), line(custom_id="a") + b"\n" + line(custom_id="b"), "too_many_requests_in_file"),
        (Limits(file_bytes=10), line(), "file_too_large"),
    ],
)
async def test_a_file_can_be_wrong_as_a_whole(tmp_path: Path, limits: Limits, content: bytes, code: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    faults, _, _ = await read(file, limits)
    assert [(fault.code, fault.line) for fault in faults] == [(code, None)]


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"):
        await read(tmp_path / "in.jsonl")


async def plan_of(plan: Plan, limit: int = 0) -> set[str]:
    return {each.custom_id for each in plan.rest(limit)}


async def test_what_is_done_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\n".join(line(custom_id=str(n)) for n in range(10)))
    async with read_plan(file, Limits()) as plan:
        plan.mark(["3", "0"])
        assert (plan.left(), plan.left(4)) == (8, 2)
        assert await plan_of(plan, 4) == {"1", "2"}
        assert await plan_of(plan) == {"1", "2", "4", "5", "6", "7", "8", "9"}
        with pytest.raises(SetupError, match="not in the input"):
            plan.mark(["10"])


async def test_a_file_that_changes_in_mid_run_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    content = b"\n".join(line(custom_id=str(n)) for n in range(10))
    file.write_bytes(content)
    async with read_plan(file, Limits()) as plan:
        with file.open("r+b") as same:
            same.write(content.replace(b'"7"', b'"x"'))
        with pytest.raises(SetupError, match="has changed"):
            list(plan.rest())


def chat(*texts: str, model: str = "m") -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text} for text in texts]})


async def test_lines_that_begin_alike_come_together_by_how_much_they_share(tmp_path: Path) -> None:
    bodies = [
        chat(f"system {a} " * 40, f"document {a}{b} " * 300, f"question {c}", model=f"m{a % 2}")
        for c in range(3)
        for b in range(3)
        for a in range(4)
    ]
    file = tmp_path / "in.jsonl"
    rows = [line(custom_id=str(n), body=msgspec.json.decode(body)) for n, body in enumerate(bodies)]
    file.write_bytes(b"\n".join(rows))
    _, _, lines = await read(file)
    places: dict[tuple[int, ...], list[int]] = {}
    for place, each in enumerate(lines):
        n = int(each.custom_id)
        a, b = n % 4, n // 4 % 3
        groups: list[tuple[int, ...]] = [(a % 2,), (a % 2, a), (a % 2, a, b)]
        for group in groups:
            places.setdefault(group, []).append(place)
    for group, found in places.items():
        assert max(found) - min(found) == len(found) - 1, f"{group} is torn apart"


@given(st.binary(max_size=300))
def test_keys_have_one_length(text: bytes) -> None:
    body = msgspec.json.encode({"model": "m", "prompt": text.hex()})
    assert len(prefix_key(body)) == 24
