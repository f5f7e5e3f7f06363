"""What a router sees of a request: its meaning, its words, its shape, the conversation around it, and the evidence.

Everything is fixed, nothing is fitted: the same request gives the same numbers in every process and on every machine,
so that what was learned from one holds for the other. Whoever changes any of it counts `FEATURES` up.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from rungwise_server.routing.surface import SHAPE, TOKEN, shape
from rungwise_server.types import Passage, Question, Vector

FEATURES = 1
"""The version of all that is measured here."""
HASHED = 1 << 15
"""How many places words are hashed to."""

_READ = 2_000  # characters, from either end: what is asked mostly stands there
_STEP = np.uint32(0x01000193)
_THREE, _FOUR = np.uint32(0x3C6EF372), np.uint32(0xA54FF53A)  # runs of one length are never those of another
_SPREAD = np.uint32(0x9E3779B1)
_KEPT = np.uint32(32 - 15)  # the upper bits are the ones that multiplication mixes
_ASKS = ("images", "json", "logprobs", "tools")
_AGREED = 5  # passages that are compared with each other

SURFACE = (*SHAPE, "messages", "earlier characters", "instructions", *(f"asks for {name}" for name in _ASKS))
"""What the numbers of `Features.surface` are, in order."""
EVIDENCE = (
    "looked for", "passages", "best similarity", "lead of the best", "mean similarity", "agreement", "documents",
    "characters found", "words found",
)  # fmt: skip
"""What the numbers of `Features.evidence` are, in order."""

Places = npt.NDArray[np.int64]


class Features(Struct, frozen=True):
    """One request in numbers. `words` are the places, below HASHED and ascending, that its words, pairs of words
    and runs of characters are hashed to. `evidence` is all zeros where nobody looked for passages.
    """

    embedding: Vector
    words: Places
    surface: Vector
    evidence: Vector


def features(question: Question, passages: Sequence[Passage] | None, embedding: Vector) -> Features:
    """What is known of a request before anybody has answered it. Takes a fraction of a millisecond.

    Args:
        question: as the router gets it; its last user message is what is read.
        passages: best first; None where none were looked for (an offline example).
        embedding: of `question.query`, of unit length.
    """
    text = _asked(question)
    tokens = TOKEN.findall(text.lower())
    surface = np.array([*shape(text, tokens), *_conversation(question)], np.float32)
    evidence = np.zeros(len(EVIDENCE), np.float32) if passages is None else _evidence(passages, tokens)
    return Features(np.asarray(embedding, np.float32), _words(text, tokens), surface, evidence)


def _asked(question: Question) -> str:
    """The last user message; of a long one its beginning and its end."""
    text = next((m.text for m in reversed(question.messages) if m.role == "user" and m.text.strip()), question.query)
    return text if len(text) <= 2 * _READ else f"{text[:_READ]}\n{text[-_READ:]}"


def _words(text: str, tokens: list[str]) -> Places:
    """Tokens, pairs of neighbours, and runs of three and four characters, each once. Of a number as a token its length
    counts, not its value; case and the kind of white space never count.
    """
    named = (f"#{min(len(token), 5)}" if token[0].isdigit() else token for token in tokens)
    # crc32 is the same everywhere; `hash` of a string is not.
    one = np.fromiter((zlib.crc32(token.encode("utf-8", "replace")) for token in named), np.uint32, len(tokens))
    codes = np.frombuffer(" ".join(text.lower().split()).encode("utf-32-le", "replace"), np.dtype("<u4"))
    two = codes[:-1] * _STEP + codes[1:]
    three = two[:-1] * _STEP + codes[2:]
    four = three[:-1] * _STEP + codes[3:]
    mixed = np.concatenate([one, one[:-1] * _STEP + one[1:], three ^ _THREE, four ^ _FOUR]) * _SPREAD
    mixed ^= mixed >> np.uint32(15)
    seen = np.zeros(HASHED, np.bool_)
    seen[(mixed * _SPREAD) >> _KEPT] = True
    return np.flatnonzero(seen)


def _conversation(question: Question) -> list[float]:
    said = [message for message in question.messages if message.role in ("user", "assistant")]
    earlier = sum(len(message.text) for message in said[:-1])
    instructions = sum(len(m.text) for m in question.messages if m.role in ("system", "developer"))
    depth = np.log1p([max(0, len(said) - 1), earlier, instructions])
    return [*(float(value) for value in depth), *(float(name in question.asks) for name in _ASKS)]


def _evidence(passages: Sequence[Passage], tokens: Sequence[str]) -> Vector:
    """How much was found, how near it is, and how far the passages say the same."""
    if not passages:
        return np.array([1.0, *([0.0] * (len(EVIDENCE) - 1))], np.float32)
    near = sorted((passage.similarity for passage in passages), reverse=True)
    found = [set(TOKEN.findall(passage.text[:_READ].lower())) for passage in passages[:_AGREED]]
    pairs = [len(a & b) / max(1, min(len(a), len(b))) for i, a in enumerate(found) for b in found[:i]]
    asked = {token for token in tokens if len(token) > 3}
    return np.array(
        [
            1.0,
            np.log1p(len(passages)),
            near[0],
            near[0] - near[1] if len(near) > 1 else near[0],
            sum(near) / len(near),
            sum(pairs) / max(1, len(pairs)),
            np.log1p(len({passage.document_id for passage in passages})),
            np.log1p(sum(len(passage.text) for passage in passages)),
            len(asked.intersection(*[set().union(*found)])) / max(1, len(asked)),
        ],
        np.float32,
    )
