"""Near-duplicates: questions that differ by a few letters, and what an eval set must not share with training data.

Two texts are near where the sets of their runs of four characters, case, accents, punctuation and spacing left aside,
overlap by `NEAR` (Jaccard), and they name the same numbers. Candidates come from MinHash signatures in bands (Broder,
"On the resemblance and containment of documents", 1997) and are then compared exactly: a millisecond a text, among ten
thousand.
"""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Raw, Struct

from rungwise_server.errors import SetupError
from rungwise_server.evals import Example
from rungwise_server.question import search_query
from rungwise_server.types import Message

NEAR = 0.7
"""The overlap from which on two texts are near-duplicates."""

_RUN = 4
_BANDS, _ROWS = 24, 5  # texts that overlap by .7 meet with a probability of .988, by .8 of .9999, by .3 of .06
_PRIME = np.uint64(2**61 - 1)
_NOISE = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"\d+")
# Where a training line holds the prompt as the model got it, the question stands behind the passages.
_EVIDENCE = re.compile(r"<<<passages ([0-9a-f]{16})\n.*?\npassages \1>>>\n[^\n]*\n\n", re.DOTALL)

_Runs = npt.NDArray[np.uint64]


class Match(Struct, frozen=True):
    """That text number `text` is near question number `question`, and by how much."""

    text: int
    question: int
    overlap: float


class Refused(Struct, frozen=True):
    """An example that was trained on, and where."""

    example: Example
    file: Path
    line: int
    overlap: float


