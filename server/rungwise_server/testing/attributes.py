"""Attributes and filters to try an index with."""

import math

from hypothesis import strategies as st

from rungwise_server.filters import Combine, Compare, Filter, Scalar

ODD = (
    "a.b",
    "a[0]",
    "a[]",
    '"q"',
    "it's",
    "*",
    "",
    " ",
    "a\x00",
    "readers",
    "=",
    "A",
    "é",
    "e\u0301",
    "x" * 64,
    "$k",
    "-1",
)
"""Keys that a payload's path would take for something else, or another key's."""

KEYS = st.sampled_from((*ODD[:4], "a", "b"))
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from((-0.0, 0.1 + 0.2, 0.3, 1e-320, -1e300, 1.7976931348623157e308, float(1 << 53), 1 << 60, 2024.5)),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(NUMBERS, st.booleans(), st.sampled_from(("", "1", "1.0", "True", "true", "a", "A", "é", "e\u0301")))
"""Values of every kind that are easily taken for each other."""


@st.composite
def _compares(draw: st.DrawFn, attributes: list[dict[str, Scalar]]) -> Compare:
    """One that is about what is there, more often than not; with numbers beside those that are."""
    held = [pair for each in attributes for pair in each.items()]
    pairs = st.tuples(KEYS, VALUES)
    key, value = draw(st.one_of(st.sampled_from(held), st.sampled_from(held), pairs) if held else pairs)
    if not isinstance(value, str | bool) and draw(st.booleans()):
        beside = math.nextafter(value, draw(st.sampled_from((-math.inf, math.inf))))
        value = beside if math.isfinite(beside) else value
    match draw(st.sampled_from(("order", "one", "several"))):
        case "order":
            return Compare(draw(st.sampled_from(("gt", "gte", "lt", "lte"))), key, (value,))
        case "one":
            return Compare(draw(st.sampled_from(("eq", "ne"))), key, (value,))
    values = (value, *draw(st.lists(VALUES, max_size=2)))[draw(st.integers(0, 1)) :]
    return Compare(draw(st.sampled_from(("in", "nin"))), key, values)


@st.composite
def attributed(draw: st.DrawFn) -> tuple[list[dict[str, Scalar]], list[Filter], dict[str, Scalar]]:
    """What is said of each of some documents, filters over it, and what is said of the first one afterwards."""
    said = st.dictionaries(KEYS, VALUES, max_size=4)
    attributes, later = draw(st.lists(said, min_size=1, max_size=10)), draw(said)
    filters = st.recursive(
        _compares([*attributes, later]),
        lambda inner: st.builds(Combine, st.sampled_from(("and", "or")), st.lists(inner, max_size=3).map(tuple)),
        max_leaves=6,
    )
    return attributes, draw(st.lists(filters, min_size=8, max_size=16)), later


def _nested(levels: int, width: int) -> Filter:
    filter: Filter = Compare("eq", "a", ("b",))
    for level in range(levels):
        filter = Combine("and" if level % 2 else "or", (filter,) * width)
    return filter


ABSURD: dict[str, Filter] = {
    "deep": _nested(100_000, 1),
    "wide": _nested(1, 100_000),
    "doubling": _nested(14, 2),
    "values": Compare("in", "a", tuple(map(str, range(100_000)))),
    "no bound": Compare("gt", "a", ()),
    "two bounds": Compare("eq", "a", ("b", "c")),
}
"""Filters that no index takes."""
