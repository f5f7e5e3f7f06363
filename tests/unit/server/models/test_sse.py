"""The event reader: the same events, however the bytes are cut and the lines end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.models import sse
from rungwise_server.models.sse import EventReader, EventTooLong, fields, split

LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12).map(str.encode)
EVENT = st.lists(LINE.filter(bool), min_size=1, max_size=4)
END = st.sampled_from([b"\n", b"\r\n", b"\r"])


def read(pieces: list[bytes]) -> list[bytes]:
    reader = EventReader()
    blocks = [reader.feed(piece) for piece in pieces] + [reader.finish()]
    return [event for event in (each.strip(b"\n") for block in blocks for each in split(block)) if event]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[i:j] for i, j in pairwise(at)]


@given(st.lists(EVENT, max_size=6), END, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_and_any_line_end(events: list[list[bytes]], end: bytes, places: list[int]) -> None:
    data = b"".join(end.join(lines) + end + end for lines in events)
    assert read(cut(data, places)) == [b"\n".join(lines) for lines in events]


@given(st.lists(EVENT, min_size=1, max_size=4), st.lists(END, min_size=1, max_size=5))
def test_byte_by_byte_with_mixed_line_ends(events: list[list[bytes]], ends: list[bytes]) -> None:
    # A lone CR before LF is one line end, so a CR may only be followed by itself or by CRLF.
    ends = [end if end != b"\n" else b"\r\n" for end in ends] if b"\r" in ends else ends
    count = 0
    data = b""
    for lines in events:
        for line in [*lines, b""]:
            data += line + ends[count % len(ends)]
            count += 1
    assert read([data[i : i + 1] for i in range(len(data))]) == [b"\n".join(lines) for lines in events]


def test_an_event_comes_as_soon_as_it_is_complete() -> None:
    reader = EventReader()
    assert reader.feed(b"data: 1\n") == b""
    assert reader.feed(b"\ndata: 2") == b"data: 1\n\n"
    assert reader.feed(b"\r\n\r") == b""
    assert reader.feed(b"\n") == b"data: 2\n\n"
    assert split(b"data: 1\n\ndata: 2\n\n") == [b"data: 1", b"data: 2"]


def test_an_event_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_EVENT_LIMIT", 100)
    reader = EventReader()
    reader.feed(b"x" * 100)
    with pytest.raises(EventTooLong):
        reader.feed(b"x")


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (b"data: a", b"message", b"a"),
        (b"data:a", b"message", b"a"),
        (b"data:  a", b"message", b" a"),
        (b"data", b"message", b""),
        (b"data: a\ndata: b", b"message", b"a\nb"),
        (b": ping", b"message", None),
        (b"event: error\ndata: {}", b"error", b"{}"),
        (b"id: 3\nretry: 10", b"message", None),
        (b"\ndata: a", b"message", b"a"),
    ],
)
def test_fields(event: bytes, name: bytes, data: bytes | None) -> None:
    assert fields(event) == (name, data)