class Texts:
    """Texts that others are compared with."""

    def __init__(self, near: float = NEAR) -> None:
        self._near = near
        self._texts: list[tuple[frozenset[int], tuple[str, ...]]] = []
        self._bands: dict[bytes, list[int]] = {}
        draw = np.random.default_rng(0)  # the hash functions: any will do, always the same
        self._factors = draw.integers(1, 2**28, (_BANDS * _ROWS, 1), dtype=np.uint64)
        self._shifts = draw.integers(0, 2**60, (_BANDS * _ROWS, 1), dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> int:
        """Take in a text; its number, from 0."""
        return self._add(self._read(text))

    def near(self, text: str) -> tuple[int, float] | None:
        """The number of the nearest text, and the overlap; None where none is near."""
        return self._nearest(self._read(text))

    def near_or_add(self, text: str) -> tuple[int, float] | None:
        """The nearest text, as `near` says; where none is near, this one is taken in."""
        read = self._read(text)
        found = self._nearest(read)
        if found is None:
            self._add(read)
        return found

    def _add(self, read: "_Read") -> int:
        number = len(self._texts)
        self._texts.append((read.runs, read.numbers))
        for band in read.bands:
            self._bands.setdefault(band, []).append(number)
        return number

    def _nearest(self, read: "_Read") -> tuple[int, float] | None:
        candidates = {at for band in read.bands for at in self._bands.get(band, ())}
        best: tuple[int, float] | None = None
        for at in sorted(candidates):
            runs, numbers = self._texts[at]
            if numbers != read.numbers or not self._near <= len(runs) / len(read.runs) <= 1 / self._near:
                continue
            shared = len(read.runs & runs)
            overlap = shared / (len(read.runs) + len(runs) - shared)
            if overlap >= self._near and (best is None or overlap > best[1]):
                best = at, overlap
        return best

    def _read(self, text: str) -> "_Read":
        plain = normal(text)
        runs = _runs(plain)
        least = ((runs * self._factors + self._shifts) % _PRIME).min(axis=1).tobytes()
        width = 8 * _ROWS
        bands = [b"%d " % band + least[band * width : (band + 1) * width] for band in range(_BANDS)]
        return _Read(frozenset(runs.tolist()), tuple(_NUMBER.findall(plain)), bands)


class _Read(Struct, frozen=True):
    """A text, ready to be compared."""

    runs: frozenset[int]
    numbers: tuple[str, ...]
    bands: list[bytes]


def normal(text: str) -> str:
    """Lower case, without accents and punctuation, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _NOISE.sub(" ", bare).strip()


def groups(texts: Sequence[str], near: float = NEAR) -> list[int]:
    """The group of each text: the number of the first text that it is near, or its own."""
    leaders = Texts(near)
    numbers: list[int] = []
    found: list[int] = []
    for number, text in enumerate(texts):
        match = leaders.near_or_add(text)
        if match is None:
            numbers.append(number)
            found.append(number)
        else:
            found.append(numbers[match[0]])
    return found


def distinct(new: Sequence[Example], had: Sequence[Example]) -> tuple[list[Example], list[tuple[Example, Example]]]:
    """Those of `new` that are near none before them of the same rights, and the others, each with what it is near. The
    same question of somebody who may read something else is another example; the very same example is not left out.
    """
    known: dict[frozenset[str], tuple[Texts, list[Example]]] = {}
    ids = {example.id for example in had}
    kept: list[Example] = []
    left: list[tuple[Example, Example]] = []
    for number, example in enumerate((*had, *new)):
        texts, examples = known.setdefault(example.caller.principals, (Texts(), []))
        match = texts.near(question_of(example)) if number >= len(had) and example.id not in ids else None
        if match is not None:
            left.append((example, examples[match[0]]))
            continue
        texts.add(question_of(example))
        examples.append(example)
        if number >= len(had):
            kept.append(example)
    return kept, left


def near(questions: Iterable[str], texts: Iterable[str]) -> Iterator[Match]:
    """The texts that are near a question, each with its nearest. Nothing near an eval set may be trained on: give the
    questions of the set (`asked` of its examples) and those that one would train on.
    """
    known = Texts()
    for question in questions:
        known.add(question)
    for number, text in enumerate(texts):
        match = known.near(text)
        if match is not None:
            yield Match(number, *match)


def asked(messages: Sequence[Message]) -> list[str]:
    """What each of the user's turns asks, standing alone, the last one last; passages put before it left out."""
    bare = [Message(m.role, _EVIDENCE.sub("", m.text), m.raw) for m in messages]
    turns = [at for at, message in enumerate(bare, 1) if message.role == "user" and message.text.strip()]
    return [search_query(bare[:at]) for at in turns]


def question_of(example: Example) -> str:
    """What an example asks, standing alone."""
    return search_query(example.messages)


def training_files(home: Path) -> list[Path]:
    """The training data of every data set in RUNGWISE_HOME."""
    return sorted(path for name in ("train.jsonl", "train.jsonl.gz") for path in home.glob(f"datasets/*/{name}"))


def refuse(examples: Sequence[Example], files: Sequence[Path]) -> tuple[list[Example], list[Refused]]:
    """The examples that are near no question of any training file, and those that are, with the line.

    Raises:
        SetupError: a file cannot be read, or is no training data.
    """
    known = Texts()
    for example in examples:
        known.add(question_of(example))
    refused: dict[int, Refused] = {}
    for file in files if examples else ():
        for line, text in _trained(file):
            if (match := known.near(text)) is not None:
                at, overlap = match
                refused.setdefault(at, Refused(examples[at], file, line, overlap))
    return [one for at, one in enumerate(examples) if at not in refused], [refused[at] for at in sorted(refused)]


class _Turn(Struct):
    role: str
    content: object = ""


class _Line(Struct):
    messages: list[_Turn]


def _trained(file: Path) -> Iterator[tuple[int, str]]:
    """The questions of a training file, each with its line."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                turns = msgspec.json.decode(line, type=_Line).messages
                for question in asked([Message(t.role, _text(t.content), Raw(b"{}")) for t in turns]):
                    yield number, question
    except (OSError, EOFError, zlib.error) as error:
        raise SetupError(f"{file} cannot be read: {error}.") from None
    except msgspec.MsgspecError as error:
        raise SetupError(f"{file}:{number} is no line of training data: {error}") from None


def _text(content: object) -> str:
    """What a message's `content` says: a text, or the texts among its parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _runs(plain: str) -> _Runs:
    """Each run of four characters as a number of 64 bits, once."""
    letters = np.frombuffer(f" {plain} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    size = max(letters.size - _RUN + 1, 1)
    runs = np.zeros(size, dtype=np.uint64)
    for at in range(min(_RUN, letters.size)):
        runs = runs * np.uint64(0x10FFFF) + letters[at : at + size]
    # Mixed and cut to 32 bits, so that the products of the hash functions stay below 2**61.
    runs ^= runs >> np.uint64(31)
    runs *= np.uint64(0x9E3779B97F4A7C15)
    return np.unique(runs >> np.uint64(32))
