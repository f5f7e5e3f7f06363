import codecs
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.parsers.decode import decode
from rungwise_connectors.types import ParseError

GERMAN = "Der Urlaub beträgt 28 Tage. Anträge müssen vier Wochen vorher gestellt werden, die größte Abteilung zuerst."


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", GERMAN),
        ("utf-8-sig", GERMAN),
        ("utf-16", GERMAN),
        ("utf-32", GERMAN),
        ("cp1252", GERMAN),
        ("cp1252", "Les congés annuels sont de vingt-huit jours, déposées à l'avance auprès du responsable où ça va."),
        ("cp1252", "Semestern är tjugoåtta dagar om året. Ansökan måste göras fyra veckor i förväg."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. Dovolená činí dvacet osm dnů v roce."),
        ("cp1251", "Отпуск составляет двадцать восемь дней в году. Заявление подается заранее."),
        ("shift_jis", "年次有給休暇は年間二十八日です。申請は事前に上司に提出してください。"),
        ("gbk", "年假每年二十八天。申请必须提前四周提交给主管。"),
        ("cp949", "연차 휴가는 일년에 이십팔 일입니다. 신청은 미리 제출해야 합니다."),
    ],
)
def test_encodings_that_offices_have(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_big_endian_by_its_mark() -> None:
    assert decode(codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be")) == GERMAN


def test_a_declared_encoding_goes_before_a_guess() -> None:
    assert decode("Отпуск двадцать восемь дней".encode("koi8-r"), "koi8-r") == "Отпуск двадцать восемь дней"


@pytest.mark.parametrize("declared", ["zip", "no-such", "hex", "undefined"])
def test_a_declared_encoding_that_is_none_is_no_harm(declared: str) -> None:
    assert decode(GERMAN.encode("cp1252"), declared) == GERMAN


def test_line_ends_become_newlines() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


def test_a_damaged_byte_does_not_cost_the_document() -> None:
    data = (GERMAN * 20).encode()
    assert decode(data[:300] + b"\xff" + data[300:]).replace("\ufffd", "") == GERMAN * 20


@pytest.mark.parametrize(
    "data",
    [
        b"text\x00text",
        bytes(range(256)) * 4,
        b"\x7fELF\x02\x01\x01\x00",
        b"\x01\x02\x03\x04\x05 a",
        "a\x00b".encode("utf-16"),
    ],
)
def test_binary_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="binary"):
        decode(data)


def test_broken_utf16_is_refused() -> None:
    with pytest.raises(ParseError, match="broken UTF-16"):
        decode(codecs.BOM_UTF16_LE + b"a\x00\x00\xd8a\x00")


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        decode(data).encode()
