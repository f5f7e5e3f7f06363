"""Judges that are a candidate with a rubric."""

from collections.abc import Sequence

from rungwise_server.engine import Engine
from rungwise_server.evals import Answered, Judgement
from rungwise_server.judging.judges.asking import Asking, JudgingModel
from rungwise_server.judging.judges.hashing import hash_of
from rungwise_server.judging.judges.shown import Shot, shown
from rungwise_server.judging.judges.verdicts import asked, scale_of, verdict_text
from rungwise_server.prompt import Prompt, text_message
from rungwise_server.types import Caller, Message, Price

_SHAPE = "1"
"""Part of each hash: raise it where what a model is shown, or how its reply is read, changes."""


class Prompted:
    """Asks a model to grade by a rubric; see `Asking` for `engine`."""

    def __init__(
        self, name: str, rubric: str, prompt: Prompt, model: JudgingModel, engine: Engine, shots: Sequence[Shot] = ()
    ) -> None:
        self._name = name
        self._rubric = rubric
        self.prompt = prompt
        self.model = model
        self.shots = tuple(shots)
        self.scale = scale_of(prompt.text)
        self._asking = Asking(model, engine, self.scale)
        self._system = text_message("system", f"{prompt.text}\n\n{asked(self.scale)}")
        self._head: tuple[Message, ...] = (self._system, *(turn for shot in shots for turn in self._turns(shot)))
        self._hash = hash_of(
            _SHAPE,
            rubric,
            prompt.text,
            model.identity,
            model.json,
            [(shown(shot.answered), shot.value, shot.reason) for shot in shots],
        )

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

    @property
    def price(self) -> Price | None:
        """Of its model; None where that is not known."""
        return self._asking.price

    def messages(self, answered: Answered) -> tuple[Message, ...]:
        """What the model is asked about an answer."""
        return (*self._head, text_message("user", shown(answered)))

    async def grade(self, answered: Answered, caller: Caller) -> Judgement:
        """See Judge."""
        return await self._asking.verdict(self.messages(answered), caller)

    def _turns(self, shot: Shot) -> tuple[Message, Message]:
        verdict = verdict_text(shot.value, shot.reason or "So graded by a person.", self.scale)
        return text_message("user", shown(shot.answered)), text_message("assistant", verdict)
