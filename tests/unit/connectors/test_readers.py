import pytest

from rungwise_connectors.readers import readers_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("everyone", {"everyone"}),
        (" finance , group:hr", {"finance", "group:hr"}),
        (["user:ana", "hr"], {"user:ana", "hr"}),
        (frozenset({"hr"}), {"hr"}),
    ],
)
def test_names(value: object, expected: set[str]) -> None:
    assert readers_of(value) == frozenset(expected)


@pytest.mark.parametrize(
    "value", [None, "", " ", "a,,b", [], [""], [1], [["a"]], {"a": "b"}, 5, True, b"a", ["a\nb"], ["\ud800"]]
)
def test_what_names_nobody_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="reader"):
        readers_of(value)
