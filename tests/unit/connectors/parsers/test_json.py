import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.parsers.json_lines import parse_json
from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.types import ParseError


def text_of(source: str) -> str:
    return parse_json(source, Limits()).text


def test_every_value_has_its_path() -> None:
    source = '{"name": "Acme", "offices": [{"city": "Graz", "open": true}, {"city": "Wien"}], "n": null, "e": ""}'
    assert text_of(source) == "name: Acme\noffices[0].city: Graz\noffices[0].open: true\noffices[1].city: Wien\n"


def test_items_at_the_top_stand_by_themselves() -> None:
    expected = "item: apple\nprice: 2.50\n\nitem: pear\nprice: 1e3\n"
    assert text_of('[{"item": "apple", "price": 2.50}, {"item": "pear", "price": 1e3}]') == expected
    assert text_of('{"item": "apple", "price": 2.50}\n\n{"item": "pear", "price": 1e3}\n') == expected


def test_numbers_stay_as_written() -> None:
    assert text_of("[1.10, 10000000000000000000000000, NaN]") == "1.10\n\n10000000000000000000000000\n\nNaN\n"


def test_the_title_is_the_top_field_of_that_name() -> None:
    assert parse_json('{"title": "Prices", "a": 1}', Limits()).title == "Prices"
    assert parse_json('{"title": [3]}', Limits()).title == ""


@pytest.mark.parametrize("source", ["{", "{'a': 1}", "plain", '{"a": 1}\n{"b"'])
def test_what_is_no_json_is_refused(source: str) -> None:
    with pytest.raises(ParseError, match="no JSON"):
        text_of(source)


@pytest.mark.parametrize("source", ["{}", "[]", "null", '{"a": [null, {}, ""]}'])
def test_no_values_are_an_error(source: str) -> None:
    with pytest.raises(ParseError, match="no text"):
        text_of(source)


@pytest.mark.parametrize("source", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "1\n" + "[" * 100_000])
def test_deep_nesting_is_refused(source: str) -> None:
    with pytest.raises(ParseError, match="deep"):
        text_of(source)


def test_a_path_without_end_is_refused() -> None:
    with pytest.raises(ParseError, match="path"):
        text_of(json.dumps({"k" * 600: {"k" * 600: 1}}))


def test_halves_of_surrogate_pairs_do_not_get_through() -> None:
    assert text_of('{"a": "x\\ud800y"}') == "a: x\ufffdy\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(VALUES)
def test_any_value_is_text_or_refused(value: object) -> None:
    try:
        parsed = parse_json(json.dumps(value), Limits())
    except ParseError:
        return
    assert parsed.text.strip()
