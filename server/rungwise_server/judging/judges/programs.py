"""Judges that are programs: they cost nothing, and say the same each time."""

from collections.abc import Callable

from rungwise_server.evals import Answered, Judgement
from rungwise_server.judging.judges import words
from rungwise_server.judging.judges.hashing import hash_of
from rungwise_server.judging.judges.patterns import Pattern
from rungwise_server.judging.judges.schemas import Schema
from rungwise_server.protocols import Judge
from rungwise_server.types import Caller

_VERSION = "1"
"""Part of every program's hash: raise it where a change of code changes a grade."""

Comparison = Callable[[str, str], float]
COMPARISONS: dict[str, tuple[Comparison, str]] = {
    "exact": (words.exact, "word for word as the reference"),
    "contains": (words.contains, "the reference's words stand in it"),
    "f1": (words.f1, "words shared with the reference"),
}
"""How an answer can be held against its reference, by the judge's kind, and what that says."""


class Program:
    """A judge that asks nobody. `made_of` is all that its grades depend on besides the answer."""

    def __init__(self, name: str, rubric: str, made_of: tuple[str, ...], look: Callable[[Answered], Judgement]) -> None:
        self._name = name
        self._rubric = rubric
        self._look = look
        self._hash = hash_of(_VERSION, rubric, *made_of)

    @property
    def name(self) -> str:
        """See Judge."""
        return self._name

    @property
    def rubric(self) -> str:
        """See Judge."""
        return self._rubric

    @property
    def hash(self) -> str:
        """See Judge."""
        return self._hash

    async def grade(self, answered: Answered, caller: Caller) -> Judgement:
        """See Judge."""
        return self._look(answered)


def compared(kind: str, name: str, rubric: str) -> Program:
    """A judge that holds the answer against its reference, in a way of `COMPARISONS`."""
    compare, says = COMPARISONS[kind]

    def look(answered: Answered) -> Judgement:
        if not words.words(answered.reference):
            return Judgement(None, "There is no reference to compare with.")
        value = compare(answered.answer, answered.reference)
        said = {1.0: "yes", 0.0: "no"}.get(value, f"{value:.2f}")
        return Judgement(value, f"{says[0].upper()}{says[1:]}: {said}.")

    return Program(name, rubric, (kind,), look)


def regex(name: str, rubric: str, pattern: str) -> Program:
    """A judge that looks for a pattern. Raises ValueError where it does not compile."""
    compiled = Pattern(pattern)

    def look(answered: Answered) -> Judgement:
        found = compiled.found(answered.answer)
        return Judgement(float(found), f"The pattern is {'there' if found else 'not there'}.")

    return Program(name, rubric, ("regex", pattern), look)


def json_schema(name: str, rubric: str, schema: str) -> Program:
    """A judge that holds the answer to a JSON Schema. Raises ValueError where `schema` is none."""
    opened = Schema(schema)

    def look(answered: Answered) -> Judgement:
        fault = opened.fault(answered.answer)
        return Judgement(float(not fault), f"Against the schema: {fault}." if fault else "It holds to the schema.")

    return Program(name, rubric, ("json_schema", schema), look)


class PassFrom:
    """A judge whose grades from `threshold` on become a pass, and all others a fail."""

    def __init__(self, judge: Judge, threshold: float) -> None:
        self.judge = judge
        self._threshold = threshold

    @property
    def name(self) -> str:
        """See Judge."""
        return self.judge.name

    @property
    def rubric(self) -> str:
        """See Judge."""
        return self.judge.rubric

    @property
    def hash(self) -> str:
        """See Judge."""
        return hash_of(self.judge.hash, self._threshold)

    async def grade(self, answered: Answered, caller: Caller) -> Judgement:
        """See Judge."""
        said = await self.judge.grade(answered, caller)
        if said.value is None:
            return said
        return Judgement(float(said.value >= self._threshold), f"{said.reason} ({said.value:.2f})".strip())
