"""Judges of what an answer rests on that need no language model."""

from importlib import resources

from rungwise_server.evals import Answered, Judgement
from rungwise_server.judging.declines import declines
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.judging.judges.hashing import hash_of
from rungwise_server.judging.judges.programs import Program
from rungwise_server.protocols import Embedder
from rungwise_server.types import Caller

_SOURCES = (
    "judging/groundedness.py",
    "judging/claims.py",
    "judging/evidence.py",
    "judging/declines.py",
    "text/overlap.py",
    "text/sentences.py",
)
_SHOWN = 200


class Grounded:
    """How far the passages support the answer, sentence by sentence; see `Groundedness`. It cannot tell of an answer
    that claims nothing: whether that ought to have declined is another rubric's question.
    """

    def __init__(self, name: str, rubric: str, embedder: Embedder) -> None:
        self._name = name
        self._rubric = rubric
        self._measure = Groundedness(embedder).measure
        # Its weights and rules are code: with other code it is another judge.
        self._hash = hash_of("groundedness", rubric, embedder.name, _code(*_SOURCES))

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
        """See Judge. Raises UpstreamError where the embedder cannot be reached."""
        found = await self._measure(answered.answer, answered.passages)
        if not found.claims:
            return Judgement(None, "It claims nothing that passages could support.")
        checked = [sentence for sentence in found.sentences if sentence.checkable]
        weakest = min(checked, key=lambda sentence: sentence.value)
        return Judgement(found.value, f"Least supported ({weakest.value:.2f}): {weakest.text[:_SHOWN]}")


def declining(name: str, rubric: str) -> Program:
    """A judge of whether an answer declines just where it must, told by its words. It needs to know where that is."""

    def look(answered: Answered) -> Judgement:
        if answered.answerable is None:
            return Judgement(None, "Whether the documents hold the answer is not known.")
        declined = declines(answered.answer)
        said = "It declines" if declined else "It answers"
        holds = "do" if answered.answerable else "do not"
        return Judgement(float(declined != answered.answerable), f"{said}; the documents {holds} hold the answer.")

    return Program(name, rubric, ("declines", _code("judging/declines.py")), look)


def _code(*names: str) -> str:
    room = resources.files("rungwise_server")
    return hash_of(*((room / name).read_text(encoding="utf-8") for name in names))
