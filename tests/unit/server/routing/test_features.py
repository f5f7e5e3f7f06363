"""Requests in numbers: the same everywhere, whatever is asked, and telling of what they should tell."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from rungwise_server.routing.features import EVIDENCE, HASHED, SURFACE, Features, features
from rungwise_server.types import Caller, Message, Passage, Question

NOWHERE = np.zeros(4, np.float32)


def of(*texts: str, passages: list[Passage] | None = None, asks: frozenset[str] = frozenset()) -> Features:
    """The features of a conversation, user first."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], text, Raw(b"{}")) for i, text in enumerate(texts))
    return features(Question("", Caller(), messages, texts[-1], asks), passages, NOWHERE)


def passage(text: str, similarity: float) -> Passage:
    """One that was found."""
    return Passage(text, text, "", text, frozenset(), similarity=similarity)


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_whatever_is_asked(texts: list[str]) -> None:
    """Finite numbers of fixed shapes, and places in order."""
    found = of(*texts, passages=[passage(text, 0.5) for text in texts])
    assert found.surface.shape == (len(SURFACE),)
    assert found.evidence.shape == (len(EVIDENCE),)
    assert np.isfinite(found.surface).all()
    assert np.isfinite(found.evidence).all()
    assert (np.diff(found.words) > 0).all()
    assert ((found.words >= 0) & (found.words < HASHED)).all()


def test_lone_surrogates_and_long_texts() -> None:
    """What clients may send too."""
    assert len(of("\ud800 a\ud800b").words)
    assert np.isfinite(of("a 1 " * 100_000).surface).all()


def test_another_process_sees_the_same() -> None:
    """No hash that is salted by process."""
    text = "How many of the 12 ducks — and 3,5 geese — 泳ぐ?"
    code = (
        "from msgspec import Raw; import numpy as np; from rungwise_server.types import *;"
        "from rungwise_server.routing.features import features;"
        f"said = (Message('user', {text!r}, Raw(b'{{}}')),);"
        "f = features(Question('', Caller(), said, ''), None, np.zeros(4, 'f4'));"
        "print(f.words.tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == str(of(text).words.tolist())


def test_what_the_numbers_tell() -> None:
    """A few of each kind."""
    maths = dict(zip(SURFACE, of("Prove that 2+2=4.\nA. yes\nB. no\nWhy not?").surface, strict=True))
    assert maths["options"] == np.float32(np.log1p(2))
    assert maths["numbers"] == np.float32(np.log1p(3))
    assert maths["why"] == maths["in en"] == 1.0
    assert maths["negations"] > 0
    deep = dict(zip(SURFACE, of("Hello", "Hi!", "And now?", asks=frozenset({"json"})).surface, strict=True))
    assert deep["messages"] > 0
    assert deep["earlier characters"] == np.float32(np.log1p(8))
    assert (deep["asks for json"], deep["asks for tools"]) == (1.0, 0.0)


def test_evidence() -> None:
    """Not looked for, nothing found, and found: three different things."""
    assert not of("Why?").evidence.any()
    assert of("Why?", passages=[]).evidence.tolist() == [1.0] + [0.0] * (len(EVIDENCE) - 1)
    found = [passage("the sky is blue", 0.75), passage("the sky is blue today", 0.5)]
    told = dict(zip(EVIDENCE, of("Why is the sky blue?", passages=found).evidence, strict=True))
    assert told["best similarity"] == 0.75
    assert told["lead of the best"] == 0.25
    assert told["agreement"] == 1.0
    assert told["words found"] == 1.0
