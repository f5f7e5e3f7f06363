"""Filters as clients write them: those that hold for something, and those that are refused, by the place at fault."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from rungwise_server.api.vector_stores.filter import DEEPEST, MOST, read_filter
from rungwise_server.errors import BadRequest
from rungwise_server.filters import Combine, Compare, Filter


def read(value: object) -> Filter:
    return read_filter(Raw(msgspec.json.encode(value)), "filters")


scalars = st.one_of(st.booleans(), st.text(max_size=5), st.integers(-9, 9).map(float))
comparisons = st.one_of(
    st.builds(Compare, st.sampled_from(["eq", "ne"]), st.text(min_size=1, max_size=5), st.tuples(scalars)),
    st.builds(
        Compare,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.text(min_size=1, max_size=5),
        st.tuples(st.integers(-9, 9).map(float)),
    ),
    st.builds(
        Compare,
        st.sampled_from(["in", "nin"]),
        st.text(min_size=1, max_size=5),
        st.lists(scalars, min_size=1, max_size=4).map(tuple),
    ),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.builds(Combine, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


def wire(filter: Filter) -> dict[str, Any]:
    if isinstance(filter, Combine):
        return {"type": filter.op, "filters": [wire(part) for part in filter.filters]}
    value = list(filter.values) if filter.op in ("in", "nin") else filter.values[0]
    return {"type": filter.op, "key": filter.key, "value": value}


def depth(filter: Filter) -> int:
    return 1 + max(map(depth, filter.filters), default=0) if isinstance(filter, Combine) else 1


@settings(deadline=None)
@given(filters)
def test_what_was_written_is_read(filter: Filter) -> None:
    if depth(filter) <= DEEPEST:
        assert read(wire(filter)) == filter


@settings(deadline=None)
@given(st.binary(max_size=40) | st.recursive(st.none() | scalars, st.lists).map(msgspec.json.encode))
def test_nothing_else_than_a_refusal(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_filter(Raw(body), "filters")
    assert caught.value.param == "filters"


ONE = {"type": "eq", "key": "a", "value": 1}


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({"type": "like", "key": "a", "value": 1}, "filters.type"),
        ({"key": "a", "value": 1}, "filters"),
        ({"type": "eq", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a"}, "filters.value"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value"),
        ({"type": "eq", "key": "a", "value": [1]}, "filters.value"),
        ({"type": "eq", "key": "a", "value": {"b": 1}}, "filters.value"),
        ({"type": "gt", "key": "a", "value": "2"}, "filters.value"),
        ({"type": "gt", "key": "a", "value": True}, "filters.value"),
        ({"type": "in", "key": "a", "value": 1}, "filters.value"),
        ({"type": "in", "key": "a", "value": []}, "filters.value"),
        ({"type": "in", "key": "a", "value": list(range(MOST + 1))}, "filters.value"),
        ({"type": "and"}, "filters.filters"),
        (
            {"type": "and", "filters": [ONE, {"type": "or", "filters": [{"type": "x"}]}]},
            "filters.filters[1].filters[0].type",
        ),
        ({"type": "and", "filters": [ONE] * MOST}, f"filters.filters[{MOST - 1}]"),
    ],
)
def test_refused_by_place(value: object, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(value)
    assert caught.value.param == param
    assert caught.value.message


def test_too_deep_and_far_too_deep() -> None:
    nested: dict[str, Any] = ONE
    for _ in range(DEEPEST - 1):
        nested = {"type": "and", "filters": [nested]}
    assert depth(read(nested)) == DEEPEST
    with pytest.raises(BadRequest, match="too large"):
        read({"type": "and", "filters": [nested]})
    with pytest.raises(BadRequest):
        read_filter(Raw(b'{"type":"and","filters":[' * 100_000), "filters")
