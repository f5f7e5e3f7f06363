import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rungwise_server.errors import BadRequest
from rungwise_server.filters import Combine, Compare, Filter, Scalar, holds
from rungwise_server.retrieval.indexes.attributes import DEPTH, PARTS, VALUES, check_filter, marks_of, narrowed
from rungwise_server.testing.attributes import attributed

FINITE = st.floats(allow_nan=False, allow_infinity=False)


class Marks:
    """Conditions as functions of the marks that are there."""

    def __init__(self, held: list[int]) -> None:
        self.held = set(held)

    def marked(self, marks: list[int]) -> str:
        return "yes" if self.held & set(marks) else "no"

    def combined(self, must: list[str], should: list[str], must_not: list[str]) -> str:
        held = all(part == "yes" for part in must) and not any(part == "yes" for part in must_not)
        return "yes" if held and (not should or "yes" in should) else "no"


def finds(filter: Filter, attributes: dict[str, Scalar]) -> bool:
    must = narrowed([], filter, Marks(marks_of(attributes)))
    return must is not None and "no" not in must


@given(attributed())
def test_marks_answer_as_the_filter_itself_does(drawn: tuple[list[dict[str, Scalar]], list[Filter], object]) -> None:
    attributes, filters, _ = drawn
    for filter in filters:
        check_filter(filter)
        for said in attributes:
            assert finds(filter, said) == holds(filter, said), (filter, said)


@given(FINITE, FINITE)
@example(0.0, -0.0)
@example(5e-324, 0.0)
@example(-5e-324, -0.0)
@example(1.7976931348623157e308, -1.7976931348623157e308)
@example(1.0, 1.0000000000000002)
@example(-1.0, -1.0000000000000002)
def test_numbers_are_in_their_order(a: float, b: float) -> None:
    for one, other in ((a, b), (b, a), (a, a)):
        assert finds(Compare("gt", "n", (other,)), {"n": one}) == (one > other)
        assert finds(Compare("gte", "n", (other,)), {"n": one}) == (one >= other)
        assert finds(Compare("lt", "n", (other,)), {"n": one}) == (one < other)
        assert finds(Compare("lte", "n", (other,)), {"n": one}) == (one <= other)
        assert finds(Compare("eq", "n", (other,)), {"n": one}) == (one == other)


def test_a_round_number_leaves_few_marks() -> None:
    assert len(marks_of({"year": 2024})) == 7
    assert len(marks_of({"price": 19.99})) == 18
    assert len(marks_of({"kind": "memo", "new": True})) == 2
    assert all(-(1 << 63) <= mark < 1 << 63 for mark in marks_of({"k": -0.1, "v": "x" * 100_000}))


def deep(levels: int) -> Filter:
    filter: Filter = Compare("eq", "a", ("b",))
    for _ in range(levels):
        filter = Combine("and", (filter,))
    return filter


def test_the_limits_are_where_they_are_said_to_be() -> None:
    one = Compare("eq", "a", ("b",))
    for allowed in (deep(DEPTH), Combine("or", (one,) * (PARTS - 1)), Compare("in", "a", ("b",) * VALUES), None):
        check_filter(allowed)
    for refused, reason in (
        (deep(DEPTH + 1), f"more than {DEPTH} deep"),
        (Combine("or", (one,) * PARTS), "more than 1,000 comparisons"),
        (Compare("in", "a", ("b",) * (VALUES + 1)), "more than 10,000 values"),
        (Combine("or", (Compare("in", "a", ("b",) * VALUES), one)), "more than 10,000 values"),
    ):
        with pytest.raises(BadRequest, match=reason):
            check_filter(refused)
