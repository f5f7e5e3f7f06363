import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_connectors.attributes import attributes_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
)


def test_strings_numbers_and_booleans() -> None:
    said = attributes_of({"kind": "memo", "year": 2024, "price": 0.1, "new": True, "a.b[0]": "", "k" * 64: "v" * 512})
    assert said == {"kind": "memo", "year": 2024, "price": 0.1, "new": True, "a.b[0]": "", "k" * 64: "v" * 512}
    assert isinstance(said["year"], float)
    assert said["new"] is True
    assert attributes_of(None) == attributes_of({}) == {}
    assert len(attributes_of({str(i): i for i in range(16)})) == 16


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "a mapping such as"),
        ("kind", "a mapping such as"),
        (True, "a mapping such as"),
        ({str(i): i for i in range(17)}, "17 attributes .* at most 16"),
        ({"": 1}, "'' needs a name of 1 to 64"),
        ({"k" * 65: 1}, "name of 1 to 64"),
        ({7: 1}, "'7' needs a name"),
        ({"\ud800": 1}, "needs a name"),
        ({"a": "v" * 513}, "'a' is longer than 512"),
        ({"a": "\ud800"}, "'a' is longer than 512 characters, or no Unicode"),
        ({"a": None}, "'a' must be a string, a number, true or false"),
        ({"a": [1]}, "'a' must be a string"),
        ({"a": {"b": 1}}, "'a' must be a string"),
        ({"a": float("nan")}, "'a' is a number that cannot be kept exactly"),
        ({"a": float("inf")}, "cannot be kept exactly"),
        ({"a": (1 << 53) + 1}, "cannot be kept exactly: write it in quotes"),
        ({"a": 10**400}, "cannot be kept exactly"),
    ],
)
def test_what_is_none_is_refused_with_a_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        attributes_of(value)


@given(JSON)
def test_whatever_comes_is_taken_or_refused(value: object) -> None:
    try:
        said = attributes_of(value)
    except ValueError:
        return
    assert said == (value or {})
    assert attributes_of(said) == said
