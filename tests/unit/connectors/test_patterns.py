import pytest

from rungwise_connectors.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.pdf", "a.pdf", True),
        ("*.pdf", "deep/er/SCAN.PDF", True),
        ("*.pdf", "a.pdf.txt", False),
        ("drafts", "a/drafts", True),
        ("drafts/", "drafts", True),
        ("drafts", "drafts2", False),
        ("a/*.md", "a/x.md", True),
        ("a/*.md", "a/b/x.md", False),
        ("a/*.md", "b/a/x.md", False),
        ("a/**/x.md", "a/x.md", True),
        ("a/**/x.md", "a/b/c/x.md", True),
        ("a/**", "a/b/c", True),
        ("**/x.md", "x.md", True),
        ("/top.md", "top.md", True),
        ("/top.md", "a/top.md", False),
        ("report-[0-9].md", "report-7.md", True),
        ("report-[!0-9].md", "report-7.md", False),
        ("report-[!0-9].md", "report-x.md", True),
        ("[", "[", True),
        ("a?.md", "ab.md", True),
        ("a?.md", "a/.md", False),
        ("a+(b).md", "a+(b).md", True),
        ("[]]", "]", True),
        ("[^a]", "^", True),
        ("[\\d]", "5", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert Patterns([pattern]).match(path) is matches


def test_no_patterns_match_nothing() -> None:
    assert not Patterns([])
    assert not Patterns([]).match("a")


def test_one_of_several_is_enough() -> None:
    assert Patterns(["*.md", "*.txt"]).match("a/b.txt")
