"""Long passages on a screen: the part that matters, and lines that end where their author ended them."""

from hypothesis import given
from hypothesis import strategies as st

from rungwise_pipelines.grading.excerpts import excerpt, flowing

WORDS = st.lists(st.text("abcd", min_size=1, max_size=12), max_size=60)


@given(WORDS, WORDS, st.integers(1, 80))
def test_an_excerpt_is_a_piece_of_the_text_and_no_longer_than_asked(
    words: list[str], about: list[str], size: int
) -> None:
    text, wanted = " ".join(words), {word for word in about if len(word) > 2}
    cut = excerpt(text, " ".join(about), size)
    kept = cut.removeprefix("… ").removesuffix(" …")
    assert kept in text
    assert len(kept) <= max(size, *(len(word) for word in words), 0)
    assert bool(kept) == bool(words)
    # No piece of that length shares more words with what is asked about.
    shared = len(wanted & set(kept.split()))
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            if len(" ".join(words[first:last])) <= size:
                assert len(wanted & set(words[first:last])) <= shared


def test_what_is_asked_about_stands_in_the_middle() -> None:
    text = "much " * 50 + "the answer is here " + "more " * 50
    cut = excerpt(text, "Where is the answer?", 60)
    assert cut.startswith("… much much")
    assert cut.endswith("more more …")
    assert "the answer is here" in cut


def test_lines_that_were_broken_flow_and_others_stay() -> None:
    long = "x" * 60
    assert flowing(f"{long}\nand on\n\nNew.") == f"{long} and on\n\nNew."
    kept = f"# {long}\nText\n\n{long}\n- a\n- b\n{long}\n1. c\n{long}\nname: value\nshort\nline"
    assert flowing(kept) == kept
