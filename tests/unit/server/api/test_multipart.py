"""Forms are read part by part, however their bytes are cut, and nothing that is no form gets through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.api.multipart import read_form
from rungwise_server.errors import BadRequest, TooLarge

TYPE = "multipart/form-data; boundary=xyz"
Read = list[tuple[str, str | None, bytes]]


async def _cut(data: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        if size:
            yield data[:size]
        data = data[size:]
    yield data


async def read(data: bytes, sizes: list[int] | None = None, content_type: str = TYPE) -> Read:
    return [
        (part.name, part.filename, b"".join([piece async for piece in part.data]))
        async for part in read_form(content_type, _cut(data, sizes or []))
    ]


async def text(data: bytes) -> str:
    (only,) = [await part.text() async for part in read_form(TYPE, _cut(form(('name="a"', data)), []))]
    return only


def form(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(
        b"--xyz\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
        for head, data in parts
    ) + (b"--xyz--\r\n")


@settings(max_examples=150, deadline=None)
@given(
    datas=st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--xy", b"--xyz", b"\r\n", b"-" * 9]), max_size=4),
    sizes=st.lists(st.integers(0, 40), max_size=12),
)
async def test_parts_come_out_as_they_went_in(datas: list[bytes], sizes: list[int]) -> None:
    datas = [data for data in datas if b"\r\n--xyz" not in b"\r\n" + data + b"\r\n"]
    expected = [(f"p{number}", f"f{number}", data) for number, data in enumerate(datas)]
    data = form(*((f'name="{name}"; filename="{file}"', data) for name, file, data in expected))
    assert await read(data, sizes) == (expected if datas else [])


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 200), sizes=st.lists(st.integers(0, 30), max_size=6))
async def test_garbage_is_refused_and_nothing_worse(data: bytes, at: int, sizes: list[int]) -> None:
    good = form(('name="a"; filename="b"', b"content"), ('name="purpose"', b"batch"))
    for hostile in (data, b"--xyz\r\n" + data, good[:at] + data + good[at:], good[:at]):
        with suppress(BadRequest):
            await read(hostile, sizes)


async def test_a_form_that_is_cut_short_is_none() -> None:
    whole = form(('name="file"; filename="b"', b"content"))
    for length in range(len(whole) - len("--\r\n")):
        with pytest.raises(BadRequest):
            await read(whole[:length])


@pytest.mark.parametrize(
    ("head", "name", "filename"),
    [
        ('name="file"; filename="a b.txt"', "file", "a b.txt"),
        ('name="file"; filename="ü 日本 🙂.txt"', "file", "ü 日本 🙂.txt"),
        ('name="file"; filename="a;b\\"c.txt"', "file", 'a;b"c.txt'),
        ('name=file; filename="C:\\\\dir\\\\a.txt"', "file", "a.txt"),
        ('name="expires_after[seconds]"', "expires_after[seconds]", None),
        ('filename=""; name="file"', "file", ""),
    ],
)
async def test_names(head: str, name: str, filename: str | None) -> None:
    assert await read(form((head, b"x"))) == [(name, filename, b"x")]


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (form(('name="a"', b"")), "application/json"),
        (form(('name="a"', b"")), ""),
        (form(('name="a"', b"")), "multipart/form-data"),
        (form(('name="a"', b"")), "multipart/form-data; boundary=" + "x" * 5000),
        (form(('name="a"', b"")), "multipart/mixed; boundary=xyz"),
        (form(('filename="a"', b"")), TYPE),
        (b"--xyz\r\nContent-Type: text/plain\r\n\r\nx\r\n--xyz--", TYPE),
        (b'--xyz\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--xyz--', TYPE),
        (b"--xyz\r\n" + b"X: y\r\n" * 100 + b"\r\nx\r\n--xyz--", TYPE),
        (b"--xyz\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--xyz--", TYPE),
        (b"preamble" * 10, TYPE),
    ],
)
async def test_what_is_no_form(data: bytes, content_type: str) -> None:
    with pytest.raises(BadRequest):
        await read(data, content_type=content_type)


async def test_limits_of_parts_and_fields() -> None:
    with pytest.raises(TooLarge, match="parts"):
        await read(form(*(('name="a"', b""),) * 33))
    assert await text(b"x" * 8_192) == "x" * 8_192
    with pytest.raises(TooLarge, match="'a'"):
        await text(b"x" * 8_193)
    with pytest.raises(BadRequest, match="UTF-8"):
        await text(b"\xff")


async def test_what_is_not_read_is_passed_over() -> None:
    data = form(('name="a"', b"1" * 1000), ('name="b"', b"2"))
    assert [part.name async for part in read_form(TYPE, _cut(data, [30] * 20))] == ["a", "b"]


async def test_a_client_that_vanished_is_not_waited_for() -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield form(('name="a"', b"1"), ('name="b"', b"2"))[:-30]
        await asyncio.Event().wait()

    parts = aiter(read_form(TYPE, stalls(), patience=0.01))
    assert (await anext(parts)).name == "a"
    with pytest.raises(BadRequest, match=r"for 0\.01 seconds") as caught:
        await anext(parts)
    assert caught.value.status == 408
